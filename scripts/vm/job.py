#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tests/run.py in one guest per kernel, adds up what they say and sets it side by side.

    job.py --cache DIR --build DIR [--timeout S] [--guests N] [--quiet] [--sum FILE] SERIES... -- GROUP|PROGRAM...

Goes in: a tar of the build's programs and of tests/, as a read-only disk. Comes back: the tests' own lines, as they
come (--quiet: the bad ones). Closes with a table, test program or part of the fault matrix × kernel, and the sum, which
--sum adds to a running total as run.py does. A kernel that is not there, a guest that does not start, falls silent or
ends early is one failure, never a shorter sum.
"""
import argparse, concurrent.futures, glob, os, re, shlex, sys, tarfile, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vm import VM

# Tests multiply their waits by it. The guest is 20 to 50 times slower, but the waits are long ones, and the functions'
# own time limits, which are stretched too, may be 900 s at most.
TIMEOUT_FACTOR = 10

# The emulator's processors now and then meet in the code that one of them is patching, and the kernel dies of an int3 while
# it boots (QEMU's multi-threaded TCG). Nothing of ours has run by then; from there on a guest that is gone is a failure.
BOOTS = 3

# Series below the floor: there is nothing to test but that the daemon says so.
BELOW_THE_FLOOR = {'5.10': ['tests/vm/test_refusal.py']}

# The run's settings that are passed on. (No variable here may begin with FATED_: those are settings of the daemon.)
PASSED_ON = ('ROUNDS', 'SEED', 'MATRIX_TABLE')

# All of it in one unit whose subtree systemd leaves alone, as a host's administrator would give it; cpu and io first,
# since systemd's root hands down only memory and pids until a unit asks for more.
GUEST = '''
mkdir -p /job && tar xf /dev/vdb -C /job || exit 1
systemctl is-system-running --wait >/dev/null
systemd-run --quiet --wait --pipe --collect --unit=fated-tests -p Delegate=yes -p TasksMax=infinity \\
  -p WorkingDirectory=/job -p LimitCORE=0 -p CPUAccounting=yes -p IOAccounting=yes \\
  -E PATH="$PATH" -E MATRIX_VM=1 -E TIMEOUT_FACTOR=%(factor)d -E PYTHONUNBUFFERED=1 %(env)s \\
  python3 tests/run.py --timeout %(timeout)d --build %(build)s %(what)s
'''


def pack(build, path):
    """Programs, tests and units only: objects, archives and caches stay on the host."""
    def programs(info):
        skip = info.isfile() and info.name.startswith(build) and not info.mode & 0o111
        return None if skip or '__pycache__' in info.name or info.name == f'{build}/vm' else info

    with tarfile.open(path, 'w') as tar:
        for name in ('fated', 'fatectl', 'sim', 'tests'):
            if os.path.exists(f'{build}/{name}'):
                tar.add(f'{build}/{name}', filter=programs)
        tar.add('tests', filter=lambda i: None if '__pycache__' in i.name else i)
        for unit in glob.glob('scripts/*.service'):
            tar.add(unit)


def row(program, name):
    """Where a result stands in the table: its program, and of the fault matrix idle and loaded apart."""
    words = program.split()
    while words and re.match(r'[A-Z_]+=', words[0]):
        words.append(words.pop(0))
    part = re.search(r'_(idle|load)(_leaves_nothing)?$', name) if 'matrix' in words[0] else None
    label = [re.sub(r'^.*?tests/', '', words[0])] + ([part[1]] if part else [])
    return ' '.join(label + [w for w in words[1:] if w.startswith('MATRIX_OBSERVER=')])


class Lines:
    """Passes the guest's lines on and counts results; the guest's own closing sum is checked, not repeated."""

    def __init__(self, series, quiet):
        self.series, self.quiet, self.sum, self.program = series, quiet, None, 'the guest'
        self.counts = {'ok': 0, 'not ok': 0, 'skip': 0}
        self.rows = {}          # row: {'ok': n, …}
        self.bad = []           # (row, name)

    def __call__(self, data):
        for line in data.decode('utf-8', 'replace').splitlines():
            if m := re.fullmatch(r'(\d+) passed, (\d+) failed(?:, (\d+) skipped)?', line):
                self.sum = tuple(int(x or 0) for x in m.groups())
                continue
            self.take(line)
            if not self.quiet or not line.startswith(('ok ', '# ')):
                say(f'{self.series}: {line}' if line else '')

    def take(self, line):
        if m := re.fullmatch(r'# (.*?)(: [\d.]+ s)?', line):
            if not m[2] and 'tests/' in m[1]:
                self.program = m[1]
        elif m := re.match(r'(ok|not ok|skip) (\S+)', line):
            self.count(m[1], m[2])

    def count(self, kind, name):
        where = row(self.program, name)
        self.counts[kind] += 1
        self.rows.setdefault(where, {'ok': 0, 'not ok': 0, 'skip': 0})[kind] += 1
        if kind == 'not ok':
            self.bad.append((where, name))

    def fail(self, why):
        self.program = 'the guest'
        self.count('not ok', f'vm_{self.series}')
        say(f'not ok vm_{self.series} - {why}')


def say(line):
    """Whole lines, whichever guest they are from."""
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


def tail(path, n=20):
    with open(path, errors='replace') as f:
        return ''.join(f.readlines()[-n:])


def run_in(vm, series, a, lines):
    env = ' '.join(f'-E {k}={shlex.quote(os.environ[k])}' for k in PASSED_ON if k in os.environ)
    what = ' '.join(shlex.quote(w) for w in BELOW_THE_FLOOR.get(series, a.what))
    status, _ = vm.run(GUEST % {'factor': TIMEOUT_FACTOR, 'timeout': a.timeout, 'build': a.build, 'env': env, 'what': what},
                       timeout=a.timeout, out=lines)
    counted = tuple(lines.counts.values())
    if lines.sum is None:
        lines.fail(f'the run ended with status {status} and no sum')
    elif lines.sum != counted:
        lines.fail(f'lines got lost: the guest counted {lines.sum}, we {counted}')
    elif bool(status) != bool(counted[1]):
        lines.fail(f'exit status {status} with {counted[1]} failures')


def guest(series, a, tar):
    lines = Lines(series, a.quiet)
    kernel, console = f'{a.cache}/kernels/{series}', f'{a.cache}/console-{series}.log'
    began = time.time()
    if not os.path.exists(f'{kernel}/initrd') or not os.path.exists(f'{a.cache}/root.img'):
        lines.fail('kernel or root image could not be made, see above')
        return lines
    for boots_left in reversed(range(BOOTS)):
        ready = False
        try:
            with VM(kernel, f'{a.cache}/root.img', ro=[tar], console=console) as vm:
                release = vm.ready()
                ready = True
                say(f'# {series}: guest runs Linux {release} after {time.time() - began:.0f} s')
                run_in(vm, series, a, lines)
            break
        except (RuntimeError, TimeoutError, OSError) as e:
            if os.path.exists(console):
                say(f'# the console\'s last lines:\n{tail(console)}')
            if ready or not boots_left:
                lines.fail(f'{e}')
                break
            say(f'# {series}: did not boot ({e}), once more')
    say(f'# {series}: {time.time() - began:.0f} s')
    return lines


def table(done):
    """passed/failed/skipped of every row and kernel, and what failed, with the kernels it failed on."""
    rows = list(dict.fromkeys(r for d in done for r in d.rows))
    wide = max(map(len, rows), default=0)
    say('\n' + f'{"passed/failed/skipped":<{wide}}' + ''.join(f'{d.series:>12}' for d in done))
    for r in rows:
        cells = ['/'.join(str(n) for n in d.rows[r].values()) if r in d.rows else '-' for d in done]
        say(f'{r:<{wide}}' + ''.join(f'{c:>12}' for c in cells))
    for bad in dict.fromkeys(b for d in done for b in d.bad):
        say(f'failed on {", ".join(d.series for d in done if bad in d.bad)}: {bad[1]} ({bad[0]})')
    say('')


def add_to(path, counts):
    old = [0, 0, 0]
    if os.path.exists(path):
        with open(path) as f:
            old = [int(x) for x in f.read().split()]
    with open(path, 'w') as f:
        print(*(x + y for x, y in zip(old, counts)), file=f)


def main():
    argv, what = sys.argv[1:], []
    if '--' in argv:
        argv, what = argv[:argv.index('--')], argv[argv.index('--') + 1:]
    ap = argparse.ArgumentParser()
    ap.add_argument('--cache', required=True)
    ap.add_argument('--build', required=True)
    ap.add_argument('--timeout', type=int, default=5400, help='seconds for all tests of one guest')
    ap.add_argument('--guests', type=int, default=2, help='at a time; more than two are slower than one after the other')
    ap.add_argument('--quiet', action='store_true')
    ap.add_argument('--sum')
    ap.add_argument('series', nargs='+')
    a = ap.parse_args(argv)
    a.what = [w.strip() for w in what]
    with tempfile.NamedTemporaryFile(prefix='fated-vm-', suffix='.tar') as tar:
        pack(a.build, tar.name)
        with concurrent.futures.ThreadPoolExecutor(a.guests) as pool:
            done = list(pool.map(lambda s: guest(s, a, tar.name), a.series))
    if len(done) > 1 or not a.quiet:
        table(done)
    counts = [sum(d.counts[k] for d in done) for k in ('ok', 'not ok', 'skip')]
    if a.sum:
        add_to(a.sum, counts)
        say(f'# in the guest: {counts[0]} ok, {counts[1]} not ok, {counts[2]} skip')
    else:
        say(f'{counts[0]} passed, {counts[1]} failed' + (f', {counts[2]} skipped' if counts[2] else ''))
    sys.exit(1 if counts[1] or not counts[0] else 0)


main()
