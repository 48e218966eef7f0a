# SPDX-License-Identifier: Apache-2.0
"""The guest is the machine we asked for: what the tests that follow rely on, shown to be there.

Runs in the guest only, and there starts itself again as a unit with Delegate=yes: groups are made in that unit's own
subtree, as fated would, and no other test finds its processes moved.
"""
import json, os, subprocess, sys, tempfile, time

FACTOR = float(os.environ.get('TIMEOUT_FACTOR', '1'))
CONTROLLERS = {'cpuset', 'cpu', 'io', 'memory', 'pids'}


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def wait_for(what, cond, seconds=5):
    end = time.time() + seconds * FACTOR
    while not (got := cond()):
        assert time.time() < end, f'{what}: not within {seconds * FACTOR} s'
        time.sleep(.01)
    return got


def own_cgroup():
    assert read('/proc/self/cgroup').startswith('0::/'), 'not one unified hierarchy'
    return '/sys/fs/cgroup' + read('/proc/self/cgroup').split('::')[1].strip()


def events(group, name):
    return dict(line.split() for line in read(f'{group}/{name}').splitlines())


class Group:
    """A group with limits, sibling of the one this test moved itself to (no processes in inner nodes)."""
    seq = 0

    def __init__(self, unit, **files):
        Group.seq += 1
        self.path = f'{unit}/g{Group.seq}'
        os.mkdir(self.path)
        for name, value in files.items():
            write(f'{self.path}/{name}', str(value))

    def spawn(self, *argv):
        return subprocess.Popen(argv, preexec_fn=lambda: write(f'{self.path}/cgroup.procs', '0'))

    def remove(self):
        write(f'{self.path}/cgroup.kill', '1')
        wait_for('empty group', lambda: events(self.path, 'cgroup.events')['populated'] == '0')
        os.rmdir(self.path)


def test_systemd_is_pid_1(unit):
    assert read('/proc/1/comm').strip() == 'systemd'
    state = subprocess.run(['systemctl', 'is-system-running'], capture_output=True, text=True).stdout.strip()
    failed = subprocess.run(['systemctl', '--failed', '--no-legend'], capture_output=True, text=True).stdout
    assert state == 'running', f'{state}: {failed}'


def test_cgroup2_with_all_controllers(unit):
    assert CONTROLLERS <= set(read('/sys/fs/cgroup/cgroup.controllers').split()), read('/sys/fs/cgroup/cgroup.controllers')
    mounts = [m.split() for m in read('/proc/mounts').splitlines()]
    assert [m[1] for m in mounts if m[2] == 'cgroup2'] == ['/sys/fs/cgroup']
    assert not [m for m in mounts if m[2] == 'cgroup'], 'a v1 hierarchy is mounted'


def test_delegated_subtree_is_ours(unit):
    assert CONTROLLERS <= set(read(f'{unit}/cgroup.controllers').split()), read(f'{unit}/cgroup.controllers')
    assert {'memory', 'pids'} <= set(read(f'{unit}/cgroup.subtree_control').split())


def test_kernel_tells_its_types(unit):
    assert os.path.getsize('/sys/kernel/btf/vmlinux') > 1 << 20


def test_bpffs_and_bpftool(unit):
    with tempfile.TemporaryDirectory(dir='/sys/fs/bpf') as d:
        subprocess.run(['bpftool', 'map', 'create', f'{d}/m', 'type', 'array', 'key', '4', 'value', '8', 'entries', '1',
                        'name', 'm'], check=True)
        shown = json.loads(subprocess.run(['bpftool', '-j', 'map', 'show', 'pinned', f'{d}/m'], check=True,
                                          capture_output=True).stdout)
        assert (shown['type'], shown['bytes_value']) == ('array', 8), shown
        os.unlink(f'{d}/m')


def test_oom_kill_in_a_group(unit):
    g = Group(unit, **{'memory.max': 16 << 20, 'memory.swap.max': 0})
    p = g.spawn(sys.executable, '-c', 'b = bytearray(64 << 20); b[::4096] = b"x" * len(b[::4096])')
    status = p.wait(30 * FACTOR)
    kills = int(events(g.path, 'memory.events')['oom_kill'])
    g.remove()
    assert (status, kills) == (-9, 1), (status, kills)


def test_memory_limit_is_kept_not_hit(unit):
    g = Group(unit, **{'memory.max': 128 << 20})
    p = g.spawn(sys.executable, '-c', 'b = bytearray(64 << 20); b[::4096] = b"x" * len(b[::4096])')
    status = p.wait(30 * FACTOR)
    kills = int(events(g.path, 'memory.events')['oom_kill'])
    g.remove()
    assert (status, kills) == (0, 0), (status, kills)


def test_pids_limit_refuses_a_fork(unit):
    g = Group(unit, **{'pids.max': 1})
    p = g.spawn(sys.executable, '-c', 'import os, sys\ntry: os.fork()\nexcept BlockingIOError: sys.exit(42)')
    status = p.wait(30 * FACTOR)
    g.remove()
    assert status == 42, status


def test_cgroup_kill_takes_the_tree(unit):
    g = Group(unit)
    p = g.spawn('/bin/sh', '-c', 'setsid sleep 1000 & trap "" TERM; sleep 1000')
    wait_for('three processes', lambda: len(read(f'{g.path}/cgroup.procs').split()) == 3)
    g.remove()
    assert p.wait(5 * FACTOR) == -9


def test_nothing_was_killed_by_the_host(unit):
    vm = dict(line.split() for line in read('/proc/vmstat').splitlines())
    assert int(vm['oom_kill']) == 1, f"{vm['oom_kill']} OOM kills, one was wanted"


def main():
    if not os.environ.get('MATRIX_VM'):
        print('skip test_guest - runs in the guest only (make vm)')
        return 0
    if sys.argv[1:] != ['unit']:
        return subprocess.run(['systemd-run', '--quiet', '--wait', '--pipe', '--collect', '--unit=fated-guest',
                               '-p', 'Delegate=yes', '-E', 'MATRIX_VM=1', '-E', f'TIMEOUT_FACTOR={FACTOR}',
                               sys.executable, os.path.abspath(__file__), 'unit']).returncode
    unit = own_cgroup()
    # The unit's group must have no processes of its own before it may hand controllers down.
    os.mkdir(f'{unit}/supervisor')
    for pid in read(f'{unit}/cgroup.procs').split():
        write(f'{unit}/supervisor/cgroup.procs', pid)
    write(f'{unit}/cgroup.subtree_control', '+memory +pids +cpu +io')
    bad = 0
    for name, test in [(n, t) for n, t in globals().items() if n.startswith('test_') and callable(t)]:
        try:
            test(unit)
            print(f'ok guest_{name[5:]}', flush=True)
        except Exception as e:
            bad = 1
            print(f'not ok guest_{name[5:]} - {type(e).__name__}: {e}', flush=True)
    return bad


sys.exit(main())
