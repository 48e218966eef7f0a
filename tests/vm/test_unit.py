# SPDX-License-Identifier: Apache-2.0
"""The daemon as a systemd unit with Delegate=yes: it finds the subtree it was given, and keeps to it.

Nothing tells it where its groups are. Everything is looked at from outside: the unit's state, the cgroup tree, the
answers on the socket. Runs in the guest only.
"""
import glob, http.client, json, os, shutil, socket, subprocess, sys, tempfile, time

FACTOR = float(os.environ.get('TIMEOUT_FACTOR', '1'))
BUILD = os.path.abspath(os.environ.get('BUILD', 'build'))
UNIT = 'fated'
CGROUP = f'/sys/fs/cgroup/system.slice/{UNIT}.service'
EAT = 'b = bytearray({} << 20); b[::4096] = b"x" * len(b[::4096]); print("{{}}")'
FUNCTIONS = {
    'where': {'Command': ['/bin/sh', '-c', 'g=$(cut -d: -f3 /proc/self/cgroup); d=/sys/fs/cgroup$g; '
                          'printf \'{"cgroup":"%s","memory":"%s","nnp":"%s"}\' "$g" "$(cat $d/memory.max)" '
                          '"$(sed -n "s/^NoNewPrivs:.//p" /proc/self/status)"'], 'Timeout': 60},
    'fits': {'Command': [sys.executable, '-c', EAT.format(80)], 'Timeout': 120},
    'eats': {'Command': [sys.executable, '-c', EAT.format(200)], 'Timeout': 120},
    'hangs': {'Command': ['/bin/sh', '-c', 'setsid sleep 1000 & sleep 1000'], 'Timeout': 2},
    'sleeps': {'Command': ['/bin/sh', '-c', 'sleep 1000 & sleep 1000'], 'Timeout': 900,
               'RetryDelaysInSeconds': [0.2]},
}


def read(path):
    with open(path) as f:
        return f.read()


def wait_for(what, cond, seconds=5):
    end = time.time() + seconds * FACTOR
    while not (got := cond()):
        if time.time() > end:
            raise AssertionError(f'{what}: not within {seconds * FACTOR} s')
        time.sleep(.05)
    return got


def systemctl(*args):
    return subprocess.run(['systemctl', *args], capture_output=True, text=True)


def shown(*names):
    out = systemctl('show', f'{UNIT}.service', *[f'-p{n}' for n in names]).stdout
    return dict(line.split('=', 1) for line in out.splitlines())


def processes(cgroup):
    return sorted(int(p) for f in glob.glob(f'{cgroup}/**/cgroup.procs', recursive=True) for p in read(f).split())


def groups(cgroup):
    return sorted(d[len(cgroup) + 1:] for d in glob.glob(f'{cgroup}/**/', recursive=True) if d.rstrip('/') != cgroup)


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__('localhost', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='fated-unit-')
        os.mkdir(f'{self.dir}/functions.d')
        for name, f in FUNCTIONS.items():
            with open(f'{self.dir}/functions.d/{name}.json', 'w') as out:
                json.dump({'FunctionName': name, 'MemorySize': 128, **f}, out)
        self.socket = f'{self.dir}/run/fated.sock'

    def start(self):
        r = subprocess.run(['systemd-run', '--quiet', f'--unit={UNIT}', '-p', 'Delegate=yes', '-p', 'Type=exec',
                            f'{BUILD}/fated', f'--StateDirectory={self.dir}/state', f'--RunDirectory={self.dir}/run',
                            f'--LogDirectory={self.dir}/log', f'--FunctionsDirectory={self.dir}/functions.d'],
                           capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        wait_for('answer on the socket', self.answers)

    def answers(self):
        assert shown('ActiveState')['ActiveState'] == 'active', 'the unit is not active'
        try:
            return self.http('GET', '/fate/v1/version')[0] == 200
        except OSError:
            return False

    def http(self, method, path, body=None, headers=None):
        c = Connection(self.socket, 60 * FACTOR)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read().decode()
        finally:
            c.close()

    def invoke(self, name, **headers):
        status, got, body = self.http('POST', f'/2015-03-31/functions/{name}/invocations', '{}', headers)
        return status, {k.lower(): v for k, v in got.items()}, json.loads(body) if body else None

    def end(self):
        systemctl('stop', f'{UNIT}.service')
        systemctl('reset-failed', f'{UNIT}.service')
        shutil.rmtree(self.dir, ignore_errors=True)


def test_finds_its_subtree(d):
    pid = int(shown('MainPID')['MainPID'])
    own = read(f'/proc/{pid}/cgroup').split('::')[1].strip()
    assert own.startswith(f'/system.slice/{UNIT}.service/'), f'the daemon sits in {own}: an inner node'
    status, _, answer = d.invoke('where')
    assert status == 200, (status, answer)
    assert answer['cgroup'].startswith(f'/system.slice/{UNIT}.service/'), answer
    assert answer['cgroup'] != own, answer


def test_no_process_in_an_inner_node(d):
    inner = [g for g in ['', *groups(CGROUP)] if glob.glob(f'{CGROUP}/{g}/*/') and read(f'{CGROUP}/{g}/cgroup.procs')]
    assert not inner, inner


def test_writes_the_limits(d):
    answer = d.invoke('where')[2]
    assert (answer['memory'], answer['nnp']) == (str(128 << 20), '1'), answer


def test_leaf_is_removed(d):
    leaf = '/sys/fs/cgroup' + d.invoke('where')[2]['cgroup']
    assert leaf.startswith(CGROUP)
    wait_for('the leaf is gone', lambda: not os.path.exists(leaf))


def test_memory_within_the_limit(d):
    status, headers, answer = d.invoke('fits')
    assert (status, headers.get('x-amz-function-error'), answer) == (200, None, {}), (status, headers, answer)


def test_memory_over_the_limit_is_an_oom_kill(d):
    status, headers, answer = d.invoke('eats')
    assert (status, headers.get('x-amz-function-error')) == (200, 'Unhandled'), (status, headers, answer)
    assert answer['errorType'] == 'Runtime.OutOfMemory' and 'signal: killed' in answer['errorMessage'], answer
    assert shown('ActiveState')['ActiveState'] == 'active', 'the kill reached the daemon'


def test_timeout_kills_the_tree(d):
    status, headers, answer = d.invoke('hangs')
    assert (status, answer['errorType']) == (200, 'Sandbox.Timedout'), (status, answer)
    pid = int(shown('MainPID')['MainPID'])
    wait_for('only the daemon is left', lambda: processes(CGROUP) == [pid])


def test_stop_leaves_nothing(d):
    assert d.invoke('sleeps', **{'X-Amz-Invocation-Type': 'Event'})[0] == 202
    wait_for('three processes of the function', lambda: len(processes(CGROUP)) >= 4)
    r = systemctl('stop', f'{UNIT}.service')
    assert r.returncode == 0, r.stderr
    left = shown('ActiveState', 'Result')
    assert left['ActiveState'] == 'inactive', left
    assert not os.path.exists(CGROUP), groups(CGROUP)


def test_kill9_and_start_again(d):
    d.start()
    wait_for('the event of before the stop runs again', lambda: len(processes(CGROUP)) >= 4)
    before = processes(CGROUP)
    systemctl('kill', '-s', 'KILL', '--kill-whom=main', f'{UNIT}.service')
    wait_for('the unit is down', lambda: shown('ActiveState')['ActiveState'] in ('failed', 'inactive'))
    systemctl('reset-failed', f'{UNIT}.service')
    d.start()
    assert d.invoke('where')[0] == 200
    wait_for('nothing of the first run lives', lambda: not set(before) & set(processes(CGROUP)))


def main():
    if not os.environ.get('MATRIX_VM'):
        print('skip test_unit - runs in the guest only (make vm)')
        return 0
    if not os.path.exists(f'{BUILD}/fated'):
        print('not ok unit - there is no daemon in this build')
        return 1
    d, bad = Daemon(), 0
    try:
        d.start()
        for name, test in [(n, t) for n, t in globals().items() if n.startswith('test_') and callable(t)]:
            try:
                test(d)
                print(f'ok unit_{name[5:]}', flush=True)
            except Exception as e:
                bad = 1
                print(f'not ok unit_{name[5:]} - {type(e).__name__}: {e}', flush=True)
        if bad:
            subprocess.run(['journalctl', '--no-pager', '-u', f'{UNIT}.service', '-n', '100'])
    finally:
        d.end()
    return bad


sys.exit(main())
