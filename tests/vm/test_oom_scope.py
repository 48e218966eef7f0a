# SPDX-License-Identifier: Apache-2.0
"""Whose limit an OOM kill enforced: the function's own, that of a group above its leaf, or none but the host's memory.

The daemon runs as a unit in a slice of its own, so there are three groups above a leaf that can have a limit: env, the
unit, the slice. Each scope with the leader as the victim and with a child that the leader outlives, with OomGroup on and
off, and all of it with either observer: what eBPF sees where it is decided and what the files tell must be the same. Runs
in the guest only: the host running out of memory is nobody's loss there. OOM_SCOPE=short is each of the three scopes once
(the nearest group above, the leader the victim), for `make test`.
"""
import contextlib, os, subprocess, tempfile
import fated
from fated import Fated, Tests, equal, until

SLICE = 'fatedoom.slice'
UNIT = 'fated-oom.service'
TOP = '/sys/fs/cgroup'
LONG = 60 * fated.FACTOR
MB = 1 << 20
SIZES = {'own': 128, 'above': 1024, 'host': 10240}      # MemorySize; the first is hit by an eater of 200 MB
ABOVE = 96 * MB                # limit of a group above; the daemon itself fits into it, too
KILLED = {'signal': 9, 'signalName': 'SIGKILL', 'coreDumped': False}


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def systemctl(*args):
    return subprocess.run(['systemctl', *args], check=True, capture_output=True, text=True).stdout


def meminfo(key):
    """In MB."""
    return next(int(line.split()[1]) // 1024 for line in open('/proc/meminfo') if line.startswith(f'{key}:'))


def counted(group, file):
    return {k: int(v) for k, v in (line.split() for line in read(f'{group}/{file}').splitlines())}


class Protected:
    """Nobody but functions is worth killing, and a few sleepers: now and then a kernel looks for a second victim before the
    first one's memory is back. They come before the leader of an eating child (50: as if each had 5 % of all memory),
    and after an eater."""
    def __enter__(self):
        self.before = {}
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError):      # it ended, or is a thread of the kernel
                path = f'/proc/{pid}/oom_score_adj'
                adjusted = int(read(path))
                if adjusted > -999:
                    write(path, '-999')
                    self.before[path] = adjusted
        self.sleepers = [subprocess.Popen(['sleep', 'infinity']) for _ in range(16)]
        for p in self.sleepers:
            write(f'/proc/{p.pid}/oom_score_adj', '50')

    def __exit__(self, *_):
        for p in self.sleepers:
            p.kill()
            p.wait()
        for path, adjusted in self.before.items():
            with contextlib.suppress(OSError):
                write(path, str(adjusted))


class Ballast:
    """All memory but 256 MB, in files that cannot be written back: an eater is at the end of it the sooner."""
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='fated-ballast-')
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=100%', 'ballast', self.dir], check=True)
        with open(f'{self.dir}/ballast', 'wb', buffering=0) as f:
            for _ in range(meminfo('MemAvailable') - 256):
                f.write(bytes(MB))

    def __exit__(self, *_):
        subprocess.run(['umount', self.dir], check=True)
        os.rmdir(self.dir)


class UnitProcess:
    """The unit's main process, with as much of Popen as the tests' library uses."""
    def __init__(self):
        self.returncode = None

    def shown(self, name):
        return systemctl('show', UNIT, f'-p{name}', '--value').strip()

    @property
    def pid(self):
        return int(self.shown('MainPID'))

    def poll(self):
        if self.returncode is None and self.shown('ActiveState') in ('inactive', 'failed'):
            self.returncode = {'success': 0}.get(self.shown('Result'), 1)
        return self.returncode

    def terminate(self):
        systemctl('stop', UNIT)

    def kill(self):
        systemctl('kill', '-s', 'KILL', UNIT)

    def wait(self, timeout=fated.PATIENCE):
        until(lambda: self.poll() is not None, f'{UNIT} ends', timeout)
        return self.returncode


class Unit(Fated):
    """A daemon that is told nothing about groups: systemd delegates one."""
    def __init__(self, observer):
        super().__init__({'Observer': observer}, name='oom')
        self.group = f'{TOP}/{SLICE}/{UNIT}'

    def argv(self):
        return [a for a in super().argv() if not a.startswith('--CgroupRoot=')]

    def spawn(self):
        subprocess.run(['systemd-run', '--quiet', f'--unit={UNIT}', f'--slice={SLICE}', '-p', 'Delegate=yes', '-p', 'Type=exec',
                        '-p', 'OOMScoreAdjust=-999', '-p', f'StandardError=append:{self.stderr}', *self.argv()], check=True)
        self.process = UnitProcess()


class Limit:
    """A limit of 96 MB on one of the groups above the leaves. The unit's and the slice's are systemd's to write."""
    def __init__(self, d, where):
        self.unit = {'unit': UNIT, 'slice': SLICE}.get(where)
        self.group = {'env': f'{d.group}/env', 'unit': d.group, 'slice': os.path.dirname(d.group)}[where]

    def set(self, text):
        if self.unit:
            systemctl('set-property', '--runtime', self.unit, f'MemoryMax={"infinity" if text == "max" else text}')
        else:
            write(f'{self.group}/memory.max', text)
        equal(read(f'{self.group}/memory.max').strip(), text, f'memory.max of {self.group}')

    def __enter__(self):
        self.set(str(ABOVE))
        return self

    def __exit__(self, *_):
        self.set('max')


class Scopes:
    def __init__(self, observer):
        self.observer = observer
        self.d = Unit(observer)
        # Just below what an address space may ask for, and more than there is to be had.
        for size, mb in SIZES.items():
            eaten = meminfo('MemTotal') - 8 if size == 'host' else 200
            for who in ('eat', 'child-eats'):
                for group in (True, False):
                    self.d.define(f'{size}-{who}-{group}', [fated.DIE, who, str(eaten)], MemorySize=mb, OomGroup=group,
                                  Timeout=LONG, on_success='queue:out', on_failure='queue:out')

    def attempt(self, size, who, group):
        request_id = self.d.accept(f'{size}-{who}-{group}', {})
        record = self.d.wait(request_id)
        equal(len(self.d.drain('out')), 1, 'records')
        fate = record['fate']['attempts']
        equal(len(fate), 1, 'attempts')
        return record, fate[0]

    def check(self, size, who, group, **want):
        kernel_kills = counted('/proc', 'vmstat')['oom_kill']
        record, fate = self.attempt(size, who, group)
        equal(fate['observer'], self.observer, 'observer')
        oom = dict(fate['oom'])
        kills = oom.pop('kills')
        if not 1 <= kills <= counted('/proc', 'vmstat')['oom_kill'] - kernel_kills:
            raise AssertionError(f'{kills} kills')
        victim = oom.pop('victim', None)
        if self.observer == 'bpf':
            equal(victim['comm'], 'prog_die', 'victim')
        elif victim is not None:
            raise AssertionError(f'who told of the victim {victim}?')
        peak = oom.pop('peakBytes')
        if not 32 * MB < peak <= SIZES[size] * MB:
            raise AssertionError(f'peak of {peak} bytes')
        if size == 'own':       # the leaf has no name that the files tell
            leaf = oom.pop('limitCgroup', None)
            if (self.observer == 'bpf') != bool(leaf and leaf.startswith(f'{self.d.group[len(TOP):]}/env/e')):
                raise AssertionError(f'limit of {leaf}')
        equal(oom, want, 'oom')
        if who == 'eat' or group:
            equal((fate['verdict'], {k: fate[k] for k in KILLED}), ('OutOfMemory', KILLED), 'end')
            equal(record['responsePayload']['errorType'], 'Runtime.OutOfMemory', 'error')
        else:
            equal((fate['verdict'], fate['exitStatus'], record['responsePayload']), ('Success', 0, 'child killed'), 'end')
        equal(self.d.process.poll(), None, 'status of the daemon')

    def own(self, who, group):
        self.check('own', who, group, scope='own', limitBytes=SIZES['own'] * MB)

    def above(self, where, who, group):
        with Limit(self.d, where) as limit:
            self.check('above', who, group, scope='ancestor', limitBytes=ABOVE, limitCgroup=limit.group[len(TOP):])

    def host(self, who, group):
        self.check('host', who, group, scope='host')

    def run(self, t, short):
        def each(name, fn, *args):
            for who in ('eat',) if short else ('eat', 'child-eats'):
                for group in (True,) if short else (True, False):
                    t.run(f'oom_scope_{self.observer}_{name}_{who.replace("-", "_")}_{"group" if group else "one"}', fn,
                          *args, who, group)

        with self.d as d:
            d.start()
            each('own', self.own)
            for where in ('env',) if short else ('env', 'unit', 'slice'):
                each(where, self.above, where)
            if not short:
                each('own_again', self.own)     # what happened above before is not this one's
            with Ballast():
                each('host', self.host)


def whole(t, observer, short):
    scopes = Scopes(observer)
    try:
        scopes.run(t, short)
    finally:
        subprocess.run(['systemctl', 'stop', UNIT, SLICE], capture_output=True)
        subprocess.run(['systemctl', 'reset-failed', UNIT], capture_output=True)


def main():
    if not os.environ.get('MATRIX_VM'):
        print('skip oom_scope - runs in the guest only (make vm)')
        return
    short = os.environ.get('OOM_SCOPE') == 'short'
    t = Tests()
    with Protected():
        for observer in ('bpf', 'fallback'):
            t.run(f'oom_scope_{observer}', whole, t, observer, short)
    t.end()


main()
