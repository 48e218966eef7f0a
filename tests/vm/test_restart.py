# SPDX-License-Identifier: Apache-2.0
"""fated.service under systemd: functions outlive a restart, a crash and a hang of the daemon, and nothing outlives a stop.

The two units are installed as `make install` does it. A function waits for files that the test makes, so that it has written
before, while and after no daemon was there, however slow the guest is. Runs in the guest only.
"""
import glob, http.client, json, os, shutil, signal, socket, subprocess, sys, tempfile, time

FACTOR = float(os.environ.get('TIMEOUT_FACTOR', '1'))
BUILD = os.path.abspath(os.environ.get('BUILD', 'build'))
UNITS = '/etc/systemd/system'
FUNCTIONS_D = '/etc/fated/functions.d'
GROUP = '/sys/fs/cgroup/system.slice/fated-functions.service'
SOCKET = '/run/fated/fated.sock'
BOOT_ID = '/proc/sys/kernel/random/boot_id'

# The event is a directory: what the function says of itself, and what it waits for. END is how it ends.
GATE = '''d=$(tr -d '"'); echo $$ >>$d/starts; echo before; : >$d/started
until [ -e $d/middle ]; do sleep 0.1; done; echo middle; : >$d/seen
until [ -e $d/end ]; do sleep 0.1; done; echo after; eval "$(cat $d/end)"'''
SHORT_S = 20
KIT_FDS = 6     # stdout, stderr, report, two memory files, pidfd
FUNCTIONS = {
    'gate': {'Command': ['/bin/sh', '-c', GATE], 'Timeout': 900, 'EventInvokeConfig': {'MaximumRetryAttempts': 0}},
    'again': {'Command': ['/bin/sh', '-c', GATE], 'Timeout': 900, 'RetryDelaysInSeconds': [0.2]},
    'short': {'Command': ['/bin/sh', '-c', GATE], 'Timeout': SHORT_S, 'EventInvokeConfig': {'MaximumRetryAttempts': 0}},
    'tree': {'Command': ['/bin/sh', '-c', f'setsid sleep 1000 & {GATE}'], 'Timeout': 900},
    'quick': {'Command': ['/bin/echo', 'done'], 'Timeout': 60},
}


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path + '.new', 'w') as f:
        f.write(text)
    os.rename(path + '.new', path)


def wait_for(what, cond, seconds=10):
    end = time.monotonic() + seconds * FACTOR
    while not (got := cond()):
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not within {seconds * FACTOR} s')
        time.sleep(.05)
    return got


def equal(got, want, what=''):
    assert got == want, f'{what}: {got!r}, want {want!r}'


def systemctl(*args, check=True):
    r = subprocess.run(['systemctl', *args], capture_output=True, text=True)
    if check and r.returncode:
        raise AssertionError(f'systemctl {" ".join(args)}: {r.stderr}{r.stdout}')
    return r.stdout.strip()


def shown(name, unit='fated'):
    return systemctl('show', f'{unit}.service', '-p', name, '--value')


def main_pid():
    return int(shown('MainPID'))


def drop_in(text):
    os.makedirs(f'{UNITS}/fated.service.d', exist_ok=True)
    write(f'{UNITS}/fated.service.d/test.conf', text)
    systemctl('daemon-reload')


def no_drop_in():
    shutil.rmtree(f'{UNITS}/fated.service.d', ignore_errors=True)
    systemctl('daemon-reload')


class Connection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__('localhost', timeout=60 * FACTOR)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def call(method, path, body=None, headers=None):
    c = Connection()
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, r.headers, json.loads(r.read() or b'null')
    finally:
        c.close()


def found(path):
    code, _, body = call('GET', path)
    return body if code == 200 else None


def answers():
    try:
        return call('GET', '/fate/v1/version')[0] == 200
    except OSError:
        return False


def status():
    return call('GET', '/fate/v1/status')[2]


class Run:
    """One event: its directory and its id."""
    def __init__(self, function):
        self.dir = tempfile.mkdtemp(prefix=f'fated-restart-{function}-')
        code, headers, body = call('POST', f'/2015-03-31/functions/{function}/invocations', json.dumps(self.dir),
                                   {'X-Amz-Invocation-Type': 'Event'})
        assert code == 202, body
        self.id = headers['x-amzn-RequestId']
        wait_for(f'{function} has started', lambda: os.path.exists(f'{self.dir}/started'), 30)

    def starts(self):
        return [int(p) for p in read(f'{self.dir}/starts').split()]

    def pid(self):
        return self.starts()[-1]

    def alive(self):
        try:
            return 'State:\tZ' not in read(f'/proc/{self.pid()}/status')
        except OSError:
            return False

    def middle(self):
        write(f'{self.dir}/middle', '')
        wait_for('the function goes on', lambda: os.path.exists(f'{self.dir}/seen'))

    def end(self, how='exit 0'):
        write(f'{self.dir}/end', how)

    def dead(self):
        wait_for('the function has ended', lambda: not self.alive(), 30)

    def record(self):
        return wait_for(f'the record of {self.id}', lambda: found(f'/fate/v1/records/{self.id}'), 60)

    def one_attempt(self, verdict, **members):
        """The record, when it tells of one attempt that nobody interrupted."""
        r = self.record()
        attempts = r['fate']['attempts']
        equal([a['verdict'] for a in attempts], [verdict], 'verdicts')
        equal(len(self.starts()), 1, 'starts')
        equal(r['requestContext']['approximateInvokeCount'], 1, 'approximateInvokeCount')
        for name in ('interrupted', 'interruptedBecause', 'incomplete'):
            assert name not in attempts[0], attempts[0]
        for name, want in members.items():
            equal(attempts[0].get(name), want, name)
        return r


def no_restart():
    drop_in('[Service]\nRestartSec=3600\n')


def crash(*runs):
    """kill -9 of the daemon; the next one is started by up() and not before."""
    no_restart()
    kill9(*runs)


def kill9(*runs):
    """Not before these are in the descriptor store: one that is young is not, and would be run again."""
    wait_for('they are stored', lambda: int(shown('NFileDescriptorStore')) >= KIT_FDS * len(runs))
    pid = main_pid()
    os.kill(pid, signal.SIGKILL)
    wait_for('systemd has seen it', lambda: shown('SubState') == 'auto-restart')


def up():
    no_drop_in()
    systemctl('restart', 'fated')
    assert answers()


WHOLE = 'before\nmiddle\nafter\n'


def test_starts_with_systemd():
    systemctl('start', 'fated')
    equal(shown('ActiveState'), 'active')
    assert answers(), 'ready before the socket is there'
    equal(shown('ActiveState', 'fated-functions'), 'active')
    s = status()
    assert s['launcher']['path'].startswith(GROUP) and s['launcher']['delegated'] and s['launcher']['outlivesRestart'], s
    for name in ('memory', 'pids', 'cpu'):
        assert s['launcher']['controllers'][name]['enabled'], s['launcher']
    own = read(f'/proc/{main_pid()}/cgroup').split('::')[1].strip()
    equal(own, '/system.slice/fated.service')
    for d, mode in (('/var/lib/fated', 0o700), ('/var/log/fated', 0o750), ('/run/fated', 0o755)):
        equal(oct(os.stat(d).st_mode & 0o777), oct(mode), d)
    wait_for('a status line', lambda: shown('StatusText') == '0 running, 0 queued, 0 waiting, 0 to be delivered')


def test_restart_leaves_it_running():
    r = Run('gate')
    was, pid = main_pid(), r.pid()
    systemctl('restart', 'fated')
    assert main_pid() != was
    assert r.alive() and r.pid() == pid, 'the function did not go on'
    r.middle()
    systemctl('restart', 'fated')
    assert r.alive() and r.pid() == pid, 'the function did not go on after the second restart'
    r.end()
    equal(r.one_attempt('Success', exitStatus=0)['responsePayload'], WHOLE)
    log = subprocess.run(['journalctl', '--no-pager', '-o', 'cat', '-u', 'fated'], capture_output=True, text=True).stdout
    assert 'adopted 1 running function' in log and 'what runs goes on' in log, log[-2000:]
    wait_for('its leaf is gone', lambda: not glob.glob(f'{GROUP}/env/*/'))


def test_restart_waits_for_callers():
    """Who waits for an answer gets it within StopGracePeriod; who would not is ended: nobody would get the answer."""
    calls = []
    for _ in range(2):
        d = tempfile.mkdtemp(prefix='fated-restart-sync-')
        c = Connection()
        c.request('POST', '/2015-03-31/functions/gate/invocations', json.dumps(d))
        wait_for('it has started', lambda d=d: os.path.exists(f'{d}/started'), 30)
        calls.append((d, c, int(read(f'{d}/starts'))))
    other = Run('gate')
    p = subprocess.Popen(['systemctl', 'restart', 'fated'])
    wait_for('it is stopping', lambda: shown('ActiveState') == 'deactivating')
    equal(call('GET', '/fate/v1/health')[0], 503, 'health')
    for name in ('middle', 'end'):
        write(f'{calls[0][0]}/{name}', 'exit 0')
    r = calls[0][1].getresponse()
    equal((r.status, json.loads(r.read())), (200, WHOLE))
    equal(p.wait(60 * FACTOR), 0, 'systemctl restart')
    assert not os.path.exists(f'/proc/{calls[1][2]}'), 'the other caller\'s is still there'
    calls[1][1].close()
    other.middle()
    other.end()
    equal(other.one_attempt('Success')['responsePayload'], WHOLE)


def test_kill9_and_started_by_systemd():
    r = Run('gate')
    was = main_pid()
    wait_for('it is stored', lambda: int(shown('NFileDescriptorStore')) >= KIT_FDS)
    os.kill(was, signal.SIGKILL)
    wait_for('another daemon', lambda: main_pid() not in (0, was) and shown('ActiveState') == 'active', 30)
    assert answers() and r.alive()
    r.middle()
    r.end()
    equal(r.one_attempt('Success')['responsePayload'], WHOLE)


def test_a_hang_is_a_crash():
    """The watchdog: a daemon that is stopped does not turn."""
    drop_in('[Service]\nWatchdogSec=5\nTimeoutAbortSec=2\n')
    systemctl('restart', 'fated')
    r = Run('gate')
    time.sleep(6)   # it is let live while it turns
    was = main_pid()
    equal(shown('NRestarts'), '0')
    os.kill(was, signal.SIGSTOP)
    wait_for('another daemon', lambda: main_pid() not in (0, was) and shown('ActiveState') == 'active', 30)
    assert answers() and r.alive()
    r.middle()
    r.end()
    equal(r.one_attempt('Success')['responsePayload'], WHOLE)
    no_drop_in()
    systemctl('restart', 'fated')


def ended_meanwhile(how, verdict, function='gate', **members):
    r = Run(function)
    crash(r)
    r.middle()
    r.end(how)
    r.dead()
    up()
    return r.one_attempt(verdict, **members)


def test_success_while_it_was_down():
    r = ended_meanwhile('exit 0', 'Success', exitStatus=0)
    equal(r['responsePayload'], WHOLE)
    equal(r['requestContext']['condition'], 'Success')


def test_exit_3_while_it_was_down():
    r = ended_meanwhile('exit 3', 'Crash', exitStatus=3)
    equal(r['requestContext']['condition'], 'RetriesExhausted')


def test_signal_while_it_was_down():
    ended_meanwhile('kill -SEGV $$', 'Signal', signal=11)


def test_much_output_while_it_was_down():
    """More than a pipe holds: it waits for a reader, and goes on when there is one."""
    r = Run('gate')
    crash(r)
    r.middle()
    r.end('i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789 $i; i=$((i + 1)); done; : >$d/wrote')
    time.sleep(1)
    assert r.alive() and not os.path.exists(f'{r.dir}/wrote'), 'it did not write enough'
    up()
    got = r.one_attempt('Success')['responsePayload']
    equal(got, WHOLE + ''.join(f'{"0123456789" * 4} {i}\n' for i in range(3000)))


def test_timeout_while_it_was_down():
    """The kernel's timer: without it, who ends after the deadline would look as if it had been in time."""
    no_restart()        # takes its time in a guest, and the function has little
    r = Run('short')
    began = time.monotonic()
    kill9(r)
    r.middle()
    time.sleep(max(0, SHORT_S + 2 - (time.monotonic() - began)))
    assert r.alive(), 'somebody killed it'
    r.end()
    r.dead()
    up()
    r.one_attempt('Timeout')


def test_all_of_them_at_once():
    """Several at a time: each gets its own pipes back."""
    runs = [Run('gate') for _ in range(5)]
    crash(*runs)
    for i, r in enumerate(runs):
        r.middle()
        if i % 2:
            r.end(f'echo number {i}; exit 0')
            r.dead()
    up()
    for i, r in enumerate(runs):
        if not i % 2:
            assert r.alive()
            r.end(f'echo number {i}; exit 0')
        equal(r.one_attempt('Success')['responsePayload'], f'{WHOLE}number {i}\n')


def test_without_descriptor_store():
    drop_in('[Service]\nFileDescriptorStoreMax=0\nUnsetEnvironment=FATED_FDSTORE\nRestartSec=1\n')
    systemctl('restart', 'fated')
    assert not status()['launcher']['outlivesRestart']
    r = Run('again')
    was, pid = main_pid(), r.pid()
    os.kill(was, signal.SIGKILL)
    wait_for('another daemon', lambda: main_pid() not in (0, was) and shown('ActiveState') == 'active', 30)
    assert not os.path.exists(f'/proc/{pid}'), 'the first attempt goes on'
    wait_for('the second attempt', lambda: len(r.starts()) == 2, 60)
    assert r.pid() != pid
    r.middle()
    r.end()
    attempts = r.record()['fate']['attempts']
    equal([a['verdict'] for a in attempts], ['Interrupted', 'Success'])
    assert 'no file descriptor store' in attempts[0].get('interruptedBecause', ''), attempts[0]
    no_drop_in()
    systemctl('restart', 'fated')


def test_another_boot_is_seen():
    """Not a real one: what a boot ends is ended by hand, and the daemon is shown another boot id."""
    r = Run('again')
    crash()
    with open(f'{GROUP}/env/cgroup.kill', 'w') as f:
        f.write('1')
    r.dead()
    shutil.rmtree('/sys/fs/bpf/fated', ignore_errors=True)
    with open('/run/boot-id', 'w') as f:
        f.write('01234567-89ab-4cde-8f01-23456789abcd\n')
    drop_in(f'[Service]\nBindReadOnlyPaths=/run/boot-id:{BOOT_ID}\n')
    systemctl('restart', 'fated')
    wait_for('the second attempt', lambda: len(r.starts()) == 2, 60)
    r.middle()
    r.end()
    attempts = r.record()['fate']['attempts']
    equal([a['verdict'] for a in attempts], ['Interrupted', 'Success'])
    equal(attempts[0].get('interruptedBecause'), 'the host was rebooted')
    no_drop_in()
    systemctl('restart', 'fated')


def test_stop_leaves_nothing():
    write('/etc/fated/fated.json', '{"StopGracePeriod": 1}')
    systemctl('restart', 'fated')
    r = Run('tree')
    before = set(processes())
    assert len(before) >= 3, before
    systemctl('stop', 'fated')
    equal(shown('ActiveState'), 'inactive')
    wait_for('nothing is left', lambda: not os.path.exists(GROUP))
    equal(shown('ActiveState', 'fated-functions'), 'inactive')
    assert not r.alive()
    # and it is taken up again by the next start
    systemctl('start', 'fated')
    wait_for('the second attempt', lambda: len(r.starts()) == 2, 60)
    systemctl('stop', 'fated')


def test_stop_of_a_crashed_one_leaves_nothing():
    systemctl('start', 'fated')
    r = Run('tree')
    crash()
    assert r.alive()
    systemctl('stop', 'fated')
    wait_for('nothing is left', lambda: not os.path.exists(GROUP))
    assert not r.alive()
    no_drop_in()


def test_signal_by_hand_is_a_stop():
    systemctl('start', 'fated')
    r = Run('tree')
    os.kill(main_pid(), signal.SIGTERM)
    wait_for('it has ended', lambda: shown('ActiveState') == 'inactive', 30)
    wait_for('nothing is left', lambda: not os.path.exists(GROUP))
    assert not r.alive()
    equal(shown('Result'), 'success')


def set_clock(days):
    """By so many days from where it is now."""
    time.clock_settime(time.CLOCK_REALTIME, time.time() + days * 86400)


def test_steps_of_the_clock():
    """A day forward makes nothing due, or too old, or out of time; a day back holds nothing up. Also over a restart."""
    systemctl('start', 'fated')
    delay, steps = 8 * FACTOR, []
    seen = tempfile.mkdtemp(prefix='fated-restart-clock-')
    body = f'cut -d" " -f1 /proc/uptime >>{seen}/starts; [ $(wc -l <{seen}/starts) = 2 ] && echo 1'
    write(f'{FUNCTIONS_D}/late.json', json.dumps({
        'FunctionName': 'late', 'Command': ['/bin/sh', '-c', body], 'RetryDelaysInSeconds': [delay],
        'EventInvokeConfig': {'MaximumRetryAttempts': 1, 'MaximumEventAgeInSeconds': 3600}}))
    systemctl('reload', 'fated')
    wait_for('the new function', lambda: call('GET', '/fate/v1/functions/late')[0] == 200)
    running = Run('gate')
    try:
        code, headers, body = call('POST', '/2015-03-31/functions/late/invocations', '{}', {'X-Amz-Invocation-Type': 'Event'})
        equal(code, 202, body)
        event = headers['x-amzn-RequestId']
        wait_for('it waits for its retry', lambda: call('GET', f'/fate/v1/events/{event}')[2]['state'] == 'waiting')
        for days in (1, -2):
            set_clock(days)
            steps.append(days)
            systemctl('restart', 'fated')
        assert running.alive(), 'a step of the clock has ended a function'
        record = wait_for('its record', lambda: found(f'/fate/v1/records/{event}'), 60 + delay)
        equal(record['requestContext']['condition'], 'Success', record)
        first, second = [float(t) for t in read(f'{seen}/starts').split()]
        assert delay <= second - first + 0.01 < delay + 60 * FACTOR, f'the retry came after {second - first} s of {delay}'
        running.middle()
        running.end()
        running.one_attempt('Success', exitStatus=0)
    finally:
        set_clock(-sum(steps))


def test_reload():
    systemctl('start', 'fated')
    was = main_pid()
    write(f'{FUNCTIONS_D}/new.json', json.dumps({'FunctionName': 'new', 'Command': ['/bin/echo', 'new']}))
    systemctl('reload', 'fated')
    wait_for('the new function', lambda: call('GET', '/fate/v1/functions/new')[0] == 200)
    equal(main_pid(), was)
    equal(shown('ActiveState'), 'active')


def processes():
    return [int(p) for f in glob.glob(f'{GROUP}/env/**/cgroup.procs', recursive=True) for p in read(f).split()]


def install():
    for d in (FUNCTIONS_D, UNITS):
        os.makedirs(d, exist_ok=True)
    shutil.copy(f'{BUILD}/fated', '/usr/local/sbin/fated')
    for name in ('fated', 'fated-functions'):
        write(f'{UNITS}/{name}.service', read(f'scripts/{name}.service').replace('@PREFIX@', '/usr/local'))
    for name, f in FUNCTIONS.items():
        write(f'{FUNCTIONS_D}/{name}.json', json.dumps({'FunctionName': name, **f}))
    systemctl('daemon-reload')


def uninstall():
    systemctl('stop', 'fated', check=False)
    no_drop_in()
    for path in ('/usr/local/sbin/fated', f'{UNITS}/fated.service', f'{UNITS}/fated-functions.service'):
        os.remove(path)
    shutil.rmtree('/etc/fated', ignore_errors=True)
    systemctl('daemon-reload')


def main():
    if not os.environ.get('MATRIX_VM'):
        print('skip test_restart - runs in the guest only (make vm)')
        return 0
    if not os.path.exists(f'{BUILD}/fated'):
        print('not ok restart - there is no daemon in this build')
        return 1
    bad = 0
    only = sys.argv[1:]
    install()
    try:
        for name, test in [(n, t) for n, t in globals().items() if n.startswith('test_') and callable(t)]:
            if only and name[5:] not in only:
                continue
            if shown('ActiveState') != 'active':
                systemctl('start', 'fated')
            try:
                test()
                print(f'ok restart_{name[5:]}', flush=True)
            except Exception as e:
                bad = 1
                print(f'not ok restart_{name[5:]} - {type(e).__name__}: {e}', flush=True)
                no_drop_in()
                subprocess.run(['journalctl', '--no-pager', '-u', 'fated', '-u', 'fated-functions', '-n', '40'])
                systemctl('reset-failed', check=False)
                systemctl('stop', 'fated', check=False)
    finally:
        uninstall()
    return bad


sys.exit(main())
