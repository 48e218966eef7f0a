# SPDX-License-Identifier: Apache-2.0
"""The ways a function can end, as data: what runs, what helps it along, and what its record must say.

Read by the fault matrix (tests/integ/test_fault_matrix.py) and by `make truth`. What every record must say whatever the
way, and what follows from the host and the observer, is in fate_check.py; how a way is run, in matrix.py.
"""
import signal
import fated
from fate_check import AtLeast, Between, Maybe

TIMEOUT = 1 * fated.FACTOR              # of the ways that end by it
LONG = 60 * fated.FACTOR                # of the others
SLEEP = int(200 * fated.FACTOR)
NOBODY = 65534
# What Go calls them on Linux; it has no words for the others.
TEXTS = {1: 'hangup', 2: 'interrupt', 3: 'quit', 4: 'illegal instruction', 5: 'trace/breakpoint trap', 6: 'aborted', 7: 'bus error',
         8: 'floating point exception', 9: 'killed', 10: 'user defined signal 1', 11: 'segmentation fault',
         12: 'user defined signal 2', 13: 'broken pipe', 14: 'alarm clock', 15: 'terminated'}
DUMPING = (3, 4, 5, 6, 7, 8, 11, 24, 25, 31)    # leave a core where the limit lets them
FATAL = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31)
CORE, NO_CORE = [1 << 26, 1 << 26], [1, 1]      # 1: too small for a file, and what makes a core pipe refuse
CHILDREN = 19                           # beside the leader, at PidsMax 20


def signal_name(n):
    if n == 16:
        return 'SIGSTKFLT'              # Python has none
    return signal.Signals(n).name if n < 32 else f'SIG{n}'


def signal_text(n):
    return TEXTS.get(n, f'signal {n}')


class Way:
    """One way to end. die: arguments of prog_die, or command: the whole argv ("DIE" and "WORK" stand for paths).

    fate     the members of the attempt's fate that are this death's own; also lower bounds of what it used
    ends     instead of verdict, fate and sender: [(verdict, fate, sender)], each of which would be right
    payload  the answer (None: derived from the verdict)
    attempts [(verdict, fate)] when there is more than one
    needs    notes that must be there in the end; else it did not come so far before its deadline and is run again
    help     who helps, a method of matrix.py, and its arguments
    heavy    too costly for 20 runs in a test
    """
    def __init__(self, name, die=None, verdict='Success', payload=None, fate=None, sender=None, command=None, event=None,
                 help=None, sync=False, timeout=None, processes=1, threads=None, attempts=None, exec_error=None, ends=None,
                 needs=(), least=1, heavy=False, core=None, condition=None, started=True, never=None, **members):
        self.name, self.payload, self.members = name, payload, members
        self.ends = ends or [(verdict, dict(fate or {}), sender)]
        self.verdict = self.ends[0][0]
        self.command = command if command else ['DIE'] + die.split()
        self.event = {'way': name} if event is None else event
        self.help, self.sync, self.needs, self.least, self.heavy, self.core = help, sync, needs, least, heavy, core
        self.timeout = timeout or (TIMEOUT if self.verdict == 'Timeout' else LONG)
        self.processes = processes
        self.threads = threads if threads else processes if isinstance(processes, int) else AtLeast(1)
        self.attempts, self.exec_error, self.condition, self.started = attempts, exec_error, condition, started
        self.never = never              # why this host cannot play it


def exited(n, **more):
    return dict({'exitStatus': n}, **more)


def signalled(n, core=False, **more):
    return dict({'signal': n, 'signalName': signal_name(n), 'coreDumped': core}, **more)


def signal_way(name, die, n, sender, core=False, also=None, Rlimits=None, **more):
    """A death by signal; core says whether the limit lets the kernel write one."""
    return Way(name, die, 'Signal', fate=signalled(n, core, **(also or {})), sender=sender, core=core,
               Rlimits=dict({'CORE': CORE if core else NO_CORE}, **(Rlimits or {})), **more)


def outside(n, uid=0):
    return ('kill', n, uid)


WELL = {'ended': 'well'}
KERNEL = {'kernel': True}
# pid and cgroup are names here, of what the run itself tells (Run.names).
OWN = {'kernel': False, 'pid': 'start', 'uid': 0, 'comm': 'prog_die', 'cgroup': 'leaf'}
SIBLING = dict(OWN, pid='killer', comm='die_child')
KILLER = {'kernel': False, 'pid': 'outside', 'uid': 0, 'comm': 'fate_killer', 'cgroup': 'test'}
TEST = dict(KILLER, pid='test', comm='test')
DAEMON = {'kernel': False, 'pid': 'daemon', 'uid': 0, 'comm': 'fated', 'cgroup': 'daemon'}
HANDLED = {'errorType': 'ImageTooSmall', 'errorMessage': 'width 3 is below 16'}
GARBAGE = {'errorType': 'Function.InvalidErrorReport', 'errorMessage':
           'What the program wrote to FATE_ERROR_FD is not a JSON object with errorType and errorMessage: oops \ufffd not json'}
BIG_EVENT = {'filler': 'x' * 500000}
LIMIT = 6291556
LINES = ''.join(f'line {n}\n' for n in range(31, 51))     # the last 20 of 50
LATE = [('Timeout', signalled(9), DAEMON)]
SH_CHAIN = '''sh -c "sh -c 'DIE spin 20; :'; :"; :'''


def one_of_each_signal():
    for n in FATAL:
        name = signal_name(n).lower()
        yield signal_way(f'{name}_self', f'raise {n}', n, OWN)
        yield signal_way(f'{name}_sibling', f'sibling {n}', n, SIBLING, processes=2, also={'leftovers': 1})
        yield signal_way(f'{name}_outside', 'wait', n, KILLER, help=outside(n), sync=n == 9)


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
    # ---- by each signal that ends: from itself, from another process of its environment, from outside
    *one_of_each_signal(),
    # ---- by a signal that says more
    signal_way('sigsegv_fault', 'segv', 11, KERNEL, sync=True),
    signal_way('sigsegv_core', 'segv', 11, KERNEL, core=True),
    signal_way('sigsegv_outside_core', 'wait', 11, KILLER, core=True, help=outside(11)),
    signal_way('sigsegv_stack_overflow', 'overflow', 11, KERNEL),
    signal_way('sigterm_outside_user', 'wait', 15, dict(KILLER, uid=NOBODY), help=outside(15, NOBODY), User='nobody', Group='nogroup'),
    signal_way('sigabrt_abort', 'abort', 6, OWN),
    signal_way('sigabrt_core', 'abort', 6, OWN, core=True),
    signal_way('sigabrt_outside_core', 'wait', 6, KILLER, core=True, help=outside(6)),
    signal_way('sigfpe_fault', 'fpe', 8, KERNEL),
    signal_way('sigill_fault', 'ill', 4, KERNEL),
    signal_way('sigbus_fault', 'bus', 7, KERNEL),
    signal_way('sigtrap_breakpoint', 'trap', 5, KERNEL),
    signal_way('sigalrm_timer', 'alarm', 14, KERNEL),
    signal_way('sigvtalrm_timer', 'itimer virtual', 26, KERNEL),
    signal_way('sigprof_timer', 'itimer prof', 27, KERNEL),
    signal_way('sigusr2_posix_timer', 'timer 12', 12, KERNEL),
    signal_way('sigio_input', 'io', 29, KERNEL),
    signal_way('sigpipe_nobody_reads', 'pipe', 13, KERNEL),
    signal_way('sigxcpu_limit', 'xcpu', 24, KERNEL, Rlimits={'CPU': [1, 60]}, also={'time': {'onCpuMs': AtLeast(500)}}, heavy=True),
    signal_way('sigxfsz_limit', 'xfsz', 25, KERNEL, Rlimits={'FSIZE': 8192}),
    signal_way('sigsys_seccomp_kill', 'seccomp kill', 31, KERNEL),
    signal_way('sigsys_seccomp_trap', 'seccomp trap', 31, KERNEL),
    signal_way('realtime_signal', 'raise 40', 40, OWN),
    signal_way('realtime_signal_last_outside', 'wait', 64, KILLER, help=outside(64)),
    Way('cgroup_kill_outside', 'child-hangs', 'Signal', fate=signalled(9, leftovers=Maybe(1)), sender=TEST, processes=2, help=('cgroup_kill',), needs=('leader',)),
    Way('group_killed_at_once', 'group', 'Signal', fate=signalled(9, leftovers=Maybe(1)), sender=KILLER, processes=2,
        help=('kill_group', 9, 0)),
    signal_way('two_environments_at_once', 'wait', 9, KILLER, help=outside(9), least=2),
    # ---- under trace
    Way('traced_reaped_by_tracer', 'traced reap', 'Signal', fate=signalled(9, leftovers=Maybe(1)), sender=KILLER, processes=2, help=outside(9)),
    Way('traced_withheld_by_tracer', 'traced ignore', 'Signal', fate=signalled(9, leftovers=Maybe(1)), sender=KILLER, processes=2,
        help=outside(9)),
    Way('traced_from_outside', 'wait', 'Signal', fate=signalled(9), sender=KILLER, help=('kill_traced', 9)),
    Way('traced_tracer_ends', 'traced exitkill', 'Signal', fate=signalled(9, leftovers=Maybe(1)), sender=KERNEL, processes=2),
    Way('timeout_traced_in_signal_stop', 'traced ignore', 'Timeout', fate=signalled(9), sender=DAEMON, processes=2, help=outside(15),
        needs=('waiting',)),
    # ---- never ran
    Way('exec_missing', command=['WORK/no-such-program'], verdict='ExecFailed', exec_error=('execve', 2), sync=True),
    Way('exec_directory', command=['WORK'], verdict='ExecFailed', exec_error=('execve', 13)),
    Way('exec_not_executable', command=['WORK/not-executable'], verdict='ExecFailed', exec_error=('execve', 13)),
    Way('exec_not_a_program', command=['WORK/not-a-program'], verdict='ExecFailed', exec_error=('execve', 8)),
    Way('exec_interpreter_missing', command=['WORK/no-interpreter'], verdict='ExecFailed', exec_error=('execve', 2)),
    Way('exec_interpreter_loop', command=['WORK/loop'], verdict='ExecFailed', exec_error=('execve', 40)),
    Way('exec_symlink_loop', command=['WORK/ring'], verdict='ExecFailed', exec_error=('execve', 40)),
    Way('exec_name_too_long', command=['WORK/' + 'n' * 256], verdict='ExecFailed', exec_error=('execve', 36)),
    Way('working_directory_missing', 'exit 0', 'ExecFailed', exec_error=('chdir', 2), WorkingDirectory='WORK/no-such-directory'),
    Way('working_directory_forbidden', 'exit 0', 'ExecFailed', exec_error=('chdir', 13), WorkingDirectory='WORK/private', User='nobody',
        Group='nogroup'),
    Way('user_missing', 'exit 0', 'ExecFailed', exec_error=('user', None), started=False, User='no-such-user-here'),
    # ---- executing again
    Way('exec_chain', 'exec-loop 20', payload='there', fate=exited(0)),
    Way('exec_by_second_thread', 'thread-execs', 'Crash', fate=exited(3), threads=2),
    Way('timeout_exec_loop', 'exec-loop', timeout=0.3 * fated.FACTOR, needs=('start',), verdict='Timeout', sender=DAEMON,
        fate=signalled(9, memory={'peakRssBytes': Maybe(AtLeast(0))})),         # the newest image may be an empty one yet
    # Its file is leased, so that execve() itself waits: the deadline finds a leader that has not run the program yet.
    Way('timeout_in_execve', command=['WORK/leased'], timeout=min(0.5 * fated.FACTOR, 10), ends=LATE, help=('lease',)),
    # ---- families
    Way('double_fork', 'double-fork', payload={'left': 'behind'}, fate=exited(0, leftovers=1), processes=3, sync=True),
    Way('zombie_child', 'zombie', payload='unreaped', fate=exited(0), processes=2),
    Way('child_storm', 'storm', payload=211, fate=exited(0), processes=212),
    Way('child_tree', 'tree 6', payload='felled', fate=exited(0), processes=127),
    Way('sh_chain', command=['/bin/sh', '-c', SH_CHAIN], payload='spun', fate=exited(0, time={'onCpuMs': AtLeast(20)}), processes=4),
    Way('threads_are_no_processes', 'threads', payload=31, fate=exited(0), threads=32),
    Way('leader_thread_first_exit', 'leader-first exit', 'Crash', fate=exited(3), threads=2),
    Way('leader_thread_first_return', 'leader-first return', payload='returned', fate=exited(0), threads=2),
    # Which thread's status a process has when none called exit_group changed in Linux 6.0: a bare run tells.
    Way('leader_thread_first_thread', 'leader-first thread', 'Crash', fate={'exitStatus': 'bare'}, threads=2),
    signal_way('leader_thread_first_sigsegv', 'leader-first segv', 11, KERNEL, threads=2),
    Way('nested_group_exit', 'nested-leader 4', 'Crash', fate=exited(4)),
    # ---- left behind
    Way('leftovers_kill', 'leaves 0', payload={'left': 'behind'}, fate=exited(0, leftovers=1), processes=2, Leftovers='kill'),
    Way('leftovers_wait', 'leaves 0', payload={'left': 'behind'}, fate=exited(0, leftovers=1), processes=2, Leftovers='wait',
        help=('end_leftovers', 'stopping')),
    Way('leftovers_wait_until_deadline', 'leaves 0', payload={'left': 'behind'}, fate=exited(0, leftovers=1), processes=2,
        Leftovers='wait', timeout=TIMEOUT, needs=('stays',)),
    Way('leftovers_wait_after_failure', 'leaves 3', 'Crash', fate=exited(3, leftovers=1), processes=2, Leftovers='wait'),
    Way('leftovers_warn', 'leaves 0', payload={'left': 'behind'}, fate=exited(0, leftovers=1, leftRunning=True), processes=2,
        Leftovers='warn', help=('outlive',)),
    Way('leftovers_warn_after_failure', 'leaves 3', 'Crash', fate=exited(3, leftovers=1), processes=2, Leftovers='warn'),
    # ---- by the deadline
    Way('timeout', 'wait', 'Timeout', fate=signalled(9), sender=DAEMON, sync=True, needs=('waiting',)),
    Way('timeout_ignoring_sigterm', 'ignore-term', 'Timeout', fate=signalled(9, graceSurvivors=1), sender=DAEMON, KillGracePeriod=0.2,
        needs=('ignoring',)),
    Way('timeout_heeding_sigterm', 'heed-term', 'Timeout', fate=exited(0), KillGracePeriod=30 * fated.FACTOR, needs=('waiting',)),
    Way('timeout_stopped', 'stop', 'Timeout', fate=signalled(9), sender=DAEMON, needs=('stopping',)),
    Way('timeout_child_hangs', 'child-hangs', 'Timeout', fate=signalled(9), sender=DAEMON, processes=2, needs=('leader',)),
    Way('timeout_setsid_child', 'setsid-child', 'Timeout', fate=signalled(9), sender=DAEMON, processes=2, needs=('leader',)),
    Way('timeout_setsid_child_grace', 'setsid-child', 'Timeout', fate=signalled(15, leftovers=1), sender=DAEMON, processes=2,
        KillGracePeriod=30 * fated.FACTOR, needs=('leader',)),
    Way('timeout_nested_group', 'nested-child', 'Timeout', fate=signalled(9), sender=DAEMON, processes=2, needs=('leader',)),
    Way('timeout_with_response', 'said hang', 'Timeout', fate=signalled(9), sender=DAEMON, needs=('said',)),
    # Its own clock and the deadline within a moment of each other: whoever was first, all must say the same.
    Way('ends_about_at_its_deadline', 'edge 150', payload=WELL, timeout=0.15, heavy=fated.FACTOR > 1,
        ends=[('Success', exited(0), None)] + LATE + [('Timeout', exited(0), None)]),
    # ---- because somebody asked for it
    Way('cancelled', 'child-hangs', 'Cancelled', fate=signalled(9), sender=DAEMON, processes=2, condition='Cancelled',
        help=('cancel',), needs=('leader',)),
    # ---- by what it said
    Way('output_at_limit', f'output {LIMIT}', payload='a' * (LIMIT - 2), fate=exited(0, io={'writtenBytes': AtLeast(LIMIT)}), sync=True,
        heavy=True),
    # Over the limit by less than a pipe holds: it may be done before the kill reaches it.
    Way('output_one_over_limit', f'output {LIMIT + 1}', sync=True,
        ends=[('ResponseTooLarge', exited(0), None), ('ResponseTooLarge', signalled(9), DAEMON)]),
    Way('output_7_mb', f'output {7 << 20}',
        ends=[('ResponseTooLarge', exited(0), None), ('ResponseTooLarge', signalled(9), DAEMON)]),
    Way('output_endless', 'flood', 'ResponseTooLarge', fate=signalled(9), sender=DAEMON),
    Way('output_not_utf8', 'not-utf8', payload='caf\ufffd \ufffd\ufffd!', fate=exited(0, bytesReplaced=3), sync=True),
    Way('output_not_json', 'text', payload='not JSON: "quoted"\n', fate=exited(0)),
    Way('output_none', 'silent', fate=exited(0)),
    Way('output_closed', 'close-stdout', fate=exited(0)),
    Way('output_closed_and_on', 'close-go-on 30', payload='early', fate=exited(0, durationMs=AtLeast(30))),
    Way('response_then_exit_3', 'said 3', 'Crash', fate=exited(3)),
    signal_way('response_then_sigsegv', 'said segv', 11, KERNEL),
    Way('stderr_two_lines', 'stderr', payload='logged', fate=exited(0, stderrTail='first line\nsecond line')),
    Way('stderr_fifty_lines_crash', 'stderr-lines 50', 'Crash', fate=exited(3, stderrTail=LINES)),
    Way('event_round_trip', 'echo', payload=BIG_EVENT, event=BIG_EVENT, sync=True,
        fate=exited(0, io={'readBytes': AtLeast(500000), 'writtenBytes': AtLeast(500000)})),
    Way('event_not_read', 'exit 0', payload=WELL, event=BIG_EVENT, fate=exited(0)),
    Way('handled_error_exit_0', 'handled 0', 'Error', payload=HANDLED, fate=exited(0), sync=True),
    Way('handled_error_exit_1', 'handled 1', 'Error', payload=HANDLED, fate=exited(1)),
    Way('garbage_report_exit_0', 'garbage 0', 'Error', payload=GARBAGE, fate=exited(0)),
    Way('garbage_report_exit_1', 'garbage 1', 'Error', payload=GARBAGE, fate=exited(1)),
    # ---- where its time went, and what it used
    Way('uses_processor', 'spin 30', payload='spun', fate=exited(0, time={'onCpuMs': AtLeast(30)})),
    # Half of what it slept, at least: it may be made to wait on its way into a sleep, and when it wakes.
    Way('uses_nothing_but_time', f'sleep {SLEEP}', payload=WELL,
        fate=exited(0, durationMs=AtLeast(SLEEP), time={'asleepMs': AtLeast(SLEEP / 2)}, switches={'voluntary': AtLeast(1)})),
    Way('sleeps_often', 'naps 20', payload='rested', fate=exited(0, durationMs=AtLeast(20), switches={'voluntary': AtLeast(10)})),
    Way('starves', 'starved 4 15', payload='starved', processes=5,
        fate=exited(0, time={'onCpuMs': AtLeast(60), 'waitingMs': AtLeast(89)}, switches={'voluntary': AtLeast(1)})),
    Way('reads', 'read 1024', payload='read', fate=exited(0, io={'readBytes': AtLeast(1 << 20)})),
    Way('writes', 'write 1024', payload='written', fate=exited(0, io={'writtenBytes': AtLeast(1 << 20)})),
    Way('stores', 'store 1024', fate=exited(0, io={'writtenBytes': AtLeast(1 << 20), 'storageWrittenBytes': 'device', 'storageReadBytes': 'device'}),
        payload='kept'),
    Way('touches_pages', 'eat 32', payload='full', fate=exited(0, memory={'peakRssBytes': AtLeast(32 << 20)}, faults={'minor': AtLeast(32 * 256)})),
    Way('child_touches_pages', 'child-eats 32', payload='child lives', processes=2,
        fate=exited(0, memory={'peakRssBytes': AtLeast(32 << 20)}, faults={'minor': AtLeast(32 * 256)})),
    Way('small', 'exit 0', payload=WELL, fate=exited(0, memory={'peakRssBytes': Between(4096, 16 << 20)})),
    Way('thread_herd', 'herd 64', payload='gone', fate=exited(0), threads=65),
    Way('orphan_works', 'orphan', payload='worked', fate=exited(0, io={'writtenBytes': AtLeast(1 << 20)}), processes=3),
]


def oom(victim, group=True):
    return {'kills': AtLeast(1), 'scope': 'own', 'victim': {'pid': victim, 'comm': 'prog_die'}, 'limitBytes': 128 << 20,
            'limitCgroup': Maybe('leaf'), 'peakBytes': Maybe(AtLeast(1 << 20))}


# On hosts whose groups have the controllers.
CONTROLLER_WAYS = [
    Way('memory_within_limit', 'eat 100', payload='full', fate=exited(0, memory={'peakRssBytes': AtLeast(100 << 20)}), MemorySize=128,
        sync=True),
    Way('memory_oom_own_limit', 'eat 200', 'OutOfMemory', fate=signalled(9, oom=oom('start')), sender=KERNEL, MemorySize=128, sync=True),
    # memory.oom.group: the leader goes with its child, who may still be giving its memory back by then.
    Way('memory_oom_of_child', 'child-eats 200', 'OutOfMemory', fate=signalled(9, oom=oom('eater'), leftovers=Maybe(1)), sender=KERNEL,
        MemorySize=128, processes=2),
    Way('memory_oom_of_child_alone', 'child-eats 200', payload='child killed', fate=exited(0, oom=oom('eater')), MemorySize=128,
        processes=2, OomGroup=False),
    Way('pids_limit', 'crowd', payload=CHILDREN, fate=exited(0, leftovers=CHILDREN), PidsMax=20, processes=20),
    # The leader's place is free for one more when it ends.
    Way('fork_bomb', 'bomb', payload='full', fate=exited(0, leftovers=Between(18, 20)), PidsMax=20, processes=Between(20, 21)),
]
