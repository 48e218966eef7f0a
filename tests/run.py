#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs and adds up their lines.

    run.py [--build DIR] [--quiet] [--jobs N] GROUP|PROGRAM...

Groups: unit (C tests that need no root), privileged (C tests that do), integ (Python, against the real daemon),
golden (Python, against recorded data), all. PROGRAM may be a line as a shell has it: variables before, arguments after
("MATRIX_TABLE=no tests/integ/test_fault_matrix.py exit_0 exit_1"). With --jobs so many run at a time, the longest group of unit
first; those that want the machine for themselves come one by one at the end. A program prints "ok NAME",
"not ok NAME - why", "skip NAME - why"; exit status 77 with no lines is a skip; any other non-zero status without a
"not ok" line, or no lines at all, is a failure. Ends with one line: "N passed, N failed, N skipped".
"""
import argparse, concurrent.futures, glob, os, re, shlex, subprocess, sys, threading, time

# What loads every processor on purpose, or looks at all that this host runs.
ALONE = ('test_fault_matrix', 'test_storm', 'test_kill9')

ap = argparse.ArgumentParser()
ap.add_argument('--build', default='build')
ap.add_argument('--quiet', action='store_true', help='print failures and skips only')
ap.add_argument('--timeout', type=int, default=900)
ap.add_argument('--jobs', type=int, default=1)
ap.add_argument('--sum', help='add this run to a running total kept in FILE')
ap.add_argument('what', nargs='+')
a = ap.parse_args()
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(root)


def built(pattern):
    return [os.path.join(a.build, s[:-2]) for s in sorted(glob.glob(pattern))]


groups = {
    'unit': lambda: [p for d in ('fault', 'contract', 'golden', 'unit') for p in built(f'tests/{d}/test_*.c')],
    'privileged': lambda: built('tests/bpf/test_*.c') + built('tests/integ/test_*.c'),
    'integ': lambda: sorted(glob.glob('tests/integ/test_*.py')),
    'golden': lambda: sorted(glob.glob('tests/golden/test_*.py')),
}
programs = []
for w in a.what:
    if w == 'all':
        programs += [p for g in groups.values() for p in g()]
    else:
        programs += groups[w]() if w in groups else [w]


def command(line):
    """(argv, variables) of a program's line."""
    words, variables = shlex.split(line), {}
    while re.match(r'[A-Z_]+=', words[0]):
        name, variables[name] = words.pop(0).split('=', 1)
    return ([sys.executable] if words[0].endswith('.py') else []) + [os.path.abspath(words[0]), *words[1:]], variables


passed = failed = skipped = 0
env = dict(os.environ, BUILD=a.build, PYTHONPATH=os.path.join(root, 'tests/lib'), PYTHONDONTWRITEBYTECODE='1')
told = threading.Lock()         # held while one program's lines are printed and added up


class Output:
    """A program's lines and what they say. One program at a time is shown as it goes, several each when it ends."""
    def __init__(self, live):
        self.live, self.lines, self.passed, self.failed, self.skipped = live, [], 0, 0, 0

    def print(self, line):
        if self.live:
            print(line, flush=True)
        else:
            self.lines.append(line)

    def take(self, line):
        ok = line.startswith('ok ')
        self.passed += ok
        self.failed += line.startswith('not ok ')
        self.skipped += line.startswith('skip ')
        if not (ok and a.quiet):
            self.print(line)

    def results(self):
        return self.passed + self.failed + self.skipped

    def end(self):
        global passed, failed, skipped
        with told:
            for line in self.lines:
                print(line)
            sys.stdout.flush()
            passed, failed, skipped = passed + self.passed, failed + self.failed, skipped + self.skipped


def play(p, live):
    out, started = Output(live), time.time()
    out.print(f'# {p}')
    cmd, variables = command(p)
    try:
        run = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**env, **variables}, text=True, errors='replace', bufsize=1)
    except OSError as e:
        out.take(f'not ok {p} - {e}')
        return out.end()
    late = threading.Timer(a.timeout, run.kill)
    late.start()
    for line in run.stdout:
        out.take(line.rstrip('\n'))
    status = run.wait()
    timed_out = not late.is_alive()
    late.cancel()
    if timed_out:
        out.take(f'not ok {p} - killed after {a.timeout} s')
    elif status == 77 and not out.results():
        out.take(f'skip {p}')
    elif (status and not out.failed) or not out.results():
        out.take(f'not ok {p} - exit status {status} after {out.results()} results')
    out.print(f'# {p}: {time.time() - started:.1f} s')
    out.end()


def alone(p):
    return any(name in p for name in ALONE)


if a.jobs > 1:
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        list(pool.map(lambda p: play(p, False), [p for p in programs if not alone(p)]))
    programs = [p for p in programs if alone(p)]
for p in programs:
    play(p, True)

if a.sum:
    old = [0, 0, 0]
    if os.path.exists(a.sum):
        old = [int(x) for x in open(a.sum).read().split()]
    with open(a.sum, 'w') as f:
        print(passed + old[0], failed + old[1], skipped + old[2], file=f)
    print(f'# so far in this group: {passed} ok, {failed} not ok, {skipped} skip')
else:
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
sys.exit(1 if failed or not passed + skipped else 0)
