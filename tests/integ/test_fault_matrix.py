#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ways a function can end (tests/lib/ways.py), each against the real daemon: every member of its record.

Each way runs once on an idle machine and 20 times with every processor busy, as an asynchronous event whose record goes to
a queue, some also as a synchronous call. Nothing is compared loosely: a record and its member "fate" must have exactly the
members of that death, a value that the death determines must be that value, and a measurement must be possible.

$MATRIX_OBSERVER=fallback   the daemon without eBPF: what only that can tell must be absent, all else must be right
$MATRIX_VM=1                also the ways that need controllers
$MATRIX_RUNS=20             runs of each way under load (3 in a guest, which is slow)
$MATRIX_TABLE=no            without the closing table, in which exitsnoop's answers for the same deaths stand beside ours
Arguments: names of ways.
"""
import contextlib, os, sys
import fated
from fate_check import Rarely
from fated import Load, Skip, Tests
from matrix import end_of, meant, play, right, selected, sender_of, wrongs
from snoop import Exitsnoop

OBSERVER = os.environ.get('MATRIX_OBSERVER', 'bpf')
RUNS = int(os.environ.get('MATRIX_RUNS') or (3 if os.environ.get('MATRIX_VM') == '1' else 20))
NAME = 'matrix' if OBSERVER == 'bpf' else f'matrix_{OBSERVER}'
TABLE = os.environ.get('MATRIX_TABLE') != 'no'


def all_right(runs):
    wrong = wrongs(runs)
    if wrong:
        counts = right(runs)
        raise AssertionError(f'wrong members, in {len(runs)} runs:\n' + '\n'.join(
            f'{field}: right in {counts[field]}: {why}' for field, why in sorted(wrong.items())))


def report(tests, results, ways, suffix):
    for way in ways:
        def judged(way=way):
            if way in results.failures:
                raise AssertionError(results.failures[way])
            all_right(results[way])
        tests.run(f'{NAME}_{way.name}_{suffix}', judged)


def table(results, ways, snoop):
    """Three answers to how the leader ended: what was meant, ours, and the other observer's."""
    right = {'fated': 0, 'exitsnoop': 0}
    of = 0
    print(f'\n  {"way":<32} {"meant":<16} {"fated":<16} {"exitsnoop":<16} {"verdict":<17} {"sender":<58} {"procs":>5} {"ms":>9}')
    for way in ways:
        for run in results.get(way, ())[:1]:
            f = run.record['fate']['attempts'][-1]
            beside = '-'
            if snoop and way.command[0] == 'DIE' and run.notes_kept.get('start'):
                beside = snoop.answer(run.notes_kept['start']) or 'missed'
                of += meant(way) is not None
                right['fated'] += end_of(f) == meant(way)
                right['exitsnoop'] += beside == meant(way)
            print(f'  {way.name:<32} {meant(way) or "-":<16} {end_of(f):<16} {beside:<16} {f["verdict"]:<17} {sender_of(f):<58} '
                  f'{f.get("processes", "-"):>5} {f.get("durationMs", 0):>9.1f}')
    if snoop:
        print(f'  right of {of} ends of one leader: fated {right["fated"]}, exitsnoop {right["exitsnoop"]}')
    print(flush=True)


def idle(tests, ways):
    with contextlib.ExitStack() as stack:
        snoop = None
        if TABLE:
            try:
                snoop = stack.enter_context(Exitsnoop())
            except Skip as e:
                print(f'# without exitsnoop: {e}', flush=True)
        results = play(ways, OBSERVER, lambda way: 1, at_once=1, sync=True)
        if snoop:
            snoop.wait_for_marker()
    report(tests, results, ways, 'idle')
    if TABLE:
        table(results, ways, snoop)


def seldom(results):
    """What may be missing for once is not missing often."""
    n = sum(len(runs) for runs in results.values())
    print(f'# {len(Rarely.skipped)} members are absent from {n} records because the kernel half did not see them', flush=True)
    if Rarely.skipped:
        print(f'# absent: {Rarely.skipped}', flush=True)
    if Rarely.too_often(n):
        raise AssertionError(f'absent: {Rarely.skipped}')


def loaded(tests, ways):
    with Load():
        results = play(ways, OBSERVER, lambda way: min(RUNS, 2) if way.heavy and fated.FACTOR > 1 else RUNS)
    report(tests, results, ways, 'load')
    seldom(results)


def main():
    tests = Tests()
    ways = []
    for way, why in selected(sys.argv[1:]):
        if why:
            print(f'skip {NAME}_{way.name} - {why}', flush=True)
        else:
            ways.append(way)
    if ways:
        tests.run(f'{NAME}_idle_leaves_nothing', idle, tests, ways)
        tests.run(f'{NAME}_load_leaves_nothing', loaded, tests, ways)
    tests.end()


if __name__ == '__main__':
    main()
