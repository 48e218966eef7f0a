# SPDX-License-Identifier: Apache-2.0
"""Runs ways to end against a real daemon: defines them, starts so many runs of each, helps them along, and checks every
run's record member by member.

The runs of a way are alive at the same time, and several ways are under way at once: that is what a busy host does, too.
A run that did not come far enough before its deadline (a note is missing that the way needs) has died another death than
the one that was meant; it is repeated, and not judged.
"""
import collections, concurrent.futures, contextlib, fcntl, hashlib, json, os, shutil, signal, subprocess
import fated
from fated import Fated, equal, until
from fate_check import Host, Maybe, Rarely, check_attempt, check_sequence, milliseconds
from ways import CONTROLLER_WAYS, LIMIT, LONG, WAYS, signal_text

AT_ONCE = 4             # ways under way at a time
PATH_SHOWN = 255        # bytes of a path in a message
AGAIN = 20              # how often a run that came too late may be repeated
ERRNO = {2: 'no such file or directory', 8: 'exec format error', 13: 'permission denied', 36: 'file name too long',
         40: 'too many levels of symbolic links'}
signal.signal(signal.SIGIO, lambda *_: None)    # tells of a lease being broken; a handler, for children would inherit "ignored"


def selected(names):
    """[(way, reason why it is skipped or None)]"""
    with open(os.path.join(fated.cgroup2_mount(), 'cgroup.controllers')) as f:
        missing = sorted({'memory', 'pids'} - set(f.read().split()))
    why = f'needs the control group controllers {" and ".join(missing)}, not in cgroup2 here' if missing else None
    if os.environ.get('MATRIX_VM') == '1':
        why = None                      # what is missing there is a failure
    ways = [(w, None) for w in WAYS]
    ways += [(w, why) for w in CONTROLLER_WAYS]
    return [(w, why) for w, why in ways if not names or w.name in names]


def own_group():
    """(path below the cgroup2 mount, id) of a process's control group."""
    return group_of('self')


def group_of(pid):
    path = [line[3:].rstrip('\n') for line in open(f'/proc/{pid}/cgroup') if line.startswith('0::')][0]
    return path, str(os.stat(fated.cgroup2_mount() + path).st_ino)


class Run:
    """One run of a way: what it told itself, and what became of it."""
    def __init__(self, matrix, way, request_id):
        self.matrix, self.way, self.request_id = matrix, way, request_id
        self.record = self.outside = None
        self.notes_kept = {}    # what outlives the folder they are in
        self.wrong = {}         # field: None or what is wrong

    def notes(self):
        """{what: pid}"""
        with contextlib.suppress(FileNotFoundError), open(self.matrix.path(self.way, 'notes', self.request_id, 'notes')) as f:
            return {line.split()[0]: int(line.split()[1]) for line in f if line.endswith('\n')}
        return {}

    def leaf(self):
        """(path below the mount, id) of its own leaf."""
        with open(self.matrix.path(self.way, 'notes', self.request_id, 'notes')) as f:
            _, _, inode, path = f.readline().rstrip('\n').split(' ', 3)
        return path[len(self.matrix.mount):], inode

    def pid(self, name):
        return {'outside': self.outside, 'daemon': self.matrix.d.process and self.matrix.d.process.pid,
                'test': os.getpid()}.get(name) or self.notes().get(name)

    def sender(self, sender):
        """What the record must say of it, the names replaced by what they stand for."""
        if sender['kernel']:
            return sender
        path, inode = self.leaf() if sender['cgroup'] == 'leaf' else self.matrix.groups[sender['cgroup']]
        comm = open('/proc/self/comm').read().strip() if sender['comm'] == 'test' else sender['comm']
        return dict(sender, pid=self.pid(sender['pid']), comm=comm, cgroup=path, cgroupId=inode)

    def oom(self, oom):
        leaf = oom.get('limitCgroup')
        return dict(oom, victim=dict(oom['victim'], pid=self.pid(oom['victim']['pid'])),
                    limitCgroup=Maybe(self.leaf()[0]) if leaf else None)

    def late(self):
        return bool(set(self.way.needs) - set(self.notes()))


class Matrix:
    def __init__(self, d, observer):
        self.d, self.observer = d, observer
        self.mount = fated.cgroup2_mount()
        for tool in (fated.DIE, fated.KILL):    # where any user may run them
            shutil.copy(tool, d.work)
        shutil.copy(fated.DIE, os.path.join(d.work, 'leased'))
        self.die = os.path.join(d.work, 'prog_die')
        d.script('no-interpreter', '#!/no/such/interpreter\n')
        d.script('loop', f'#!{d.work}/loop\n')
        d.script('not-a-program', 'MZ? no.\n')
        os.symlink('ring', os.path.join(d.work, 'ring'))
        os.mkdir(os.path.join(d.work, 'private'), 0o700)
        os.chmod(d.script('not-executable', '#!/bin/sh\n'), 0o644)
        self.told = {}          # request id: digest of its record, for the queue

    # ---- before ----------------------------------------------------------------------------------------------
    def path(self, way, *what):
        return os.path.join(self.d.work, way.name, *what)

    def define(self, way):
        for p in ('', 'cwd', 'notes'):
            os.mkdir(self.path(way, p))
            os.chmod(self.path(way, p), 0o777)
        m = dict({'WorkingDirectory': self.path(way, 'cwd')}, **way.members)
        m = {k: v.replace('WORK', self.d.work) if isinstance(v, str) else v for k, v in m.items()}
        self.d.define(way.name, self.command(way), Timeout=way.timeout, on_success='queue:out', on_failure='queue:out',
                      variables={'DIE_NOTES': self.path(way, 'notes'), 'PATH': os.environ['PATH']}, **m)

    def command(self, way):
        return [c.replace('DIE', self.die).replace('WORK', self.d.work) for c in way.command]

    def started(self):
        controllers = open(os.path.join(self.d.group, 'cgroup.controllers')).read().split()
        self.host = Host(self.observer, controllers, os.major(os.stat(self.d.work).st_dev) != 0)
        self.groups = {'test': own_group(), 'daemon': group_of(self.d.process.pid)}

    # ---- help ------------------------------------------------------------------------------------------------
    def noted(self, runs, what):
        for run in runs:
            until(lambda r=run: what in r.notes() or r.way.needs and self.over(r), f'{run.way.name} notes {what}')
        return [run for run in runs if what in run.notes()]

    def over(self, run):
        return bool(self.d.get(f'/fate/v1/events/{run.request_id}').get('condition'))

    def help_kill(self, runs, number, uid, sign=''):
        """One process sends the signal to all of them, once they are in place."""
        runs = self.noted(runs, 'waiting')
        pids = ','.join(sign + str(r.pid('waiting')) for r in runs)
        killer = subprocess.Popen([os.path.join(self.d.work, 'prog_kill'), pids, str(number)] + ([str(uid)] if uid else []))
        status = killer.wait()
        for r in runs:
            r.outside = killer.pid
        if status and not runs[0].way.needs:
            raise AssertionError(f'exit status of prog_kill is {status}')

    def help_kill_group(self, runs, number, uid):
        self.help_kill(runs, number, uid, '-')

    def help_kill_traced(self, runs, number):
        """Somebody's debugger keeps the dead from their parent for a while; the daemon serves others meanwhile."""
        tracers = []
        for r in self.noted(runs, 'waiting'):
            tracers.append(subprocess.Popen([self.die, 'trace', str(r.pid('waiting'))], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            equal(tracers[-1].stdout.readline(), b'tracing\n', 'word of the tracer')
        self.help_kill(runs, number, 0)
        for r in runs:
            until(lambda r=r: not fated.alive(r.pid('waiting')), 'it is dead')
            equal(self.over(r), False, 'the attempt is over before its leader is given back')
        for t in tracers:
            t.communicate()
            equal(t.returncode, 0, 'exit status of the tracer')

    def help_cgroup_kill(self, runs):
        for r in self.noted(runs, 'leader'):
            with open(f'{self.mount}{r.leaf()[0]}/cgroup.kill', 'w') as f:
                f.write('1')

    def help_cancel(self, runs):
        for r in self.noted(runs, 'leader'):
            a = self.d.request('POST', f'/fate/v1/events/{r.request_id}/cancel')
            if a.status // 100 != 2:
                raise AssertionError(f'cancel: {a}')

    def states(self, request_id):
        return [e['state'] for e in self.d.get('/fate/v1/status')['environments'] if e['requestId'] == request_id]

    def help_end_leftovers(self, runs, state):
        """Ends what a leader left behind as soon as the daemon knows that the leader is gone."""
        for r in self.noted(runs, 'stays'):
            until(lambda r=r: self.states(r.request_id) == [state], f'{r.way.name} is {state}')
            os.kill(r.pid('stays'), signal.SIGTERM)

    def help_outlive(self, runs):
        """The answer comes though a child goes on; afterwards the child is told to end."""
        for r in runs:
            self.d.wait(r.request_id)
            if not fated.alive(r.pid('stays')):
                raise AssertionError('the child did not live on')
            equal(self.states(r.request_id), ['left'], 'environments of the event')
        self.help_end_leftovers(runs, 'left')

    @contextlib.contextmanager
    def lease(self):
        """While it is held nobody can open the file: execve() waits in the kernel."""
        fd = os.open(os.path.join(self.d.work, 'leased'), os.O_RDONLY)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            yield
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        finally:
            os.close(fd)

    # ---- what the record says around the fate -----------------------------------------------------------------
    def answer(self, way, verdict, fate, request_id):
        """The answer of the function or of the platform, as lambda.md section 2.4 has it."""
        if verdict in ('Success', 'Error'):
            return way.payload
        kind, text = {
            'Crash': lambda: ('Runtime.ExitError', f'Runtime exited with error: exit status {fate["exitStatus"]}'),
            'Signal': lambda: ('Runtime.ExitError', f'Runtime exited with error: signal: {signal_text(fate["signal"])}'),
            'OutOfMemory': lambda: ('Runtime.OutOfMemory', 'Runtime exited with error: signal: killed'),
            'Timeout': lambda: ('Sandbox.Timedout', f'Task timed out after {way.timeout:.2f} seconds'),
            'ExecFailed': lambda: ('Runtime.InvalidEntrypoint', self.exec_text(way)),
            'Cancelled': lambda: ('Runtime.Cancelled', 'The invocation was cancelled'),
            'ResponseTooLarge': lambda: ('Function.ResponseSizeTooLarge', None),
        }[verdict]()
        if text is None:
            return {'errorType': kind, 'errorMessage':
                    f'Response payload size exceeded maximum allowed payload size ({LIMIT} bytes).'}
        return {'errorType': kind, 'errorMessage': f'RequestId: {request_id} Error: {text}'}

    def exec_text(self, way):
        step, error = way.exec_error
        if not error:
            return f'there is no user {way.members["User"]}'
        return f'fork/exec {self.command(way)[0][:PATH_SHOWN]}: {ERRNO[error]}' if step == 'execve' else f'{step}: {ERRNO[error]}'

    def bare(self, way, fate):
        if fate.get('exitStatus') != 'bare':
            return fate
        return dict(fate, exitStatus=subprocess.run([self.die] + way.command[1:]).returncode)

    def which_end(self, way, got):
        """The alternative that this run's end is to be compared with."""
        for end in way.ends:
            if got.get('verdict') == end[0] and ('signal' in got) == ('signal' in end[1]):
                return end
        return way.ends[0]

    def check_record(self, run):
        way, record = run.way, run.record
        last = record['fate']['attempts'][-1]
        verdict, fate, _ = self.which_end(way, last)
        fate = self.bare(way, fate)
        failed = verdict != 'Success'
        want = {
            'version': '1.0',
            'timestamp': record.get('timestamp'),
            'requestContext': {
                'requestId': run.request_id,
                'functionArn': f'arn:aws:lambda:us-east-1:000000000000:function:{way.name}:$LATEST',
                'condition': way.condition or ('RetriesExhausted' if failed else 'Success'),
                'approximateInvokeCount': len(way.attempts or [0]) if failed else 1,
            },
            'requestPayload': way.event,
            'responseContext': dict({'statusCode': 200, 'executedVersion': '$LATEST'}, **({'functionError': 'Unhandled'} if failed else {})),
            'responsePayload': self.answer(way, verdict, fate, run.request_id),
            'fate': record.get('fate'),
        }
        for k in want:
            if record.get(k) != want[k]:
                return f'{k} is {str(record.get(k))[:400]!r}, want {str(want[k])[:400]!r}'
        return None if set(record) == set(want) else f'members of the record are {sorted(record)}'

    # ---- judging a run ---------------------------------------------------------------------------------------
    def check(self, run):
        way, attempts = run.way, run.record['fate']['attempts']
        run.notes_kept = run.notes()
        wanted = way.attempts or [None]
        run.wrong['attempts'] = None if len(attempts) == len(wanted) else f'{len(attempts)} attempts, want {len(wanted)}'
        event = self.d.get(f'/fate/v1/events/{run.request_id}')
        for n, (got, plan, told) in enumerate(zip(attempts, wanted, event['attempts']), 1):
            verdict, own, sender = (*plan, None) if plan else self.which_end(way, got)
            wall_ms = milliseconds(told['endedAt']) - milliseconds(told['startedAt'])
            for k, why in check_attempt(way, run, self.host, n, got, wall_ms, verdict, self.bare(way, own), sender).items():
                run.wrong[k] = run.wrong.get(k) or why
        run.wrong['consistent'] = run.wrong.get('consistent') or check_sequence(attempts)
        run.wrong['record'] = self.check_record(run)
        same = [a['fate'] for a in event['attempts']] == attempts
        run.wrong['event'] = None if same else f'the event says {str(event["attempts"])[:400]}'
        alive = [f'{pid} ({what})' for what, pid in run.notes().items() if fated.alive(pid)]
        run.wrong['gone'] = f'still alive: {alive}' if alive and 'leftRunning' not in attempts[-1] else None

    def check_core(self, run):
        way = run.way
        pattern = open('/proc/sys/kernel/core_pattern').read().strip()
        if way.core is None or '/' in pattern or pattern.startswith('|'):
            return None                 # the host keeps cores elsewhere
        core = [f for f in os.listdir(self.path(way, 'notes', run.request_id)) if f.startswith('core')]
        return None if bool(core) == way.core else f'core files are {core}'

    # ---- running ---------------------------------------------------------------------------------------------
    def batch(self, way, n):
        """So many runs of one way at once; returns those that died the death that was meant."""
        name, *args = way.help or (None,)
        with self.lease() if name == 'lease' else contextlib.nullcontext():
            runs = [Run(self, way, self.d.accept(way.name, way.event)) for _ in range(max(n, way.least))]
            if name and name != 'lease':
                getattr(self, f'help_{name}')(runs, *args)
            for run in runs:
                run.record = self.d.wait(run.request_id)
        meant = [r for r in runs if not r.late()]
        for run in runs:
            self.told[run.request_id] = digest(run.record)
        for run in meant:
            self.check(run)
            run.wrong['core'] = self.check_core(run)
        return meant

    def play(self, way, n):
        """Runs of a way until n of them died as was meant."""
        r, tries = [], 0
        while len(r) < n:
            r += self.batch(way, n - len(r))
            tries += 1
            if tries > AGAIN:
                raise AssertionError(f'only {len(r)} of {n} runs were in place before their deadline')
        return r

    def synchronous(self, way):
        """The same death as a caller sees it: status 200, the answer, an error header."""
        before = set(os.listdir(self.path(way, 'notes')))
        caller = fated.UnixConnection(self.d.socket, fated.PATIENCE)
        caller.request('POST', f'/2015-03-31/functions/{way.name}/invocations', json.dumps(way.event))
        if way.help:
            new = until(lambda: set(os.listdir(self.path(way, 'notes'))) - before, f'{way.name} starts')
            getattr(self, f'help_{way.help[0]}')([Run(self, way, new.pop())], *way.help[1:])
        response = caller.getresponse()
        a = fated.Answer(response, response.read())
        caller.close()
        equal(a.status, 200, 'status')
        equal(a.headers.get('X-Amz-Function-Error'), None if way.verdict == 'Success' else 'Unhandled', 'X-Amz-Function-Error')
        equal(a.headers.get('X-Amz-Executed-Version'), '$LATEST', 'X-Amz-Executed-Version')
        equal(a.headers.get('X-Fate-Outcome'), way.verdict, 'X-Fate-Outcome')
        want = self.answer(way, way.verdict, way.ends[0][1], a.headers['x-amzn-RequestId'])
        if a.json() != want:
            raise AssertionError(f'body is {a.body[:400]!r}, want {str(want)[:400]!r}')

    def settle(self):
        """Nothing may be left of any run, and the queue must have each record exactly once."""
        until(lambda: not self.d.leaves(), lambda: f'leaves are left: {self.d.leaves()}')
        counts = collections.Counter()
        for m in self.d.drain('out'):
            body = m['body']
            request_id = body['requestContext']['requestId']
            counts[request_id] += 1
            equal(digest(body) == self.told.get(request_id), True, f'message for {request_id} is its record')
        equal({i for i in self.told if counts[i] != 1}, set(), 'events without exactly one message')
        equal(set(counts) - set(self.told), set(), 'messages of nobody')


def digest(record):
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).digest()


class Results(dict):
    """{way: [Run]}, and what went wrong outside any record: failures {way: text}."""
    def __init__(self):
        super().__init__()
        self.failures = {}


def play(ways, observer, runs, at_once=AT_ONCE, before=lambda: None, sync=False):
    """Plays all ways with one daemon. runs(way): how many of each. Returns Results."""
    r = Results()
    with Fated({'Observer': 'fallback'} if observer == 'fallback' else {}, name='matrix') as d:
        m = Matrix(d, observer)
        for way in ways:
            m.define(way)
        d.start()
        m.started()
        before()

        def one(way):
            try:
                r[way] = m.play(way, runs(way))
                if sync and way.sync:
                    m.synchronous(way)
            except (AssertionError, OSError, KeyError, ValueError, subprocess.SubprocessError) as e:
                r.failures[way] = f'{type(e).__name__}: {e}'
        # Those that take their time go first, and beside each other.
        slow = [w for w in ways if w.timeout < LONG or w.heavy]
        with concurrent.futures.ThreadPoolExecutor(max(at_once, 4)) as pool:
            list(pool.map(one, slow if at_once == 1 else slow + [w for w in ways if w not in slow]))
        if at_once == 1:
            for way in ways:
                if way not in slow:
                    one(way)
        if not r.failures:
            m.settle()
        if Rarely.skipped and observer == 'bpf':
            print(f'# programs, with the runs of them that the kernel skipped: {skipped_runs(d)}', flush=True)
    return r


def skipped_runs(d):
    """What may explain a member that is absent though the kernel half should know it."""
    return {name: fated.bpftool('prog', 'show', 'pinned', f'{d.dir}/bpf/prog/fate_{name}').get('recursion_misses', 0)
            for name in ('fork', 'exec', 'signal', 'exit')}             # a member only when there are any


def wrongs(runs):
    """{field: first thing that is wrong with it}"""
    r = {}
    for run in runs:
        for field, why in run.wrong.items():
            if why:
                r.setdefault(field, why)
    return r


def right(runs):
    """{field: number of runs in which it was right}; a member that is not of a run's death, and not there, is right, too."""
    fields = {field for run in runs for field in run.wrong}
    return {field: sum(not run.wrong.get(field) for run in runs) for field in fields}


# ---- tables --------------------------------------------------------------------------------------------------
def end_of(f):
    if 'signalName' in f:
        return f['signalName'] + (' (core)' if f['coreDumped'] else '')
    return f'exit {f["exitStatus"]}' if 'exitStatus' in f else f'{f.get("execStep", "?")} {f.get("execErrno", "")}'


def meant(way):
    """Exit status or signal of the end that was meant, as exitsnoop would print it; None when it may be several."""
    ends = [end_of(f) for f in ([end[1] for end in way.ends])]
    return ends[0] if len(ends) == 1 and way.ends[0][1].get('exitStatus') != 'bare' and not way.exec_error else None


def sender_of(f):
    s = f.get('sender')
    return '-' if not s else 'kernel' if s['kernel'] else f'{s["comm"]} (pid {s["pid"]}, uid {s["uid"]}) in {s.get("cgroup", "?")[-24:]}'
