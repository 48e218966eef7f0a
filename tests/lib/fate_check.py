# SPDX-License-Identifier: Apache-2.0
"""What a record must say of a death: every member of its fate, each right or wrong by itself.

A member is right when it has exactly the value that the death determines, or, where it is a measurement, when it lies within
what the death makes possible; a member that cannot be known must be absent. The two entries "unexpected" and "consistent"
stand for all members that should not be there, and for what the members say of each other.
"""
import datetime, os, re, time

ISO = re.compile(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ')
TICK_MS = 10            # the longest timer tick of any kernel: what is sampled is right to one of them


class AtLeast:
    def __init__(self, least):
        self.least = least

    def unlike(self, got):
        return number(got) or (None if got >= self.least else f'is {got}, want at least {self.least}')


class Between:
    def __init__(self, least, most):
        self.least, self.most = least, most

    def unlike(self, got):
        return number(got) or (None if self.least <= got <= self.most else f'is {got}, want {self.least} to {self.most}')


class Maybe:
    """May be absent."""
    def __init__(self, want):
        self.want = want


class Rarely:
    """May be absent, once in a thousand, because the kernel half did not see it. Known so far: the moment of an exec (7.x does
    not run a program that was preempted in the middle of a run), and once in some 100,000 records the sender of a timer's
    signal (6.18, which skipped no run in 40 s of signals on every processor; the reason is not known). How often it was is
    printed, with what the kernel says it skipped, and bounded."""
    skipped = []                        # the absences there were

    def __init__(self, want, way):
        self.want, self.way = want, way

    @classmethod
    def too_often(cls, records):
        """Never twice the same, and one in a thousand records; none at all in a handful."""
        return len(cls.skipped) > (1 + records / 1000 if records >= 500 else 0) or len(set(cls.skipped)) < len(cls.skipped)


class Form:
    def __init__(self, pattern):
        self.pattern = pattern

    def unlike(self, got):
        return None if isinstance(got, str) and self.pattern.fullmatch(got) else f'is {got!r}'


def number(got):
    return None if isinstance(got, (int, float)) and not isinstance(got, bool) else f'is {got!r}, want a number'


ANY = AtLeast(0)


def unlike(got, want):
    """None when got is what is wanted, else how it is not."""
    while isinstance(want, (Maybe, Rarely)):
        want = want.want
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return f'is {got!r}, want an object'
        for k in sorted(set(want) | set(got)):
            if k not in want:
                return f'has {k} = {got[k]!r}'
            if k not in got:
                if isinstance(want[k], Rarely):
                    Rarely.skipped.append(f'{k} of {want[k].way}')
                elif not isinstance(want[k], Maybe):
                    return f'has no {k}'
                continue
            why = unlike(got[k], want[k])
            if why:
                return f'.{k} {why}'
        return None
    if hasattr(want, 'unlike'):
        return want.unlike(got)
    return None if type(got) is type(want) and got == want else f'is {str(got)[:300]!r}, want {str(want)[:300]!r}'


def merged(base, more):
    """more over base; objects member by member."""
    r = dict(base)
    for k, v in more.items():
        r[k] = merged(r[k], v) if isinstance(v, dict) and isinstance(r.get(k), dict) else v
    return r


class Host:
    """What of a fate depends on the host and the daemon."""
    def __init__(self, observer, controllers, device):
        self.observer, self.controllers, self.device = observer, controllers, device
        self.bpf = observer == 'bpf'
        self.keeps_waits, self.keeps_io = os.path.exists('/proc/self/schedstat'), os.path.exists('/proc/self/io')
        # Earlier kernels take a process's memory away before its end is seen. What is left then, of a leader, begins with
        # the peak of the daemon that cloned it: one that stayed below cannot be told.
        self.sees_small_rss = tuple(int(n) for n in re.findall(r'\d+', os.uname().release)[:2]) >= (6, 16)


# What only the kernel half knows.
ONLY_BPF = ('sender', 'processes', 'threads', 'faults', 'switches', 'io', 'kernelStartUs', 'kernelEndUs', 'verdictUs', 'incomplete')


def account(host, way, execed):
    """Use and times of any attempt: all of them there, and numbers."""
    t = {'queuedMs': ANY}
    if not way.started:
        return {'time': t}
    t['onCpuMs'] = ANY
    r = {'time': t, 'cpu': {'userMs': ANY, 'systemMs': ANY}, 'durationMs': ANY}
    if host.bpf:
        if execed:
            t['startingMs'] = Rarely(ANY, way.name)
        if host.keeps_waits:
            t.update(waitingMs=ANY, asleepMs=ANY)
        r.update(faults={'minor': ANY, 'major': ANY}, switches={'voluntary': ANY, 'involuntary': ANY}, verdictUs=ANY,
                 kernelStartUs=AtLeast(1), kernelEndUs=AtLeast(1))
        if host.keeps_io:
            r['io'] = {'readBytes': ANY, 'writtenBytes': ANY, 'storageReadBytes': ANY, 'storageWrittenBytes': ANY}
    return r


def memory(host, mb, execed):
    r = {'limitMB': mb}
    if host.bpf and execed:             # who never executed anything had no memory but the daemon's
        r['peakRssBytes'] = AtLeast(4096)
    if 'memory' in host.controllers:
        r['peakBytes'] = Maybe(ANY)     # memory.peak came with Linux 5.19
    return r


def still_running(want):
    """Some have not ended yet: there is no end of the last one, and sums are of those that have."""
    r = {k: v for k, v in want.items() if k != 'kernelEndUs'}
    return dict(r, threads=want['threads'] - 1) if 'threads' in r else r


def known_by_fallback(want):
    r = {k: v for k, v in want.items() if k not in ONLY_BPF}
    if 'time' in r:
        r['time'] = {k: v for k, v in r['time'].items() if k in ('queuedMs', 'onCpuMs')}
    if 'memory' in r:
        r['memory'] = {k: v for k, v in r['memory'].items() if k != 'peakRssBytes'}
    if 'oom' in r:
        r['oom'] = {k: v for k, v in r['oom'].items() if k != 'victim'}
    return r


def expected(way, run, host, attempt, verdict, own, sender):
    """The whole entry of one attempt. own: the members that are this death's alone."""
    execed = not way.exec_error and way.name != 'timeout_in_execve'
    missing = [c for c, asked in (('memory', True), ('pids', True), ('cpu', 'CpuPercent' in way.members))
               if asked and c not in host.controllers]
    want = {'attempt': attempt, 'verdict': verdict, 'observer': host.observer, 'startedAt': Form(ISO),
            'timeoutMs': round(way.timeout * 1000), 'memory': memory(host, way.members.get('MemorySize', 128), execed)}
    if way.started:
        want.update(witness='both' if host.bpf else 'wait', processes=way.processes, threads=way.threads, deadlineAt=Form(ISO))
        if missing:
            want['limitsMissing'] = missing
    else:
        want['memory'].pop('peakRssBytes', None)
    want = merged(want, account(host, way, execed))
    if way.exec_error:
        want['execStep'] = way.exec_error[0]
        if way.exec_error[1]:
            want['execErrno'] = way.exec_error[1]
    if verdict == 'Timeout':
        want['deadlineToEmptyMs'] = ANY
    want = merged(want, own)
    if way.processes == 1 and not host.sees_small_rss and 'peakRssBytes' in want['memory']:
        want['memory']['peakRssBytes'] = Maybe(want['memory']['peakRssBytes'])
    if sender and 'signal' in want:
        want['sender'] = Rarely(run.sender(sender), way.name)
    if 'oom' in want:
        want['oom'] = run.oom(want['oom'])
    if want.get('leftRunning'):
        want = still_running(want)
    for k, v in want.get('io', {}).items():
        if v == 'device':
            want['io'][k] = AtLeast(1 << 20) if host.device else ANY
    return want if host.bpf else known_by_fallback(want)


def consistent(way, got, host, wall_ms):
    """What the members say of each other, and of the wall_ms that the daemon was busy with the attempt; yields what is wrong."""
    verdict, t, timeout = got['verdict'], got.get('time', {}), got['timeoutMs']
    duration = got.get('durationMs', 0)
    start, end = got.get('kernelStartUs'), got.get('kernelEndUs')

    if verdict == 'Timeout' and duration < timeout:
        yield f'timed out after {duration} ms of {timeout}'
    if verdict != 'Timeout' and host.bpf and duration > timeout:
        yield f'no timeout after {duration} ms of {timeout}'
    if end is not None:
        if end > time.monotonic_ns() // 1000:
            yield f'kernelEndUs {end} is yet to come'
        if duration * 1000 > end - start + 1:
            yield f'leader lived for {duration} ms, the whole tree from {start} to {end} us'
        if verdict == 'Timeout' and got.get('deadlineToEmptyMs', 0) * 1000 > end - start - timeout * 1000 + 1:
            yield f'deadlineToEmptyMs is {got["deadlineToEmptyMs"]}, the tree lived for {end - start} us'
    if 'cpu' in got and abs(got['cpu']['userMs'] + got['cpu']['systemMs'] - t['onCpuMs']) > 0.01:
        yield f'cpu {got["cpu"]} does not add up to {t["onCpuMs"]} ms'
    if 'threads' in got and 'processes' in got and not got.get('leftRunning') and got['threads'] < got['processes']:
        yield f'{got["processes"]} processes and {got["threads"]} threads'
    if 'asleepMs' in t:
        total = t['onCpuMs'] + t['waitingMs'] + t['asleepMs']
        single = got['processes'] == 1 and got['threads'] == 1
        if total < duration - TICK_MS and not got.get('leftRunning'):
            yield f'times {t} add up to less than {duration} ms'
        # A little of its use comes before its birth is seen and after its end is; none outside the attempt.
        if single and total > wall_ms + TICK_MS:
            yield f'times {t} add up to more than the attempt of {wall_ms} ms'
    if 'deadlineAt' in got:
        late = milliseconds(got['deadlineAt']) - milliseconds(got['startedAt']) - timeout
        if late < 0 or ('startingMs' in t and late > t['startingMs'] + 1):
            yield f'deadlineAt {got["deadlineAt"]} for startedAt {got["startedAt"]}, timeoutMs {timeout}, time {t}'


def milliseconds(iso):
    return round(datetime.datetime.fromisoformat(iso.replace('Z', '+00:00')).timestamp() * 1000)


def check_attempt(way, run, host, attempt, got, wall_ms, verdict, own, sender):
    """{member: None or what is wrong with it} for all members that are wanted, with "unexpected" and "consistent"."""
    want = expected(way, run, host, attempt, verdict, own, sender)
    r = {}
    for k, v in want.items():
        if k in got:
            r[k] = unlike(got[k], v)
        elif isinstance(v, Rarely):
            r[k] = None
            Rarely.skipped.append(f'{k} of {way.name}')
        elif not isinstance(v, Maybe):
            r[k] = 'is absent'
    more = [f'{k} is {got[k]!r}' for k in got if k not in want]
    r['unexpected'] = '; '.join(more) or None
    try:
        r['consistent'] = '; '.join(consistent(way, got, host, wall_ms)) or None
    except (KeyError, TypeError, ValueError) as e:
        r['consistent'] = f'cannot be told: {type(e).__name__} {e}'
    return {k: f'{k} {v}' if v and k not in ('unexpected', 'consistent') else v for k, v in r.items()}


def check_sequence(attempts):
    """No two attempts overlap."""
    for a, b in zip(attempts, attempts[1:]):
        if 'kernelEndUs' in a and 'kernelStartUs' in b and a['kernelEndUs'] > b['kernelStartUs']:
            return f'attempt {a["attempt"]} lived until {a["kernelEndUs"]} us, attempt {b["attempt"]} began at {b["kernelStartUs"]}'
    return None
