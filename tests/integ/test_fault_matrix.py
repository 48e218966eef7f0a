#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ways a function can end, each against the real daemon: verdict, status, signal, core bit, sender, record, witness.

Every way runs on an idle machine and again with every processor busy, as an asynchronous event whose record goes to a
queue, some also as a synchronous call. Nothing is compared loosely: a record and its member "fate" must have exactly the
members expected of that death, and only times are checked by form. Closes with a table of what was seen
($MATRIX_TABLE=no: without). $MATRIX_VM=1 adds the ways that need a memory controller.
"""
import json, os, re, shutil, subprocess, sys
import fated
from fated import Fated, Load, Skip, Tests, equal, until

TIMEOUT = 1 * fated.FACTOR              # of the ways that end by it
LONG = 60 * fated.FACTOR                # of the others
NOBODY = 65534
ISO = re.compile(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ')
SIGNALS = {4: ('SIGILL', 'illegal instruction'), 6: ('SIGABRT', 'aborted'), 7: ('SIGBUS', 'bus error'), 9: ('SIGKILL', 'killed'),
           8: ('SIGFPE', 'floating point exception'), 11: ('SIGSEGV', 'segmentation fault'), 14: ('SIGALRM', 'alarm clock'),
           15: ('SIGTERM', 'terminated'), 40: ('SIG40', 'signal 40')}
KERNEL = {'kernel': True}
CORE, NO_CORE = [1 << 26, 1 << 26], [1, 1]      # 1: too small for a file, and what makes a core pipe refuse


class Way:
    """One way to end. die: arguments of prog_die, or command: the whole argv.

    fate holds the members of the attempt's fate that are this death's own; payload is the answer (None: derived from the
    verdict); notes, how many "WHAT PID" lines to wait for; kill: (signal, uid) sent from outside once "waiting" is noted.
    """
    def __init__(self, name, die=None, verdict='Success', payload=None, fate=None, sender=None, command=None, event=None,
                 kill=None, sync=False, timeout=None, processes=1, check=None, attempts=None, exec_error=None, **members):
        self.name, self.verdict, self.payload, self.fate, self.sender = name, verdict, payload, fate or {}, sender
        self.command = command if command else ['DIE'] + die.split()
        self.event = {'way': name} if event is None else event
        self.kill, self.sync, self.check, self.members = kill, sync, check, members
        self.timeout = timeout or (TIMEOUT if verdict == 'Timeout' else LONG)
        self.processes, self.attempts, self.exec_error = processes, attempts, exec_error


def exited(n):
    return {'exitStatus': n}


def signalled(n, core=False):
    return {'signal': n, 'signalName': SIGNALS[n][0], 'coreDumped': core}


def signal_way(name, die, n, sender, core=False, also=None, **more):
    """A death by signal; core says whether the limit lets the kernel write one."""
    return Way(name, die, 'Signal', fate=dict(signalled(n, core), **(also or {})), sender=sender, Rlimits={'CORE': CORE if core else NO_CORE},
               core=core, **more)


WELL = {'ended': 'well'}
OWN = {'kernel': False, 'pid': 'leader', 'uid': 0, 'comm': 'prog_die'}
KILLER = {'kernel': False, 'pid': 'killer', 'uid': 0, 'comm': 'fate_killer'}
DAEMON = {'kernel': False, 'pid': 'daemon', 'uid': 0, 'comm': 'fated'}
HANDLED = {'errorType': 'ImageTooSmall', 'errorMessage': 'width 3 is below 16'}
GARBAGE = {'errorType': 'Function.InvalidErrorReport', 'errorMessage':
           'What the program wrote to FATE_ERROR_FD is not a JSON object with errorType and errorMessage: oops \ufffd not json'}
BIG_EVENT = {'filler': 'x' * 500000}
LIMIT = 6291556

WAYS = [
    # ---- by its own exit status
    Way('exit_0', 'exit 0', payload=WELL, fate=exited(0), sync=True),
    Way('exit_1', 'exit 1', 'Crash', fate=exited(1)),
    Way('exit_3', 'exit 3', 'Crash', fate=exited(3), sync=True),
    Way('exit_255', 'exit 255', 'Crash', fate=exited(255)),
    Way('second_attempt_well', 'attempts 3 0', payload=WELL, fate=exited(0), retries=1, delays=[0.05],
        attempts=[('Crash', exited(3)), ('Success', exited(0))]),
    Way('three_attempts_fail', 'attempts 1 3 255', 'Crash', fate=exited(255), retries=2, delays=[0.05],
        attempts=[('Crash', exited(1)), ('Crash', exited(3)), ('Crash', exited(255))]),
    # ---- by a signal, from itself, the kernel and from outside
    signal_way('sigsegv_fault', 'segv', 11, KERNEL, sync=True),
    signal_way('sigsegv_core', 'segv', 11, KERNEL, core=True),
    signal_way('sigsegv_raised', 'raise 11', 11, OWN),
    signal_way('sigsegv_outside', 'wait', 11, KILLER, kill=(11, 0)),
    signal_way('sigsegv_outside_core', 'wait', 11, KILLER, core=True, kill=(11, 0)),
    signal_way('sigkill_self', 'raise 9', 9, OWN),
    signal_way('sigkill_outside', 'wait', 9, KILLER, kill=(9, 0), sync=True),
    signal_way('sigkill_by_child', 'child-kills', 9, dict(OWN, pid='killer', comm='die_child'), processes=2, also={'leftovers': 1}),
    signal_way('sigterm_self', 'raise 15', 15, OWN),
    signal_way('sigterm_outside', 'wait', 15, KILLER, kill=(15, 0)),
    signal_way('sigterm_outside_user', 'wait', 15, dict(KILLER, uid=NOBODY), kill=(15, NOBODY), User='nobody', Group='nogroup'),
    signal_way('sigabrt_self', 'abort', 6, OWN),
    signal_way('sigabrt_core', 'abort', 6, OWN, core=True),
    signal_way('sigabrt_outside', 'wait', 6, KILLER, kill=(6, 0)),
    signal_way('sigabrt_outside_core', 'wait', 6, KILLER, core=True, kill=(6, 0)),
    signal_way('sigfpe', 'fpe', 8, KERNEL),
    signal_way('sigill', 'ill', 4, KERNEL),
    signal_way('sigbus', 'bus', 7, KERNEL),
    signal_way('sigalrm', 'alarm', 14, KERNEL),
    signal_way('realtime_signal', 'raise 40', 40, OWN),
    # ---- never ran
    Way('exec_missing', command=['WORK/no-such-program'], verdict='ExecFailed', exec_error=('execve', 2), sync=True),
    Way('exec_directory', command=['WORK'], verdict='ExecFailed', exec_error=('execve', 13)),
    Way('exec_not_executable', command=['WORK/not-executable'], verdict='ExecFailed', exec_error=('execve', 13)),
    Way('exec_not_a_program', command=['WORK/not-a-program'], verdict='ExecFailed', exec_error=('execve', 8)),
    Way('exec_interpreter_missing', command=['WORK/no-interpreter'], verdict='ExecFailed', exec_error=('execve', 2)),
    Way('working_directory_missing', 'exit 0', 'ExecFailed', exec_error=('chdir', 2), WorkingDirectory='WORK/no-such-directory'),
    # ---- families
    Way('double_fork', 'double-fork', payload={'left': 'behind'}, fate=dict(exited(0), leftovers=1), processes=3, sync=True),
    Way('zombie_child', 'zombie', payload='unreaped', fate=exited(0), processes=2),
    Way('child_storm', 'storm', payload=211, fate=exited(0), processes=212),
    Way('threads_are_no_processes', 'threads', payload=31, fate=exited(0)),
    Way('leader_thread_first_exit', 'leader-first exit', 'Crash', fate=exited(3)),
    Way('leader_thread_first_return', 'leader-first return', payload='returned', fate=exited(0)),
    Way('leader_thread_first_thread', 'leader-first thread', 'Crash', fate='bare'),
    Way('leader_thread_first_sigsegv', 'leader-first segv', 'Signal', fate=signalled(11), sender=KERNEL, Rlimits={'CORE': NO_CORE}),
    Way('nested_group_exit', 'nested-leader 4', 'Crash', fate=exited(4)),
    # ---- by the deadline
    Way('timeout', 'wait', 'Timeout', fate=signalled(9), sender=DAEMON, sync=True),
    Way('timeout_ignoring_sigterm', 'ignore-term', 'Timeout', fate=dict(signalled(9), graceSurvivors=1), sender=DAEMON,
        KillGracePeriod=0.2),
    Way('timeout_heeding_sigterm', 'heed-term', 'Timeout', fate=exited(0), KillGracePeriod=30 * fated.FACTOR),
    Way('timeout_stopped', 'stop', 'Timeout', fate=signalled(9), sender=DAEMON),
    Way('timeout_child_hangs', 'child-hangs', 'Timeout', fate=signalled(9), sender=DAEMON, processes=2),
    Way('timeout_setsid_child', 'setsid-child', 'Timeout', fate=signalled(9), sender=DAEMON, processes=2),
    Way('timeout_setsid_child_grace', 'setsid-child', 'Timeout', fate=dict(signalled(15), leftovers=1), sender=DAEMON, processes=2,
        KillGracePeriod=30 * fated.FACTOR),
    Way('timeout_nested_group', 'nested-child', 'Timeout', fate=signalled(9), sender=DAEMON, processes=2),
    # ---- by what it said
    Way('output_at_limit', f'output {LIMIT}', payload='a' * (LIMIT - 2), fate=exited(0), sync=True),
    Way('output_one_over_limit', f'output {LIMIT + 1}', 'ResponseTooLarge', fate='killed or done', sync=True),
    Way('output_7_mb', f'output {7 << 20}', 'ResponseTooLarge', fate='killed or done'),
    Way('output_endless', 'flood', 'ResponseTooLarge', fate=signalled(9), sender=DAEMON),
    Way('output_not_utf8', 'not-utf8', payload='caf\ufffd \ufffd\ufffd!', fate=dict(exited(0), bytesReplaced=3), sync=True),
    Way('output_not_json', 'text', payload='not JSON: "quoted"\n', fate=exited(0)),
    Way('output_none', 'silent', payload='null', fate=exited(0)),
    Way('output_closed', 'close-stdout', payload='null', fate=exited(0)),
    Way('event_round_trip', 'echo', payload=BIG_EVENT, event=BIG_EVENT, fate=exited(0), sync=True),
    Way('event_not_read', 'exit 0', payload=WELL, event=BIG_EVENT, fate=exited(0)),
    Way('handled_error_exit_0', 'handled 0', 'Error', payload=HANDLED, fate=exited(0), sync=True),
    Way('handled_error_exit_1', 'handled 1', 'Error', payload=HANDLED, fate=exited(1)),
    Way('garbage_report_exit_0', 'garbage 0', 'Error', payload=GARBAGE, fate=exited(0)),
    Way('garbage_report_exit_1', 'garbage 1', 'Error', payload=GARBAGE, fate=exited(1)),
]
NULL_PAYLOAD = ('output_none', 'output_closed')

MEMORY_WAYS = [
    Way('memory_within_limit', 'eat 100', payload='full', fate=exited(0), MemorySize=128, sync=True),
    Way('memory_oom_own_limit', 'eat 200', 'OutOfMemory', fate=dict(signalled(9), oom='own'), sender=KERNEL, MemorySize=128,
        sync=True),
    # memory.oom.group: the leader goes with its child
    Way('memory_oom_of_child', 'child-eats 200', 'OutOfMemory', fate=dict(signalled(9), oom='own'), sender=KERNEL, MemorySize=128,
        processes=2),
]


class Matrix:
    def __init__(self, d, load):
        self.d, self.load, self.rows = d, load, []
        for tool in (fated.DIE, fated.KILL):    # where any user may run them
            shutil.copy(tool, d.work)
        self.die = os.path.join(d.work, 'prog_die')
        d.script('no-interpreter', '#!/no/such/interpreter\n')
        d.script('not-a-program', 'MZ? no.\n')
        os.chmod(d.script('not-executable', '#!/bin/sh\n'), 0o644)

    def path(self, way, what):
        return os.path.join(self.d.work, f'{way.name}.{what}')

    def define(self, way):
        cwd = self.path(way, 'cwd')
        os.mkdir(cwd, 0o777)
        open(self.path(way, 'notes'), 'w').close()
        os.chmod(self.path(way, 'notes'), 0o666)
        m = {k: v for k, v in way.members.items() if k != 'core'}
        m.setdefault('WorkingDirectory', cwd)
        m = {k: v.replace('WORK', self.d.work) if isinstance(v, str) else v for k, v in m.items()}
        self.d.define(way.name, self.command(way), Timeout=way.timeout, on_success='queue:out', on_failure='queue:out',
                      variables={'DIE_NOTES': self.path(way, 'notes')}, **m)

    def command(self, way):
        return [self.die if c == 'DIE' else c.replace('WORK', self.d.work) for c in way.command]

    # ---- while it runs ---------------------------------------------------------------------------------------
    def notes(self, way):
        return dict(line.split() for line in open(self.path(way, 'notes')))

    def kill_from_outside(self, way):
        """Sends the signal once the function is in place; returns the killer's pid."""
        number, uid = way.kill
        pid = until(lambda: self.notes(way).get('waiting'), f'{way.name} waits')
        killer = subprocess.Popen([os.path.join(self.d.work, 'prog_kill'), pid, str(number)] + ([str(uid)] if uid else []))
        equal(killer.wait(), 0, 'exit status of prog_kill')
        return killer.pid

    # ---- what is expected ------------------------------------------------------------------------------------
    def answer(self, way, request_id):
        """The answer of the function or of the platform, as lambda.md section 2.4 has it."""
        if way.name in NULL_PAYLOAD:
            return None
        if way.payload is not None:
            return way.payload
        kind, text = {
            'Crash': lambda: ('Runtime.ExitError', f'Runtime exited with error: exit status {self.expected_fate(way)["exitStatus"]}'),
            'Signal': lambda: ('Runtime.ExitError', f'Runtime exited with error: signal: {SIGNALS[way.fate["signal"]][1]}'),
            'OutOfMemory': lambda: ('Runtime.OutOfMemory', 'Runtime exited with error: signal: killed'),
            'Timeout': lambda: ('Sandbox.Timedout', f'Task timed out after {way.timeout:.2f} seconds'),
            'ExecFailed': lambda: ('Runtime.InvalidEntrypoint', self.exec_text(way)),
            'ResponseTooLarge': lambda: ('Function.ResponseSizeTooLarge', None),
        }[way.verdict]()
        if text is None:
            return {'errorType': kind, 'errorMessage':
                    f'Response payload size exceeded maximum allowed payload size ({LIMIT} bytes).'}
        return {'errorType': kind, 'errorMessage': f'RequestId: {request_id} Error: {text}'}

    def exec_text(self, way):
        words = {2: 'no such file or directory', 13: 'permission denied', 8: 'exec format error'}[way.exec_error[1]]
        step = way.exec_error[0]
        return f'fork/exec {self.command(way)[0]}: {words}' if step == 'execve' else f'{step}: {words}'

    def expected_fate(self, way):
        if way.fate == 'bare':
            # Which thread's status a process has when none called exit_group changed in Linux 6.0: ask a bare run.
            way.fate = exited(subprocess.run([self.die] + way.command[1:]).returncode)
        return way.fate

    def check_fate(self, way, got, verdict, own, attempt, timeout, senders):
        """One attempt's entry: exactly the members of this death."""
        want = {'attempt': attempt, 'verdict': verdict, 'witness': 'both', 'processes': way.processes}
        timed = {'startedAt', 'durationMs', 'verdictUs'}
        if way.exec_error:
            want.update(execStep=way.exec_error[0], execErrno=way.exec_error[1])
        elif own == 'killed or done':
            # Over the limit by less than a pipe holds: it may be done before the kill reaches it.
            own = exited(0) if 'exitStatus' in got else signalled(9)
            if 'signal' in got:
                want['sender'] = dict(DAEMON, pid=senders['daemon'])
        if isinstance(own, dict):
            want.update(own)
        if way.sender and 'signal' in want:
            want['sender'] = dict(way.sender)
            if 'pid' in want['sender']:
                want['sender']['pid'] = senders[want['sender']['pid']]
        if verdict == 'Timeout':
            want['timeoutMs'] = round(timeout * 1000)
            timed.add('deadlineToEmptyMs')
        oom = want.pop('oom', None)
        self.check_oom(got, oom)
        seen = {k: v for k, v in got.items() if k not in timed and k not in ('oom', 'memoryPeakBytes')}
        if oom and seen.get('leftovers') == way.processes - 1:
            del seen['leftovers']       # the victim may still be giving its memory back when the leader is gone
        equal(seen, want, f'fate of attempt {attempt}')
        equal(timed - set(got), set(), 'missing times')
        for k in timed - {'startedAt'}:
            if not isinstance(got[k], (int, float)) or got[k] < 0:
                raise AssertionError(f'{k} is {got[k]!r}')
        if not ISO.fullmatch(got['startedAt']):
            raise AssertionError(f'startedAt is {got["startedAt"]!r}')
        if verdict == 'Timeout' and got['durationMs'] < timeout * 1000:
            raise AssertionError(f'timed out after {got["durationMs"]} ms of {timeout * 1000}')

    def check_oom(self, got, scope):
        if not scope:
            if 'oom' in got:
                raise AssertionError(f'oom is {got["oom"]!r}, nothing of the kind happened')
            return
        oom = dict(got['oom'])
        if oom.pop('kills') < 1:
            raise AssertionError('no OOM kill counted')
        equal(oom, {'scope': scope, 'victim': 'prog_die', 'limitBytes': 128 << 20}, 'oom')

    def check_record(self, way, record, request_id, senders):
        """AWS's asynchronous record 1.0 member by member, and our own one."""
        own = self.expected_fate(way)
        verdict = way.verdict
        payload = self.answer(way, request_id)
        failed = verdict != 'Success'
        attempts = way.attempts or [(verdict, own)]
        if not ISO.fullmatch(record.get('timestamp', '')):
            raise AssertionError(f'timestamp is {record.get("timestamp")!r}')
        want = {
            'version': '1.0',
            'timestamp': record['timestamp'],
            'requestContext': {
                'requestId': request_id,
                'functionArn': f'arn:aws:lambda:us-east-1:000000000000:function:{way.name}:$LATEST',
                'condition': 'RetriesExhausted' if failed else 'Success',
                'approximateInvokeCount': len(attempts) if failed else 1,
            },
            'requestPayload': way.event,
            'responseContext': dict({'statusCode': 200, 'executedVersion': '$LATEST'}, **({'functionError': 'Unhandled'} if failed else {})),
            'responsePayload': payload,
        }
        equal(set(record), set(want) | {'fate'}, 'members of the record')
        for k, v in want.items():
            if record[k] != v:
                raise AssertionError(f'{k} is {str(record[k])[:400]!r}, want {str(v)[:400]!r}')
        equal(list(record['fate']), ['attempts'], 'members of fate')
        equal(len(record['fate']['attempts']), len(attempts), 'attempts in fate')
        for n, (got, (v, fate)) in enumerate(zip(record['fate']['attempts'], attempts), 1):
            self.check_fate(way, got, v, fate, n, way.timeout, senders)

    # ---- running one -----------------------------------------------------------------------------------------
    def asynchronous(self, way):
        request_id = self.d.accept(way.name, way.event)
        senders = {'daemon': self.d.process.pid}
        if way.kill:
            senders['killer'] = self.kill_from_outside(way)
        record = self.d.wait(request_id)
        notes = self.notes(way)
        if 'killer' in notes:
            senders['killer'] = int(notes['killer'])
        for n in ('raising', 'aborting'):
            if n in notes:
                senders['leader'] = int(notes[n])
        self.check_record(way, record, request_id, senders)
        for what, pid in notes.items():
            if fated.alive(pid):
                raise AssertionError(f'process {pid} ({what}) is still alive')
        message = self.d.drain('out')
        equal(len(message), 1, 'messages in the queue')
        equal(message[0]['body'], record, 'message in the queue')
        event = self.d.get(f'/fate/v1/events/{request_id}')
        equal([a['fate'] for a in event['attempts']], record['fate']['attempts'], 'attempts of the event')
        if 'core' in way.members:
            self.check_core(way)
        return record['fate']['attempts'][-1]

    def check_core(self, way):
        pattern = open('/proc/sys/kernel/core_pattern').read().strip()
        if '/' in pattern or pattern.startswith('|'):
            return                      # the host keeps cores elsewhere
        core = [f for f in os.listdir(self.path(way, 'cwd')) if f.startswith('core')]
        equal(len(core), 1 if way.members['core'] else 0, 'core files')

    def synchronous(self, way):
        """The same death as a caller sees it: status 200, the answer, an error header."""
        open(self.path(way, 'notes'), 'w').close()
        if way.kill:
            caller = fated.UnixConnection(self.d.socket, fated.PATIENCE)
            caller.request('POST', f'/2015-03-31/functions/{way.name}/invocations', json.dumps(way.event))
            self.kill_from_outside(way)
            response = caller.getresponse()
            a = fated.Answer(response, response.read())
            caller.close()
        else:
            a = self.d.invoke(way.name, way.event)
        equal(a.status, 200, 'status')
        equal(a.headers.get('X-Amz-Function-Error'), None if way.verdict == 'Success' else 'Unhandled', 'X-Amz-Function-Error')
        equal(a.headers.get('X-Amz-Executed-Version'), '$LATEST', 'X-Amz-Executed-Version')
        equal(a.headers.get('X-Fate-Outcome'), way.verdict, 'X-Fate-Outcome')
        want = self.answer(way, a.headers['x-amzn-RequestId'])
        if a.json() != want:
            raise AssertionError(f'body is {a.body[:400]!r}, want {str(want)[:400]!r}')

    def run(self, way):
        fate = self.asynchronous(way)
        self.rows.append((way, fate))
        if way.sync:
            self.synchronous(way)
        # The supervisor is done with it: nothing may be left of the leaf.
        until(lambda: not self.d.leaves(), lambda: f'leaf removed: {self.d.leaves()}')

    def table(self):
        if os.environ.get('MATRIX_TABLE') == 'no':
            return
        print(f'\n  {"way, " + self.load:<32} {"verdict":<17} {"end":<14} {"core":<5} {"sender":<36} {"procs":>5} {"witness":<7} {"ms":>9}')
        for way, f in self.rows:
            end = f.get('signalName') or (f'exit {f["exitStatus"]}' if 'exitStatus' in f else f'{f["execStep"]} {f["execErrno"]}')
            s = f.get('sender', {})
            who = 'kernel' if s.get('kernel') else f'{s["comm"]} (pid {s["pid"]}, uid {s["uid"]})' if s else '-'
            core = {True: 'yes', False: 'no', None: '-'}[f.get('coreDumped')]
            print(f'  {way.name:<32} {f["verdict"]:<17} {end:<14} {core:<5} {who:<36} {f["processes"]:>5} {f["witness"]:<7} {f["durationMs"]:>9.1f}')
        print(flush=True)


def play(tests, load, ways):
    with Fated(name=f'matrix-{load}') as d:
        m = Matrix(d, load)
        for way in ways:
            m.define(way)
        d.start()
        for way in ways:
            if not tests.run(f'matrix_{way.name}_{load}', m.run, way):
                print(d.log_tail(12), end='', flush=True)
                d.drain('out')          # what this one left must not fail the next
        m.table()


def main():
    tests = Tests()
    ways = WAYS + (MEMORY_WAYS if os.environ.get('MATRIX_VM') == '1' else [])
    if len(sys.argv) > 1:
        ways = [w for w in ways if w.name in sys.argv[1:]]
    tests.run('matrix_idle_leaves_nothing', play, tests, 'idle', ways)

    def loaded():
        with Load():
            play(tests, 'load', ways)
    tests.run('matrix_load_leaves_nothing', loaded)
    tests.end()


if __name__ == '__main__':
    main()
