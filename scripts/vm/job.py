#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tests/run.py in one guest per kernel and adds up what they say.

    job.py --cache DIR --build DIR [--timeout S] SERIES... -- GROUP|PROGRAM...

Goes in: a tar of the build's programs and of tests/, as a read-only disk. Comes back: the tests' own lines, as they
come. A guest that does not start, falls silent or ends early is one failure, never a shorter sum.
"""
import argparse, os, re, sys, tarfile, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vm import VM

# Tests multiply their waits by it. The guest is 20 to 50 times slower, but the waits are long ones, and the functions'
# own time limits, which are stretched too, may be 900 s at most.
TIMEOUT_FACTOR = 10

# (No variable here may begin with FATED_: those are settings of the daemon.) All of it in one unit whose subtree systemd leaves alone, as a host's administrator would give it; cpu and io first,
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
    """Programs and tests only: objects, archives and caches stay on the host."""
    def programs(info):
        skip = info.isfile() and info.name.startswith(build) and not info.mode & 0o111
        return None if skip or '__pycache__' in info.name or info.name == f'{build}/vm' else info

    with tarfile.open(path, 'w') as tar:
        for name in ('fated', 'fatectl', 'sim', 'tests'):
            if os.path.exists(f'{build}/{name}'):
                tar.add(f'{build}/{name}', filter=programs)
        tar.add('tests', filter=lambda i: None if '__pycache__' in i.name else i)


class Lines:
    """Passes the guest's lines on and counts results; the guest's own closing sum is checked, not repeated."""

    def __init__(self, series):
        self.series, self.passed, self.failed, self.skipped, self.sum = series, 0, 0, 0, None

    def __call__(self, data):
        for line in data.decode('utf-8', 'replace').splitlines():
            if m := re.fullmatch(r'(\d+) passed, (\d+) failed(?:, (\d+) skipped)?', line):
                self.sum = tuple(int(x or 0) for x in m.groups())
                continue
            print(f'{self.series}: {line}' if line else '', flush=True)
            self.passed += line.startswith('ok ')
            self.failed += line.startswith('not ok ')
            self.skipped += line.startswith('skip ')

    def fail(self, why):
        self.failed += 1
        print(f'not ok vm_{self.series} - {why}', flush=True)


def tail(path, n=20):
    with open(path, errors='replace') as f:
        return ''.join(f.readlines()[-n:])


def guest(series, a, tar):
    lines = Lines(series)
    console = f'{a.cache}/console-{series}.log'
    began = time.time()
    try:
        with VM(f'{a.cache}/kernels/{series}', f'{a.cache}/root.img', ro=[tar], console=console) as vm:
            release = vm.ready()
            print(f'# {series}: guest runs Linux {release} after {time.time() - began:.0f} s', flush=True)
            env = ' '.join(f'-E {k}={os.environ[k]}' for k in ('ROUNDS', 'SEED') if k in os.environ)
            status, _ = vm.run(GUEST % {'factor': TIMEOUT_FACTOR, 'timeout': a.timeout, 'build': a.build, 'env': env,
                                        'what': ' '.join(a.what)}, timeout=a.timeout, out=lines)
            if lines.sum is None:
                lines.fail(f'the run ended with status {status} and no sum')
            elif lines.sum != (lines.passed, lines.failed, lines.skipped):
                lines.fail(f'lines got lost: the guest counted {lines.sum}, we {lines.passed, lines.failed, lines.skipped}')
            elif bool(status) != bool(lines.failed):
                lines.fail(f'exit status {status} with {lines.failed} failures')
    except (RuntimeError, TimeoutError, OSError) as e:
        lines.fail(f'{e}')
        if os.path.exists(console):
            print(f'# the console\'s last lines:\n{tail(console)}', flush=True)
    print(f'# {series}: {time.time() - began:.0f} s', flush=True)
    return lines


def main():
    argv, what = sys.argv[1:], []
    if '--' in argv:
        argv, what = argv[:argv.index('--')], argv[argv.index('--') + 1:]
    ap = argparse.ArgumentParser()
    ap.add_argument('--cache', required=True)
    ap.add_argument('--build', required=True)
    ap.add_argument('--timeout', type=int, default=5400, help='seconds for all tests of one guest')
    ap.add_argument('series', nargs='+')
    a = ap.parse_args(argv)
    a.what = what
    with tempfile.NamedTemporaryFile(prefix='fated-vm-', suffix='.tar') as tar:
        pack(a.build, tar.name)
        done = [guest(s, a, tar.name) for s in a.series]
    passed, failed, skipped = (sum(getattr(d, k) for d in done) for k in ('passed', 'failed', 'skipped'))
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    sys.exit(1 if failed or not passed else 0)


main()
