#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs and adds up their lines.

    run.py [--build DIR] [--quiet] GROUP|PROGRAM...

Groups: unit (C tests that need no root), privileged (C tests that do), integ (Python, against the real daemon),
golden (Python, against recorded data), all. PROGRAM may be a line as a shell has it: variables before, arguments after
("MATRIX_TABLE=no tests/integ/test_fault_matrix.py exit_0 exit_1"). A program prints "ok NAME",
"not ok NAME - why", "skip NAME - why"; exit status 77 with no lines is a skip; any other non-zero status without a
"not ok" line, or no lines at all, is a failure. Ends with one line: "N passed, N failed, N skipped".
"""
import argparse, glob, os, re, shlex, subprocess, sys, time

ap = argparse.ArgumentParser()
ap.add_argument('--build', default='build')
ap.add_argument('--quiet', action='store_true', help='print failures and skips only')
ap.add_argument('--timeout', type=int, default=900)
ap.add_argument('--sum', help='add this run to a running total kept in FILE')
ap.add_argument('what', nargs='+')
a = ap.parse_args()
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(root)


def built(pattern):
    return [os.path.join(a.build, s[:-2]) for s in sorted(glob.glob(pattern))]


groups = {
    'unit': lambda: [p for d in ('unit', 'contract', 'golden', 'fault') for p in built(f'tests/{d}/test_*.c')],
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
for p in programs:
    started = time.time()
    cmd, variables = command(p)
    lines = bad = 0
    print(f'# {p}', flush=True)
    try:
        run = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**env, **variables}, text=True, errors='replace', bufsize=1)
    except OSError as e:
        print(f'not ok {p} - {e}')
        failed += 1
        continue
    import threading
    late = threading.Timer(a.timeout, run.kill)
    late.start()
    for line in run.stdout:
        if line.startswith('ok '):
            passed += 1; lines += 1
            if a.quiet: continue
        elif line.startswith('not ok '):
            failed += 1; lines += 1; bad += 1
        elif line.startswith('skip '):
            skipped += 1; lines += 1
        print(line, end='', flush=True)
    status = run.wait()
    timed_out = not late.is_alive()
    late.cancel()
    if timed_out:
        failed += 1
        print(f'not ok {p} - killed after {a.timeout} s')
    elif status == 77 and not lines:
        skipped += 1
        print(f'skip {p}')
    elif (status and not bad) or not lines:
        failed += 1
        print(f'not ok {p} - exit status {status} after {lines} results')
    print(f'# {p}: {time.time() - started:.1f} s', flush=True)

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
