# SPDX-License-Identifier: Apache-2.0
"""How often is a record right? Every way to end, so many times under load, with each observer: `make truth`.

    truth.py [WAY…]     $RUNS=1000 runs of each way, $OBSERVERS="bpf fallback", $MATRIX_VM=1 also the ways that need controllers

Prints the rate of right answers per way and member, then what was wrong, observer by observer, and writes $BUILD/truth.json: a list of
{"way", "observer", "runs", "right": {member: runs in which it was right}}. Exits 1 unless everything was right every time.
"""
import collections, json, os, signal, sys, time
import fated
from fate_check import Rarely
from fated import Load
from matrix import play, right, selected, wrongs

RUNS = int(os.environ.get('RUNS') or 1000)
AT_A_TIME = 20          # of a way, with one daemon; then the next begins with an empty state directory


class Tally:
    def __init__(self, way, observer):
        self.way, self.observer, self.runs = way, observer, 0
        self.right, self.wrong, self.failed = {}, {}, []

    def add(self, runs):
        now = right(runs)
        for field in set(now) | set(self.right):
            self.right[field] = self.right.get(field, self.runs) + now.get(field, len(runs))
        self.runs += len(runs)
        for field, why in wrongs(runs).items():
            self.wrong.setdefault(field, why)

    def line(self):
        """Members by their rate, the worst first."""
        by_rate = collections.defaultdict(list)
        for field, n in sorted(self.right.items()):
            by_rate[n].append(field)
        return '; '.join(f'{100 * n / self.runs:.6g} %: {" ".join(by_rate[n])}' for n in sorted(by_rate)) if self.runs else 'never ran'


def one_round(tallies, observer, n):
    ways = [t.way for t in tallies]
    with Load():
        # One or two more when some are played in pairs: what was asked for is counted.
        results = play(ways, observer, lambda way: n)
    for t in tallies:
        if t.way in results.failures:
            t.failed.append(results.failures[t.way])
        t.add(results.get(t.way, [])[:n])


def measure(ways, observer):
    tallies, began, done = [Tally(w, observer) for w in ways], time.monotonic(), 0
    while done < RUNS:
        n = min(AT_A_TIME, RUNS - done)
        one_round(tallies, observer, n)
        done += n
        print(f'# {observer}: {done} of {RUNS} runs of {len(ways)} ways, {time.monotonic() - began:.0f} s', file=sys.stderr, flush=True)
    return tallies


def report(tallies):
    for t in tallies:
        print(f'{t.way.name:<34} {t.observer:<8} {t.runs:>5} runs  {t.line()}')
    for t in tallies:
        for field, why in sorted(t.wrong.items()):
            print(f'wrong: {t.way.name} ({t.observer}): {field}, {t.runs - t.right[field]} of {t.runs}, first: {why}')
        for why in t.failed[:1]:
            print(f'not run to the end: {t.way.name} ({t.observer}), {len(t.failed)} times, first: {why}')
    runs = sum(t.runs for t in tallies)
    answers, good = sum(t.runs * len(t.right) for t in tallies), sum(sum(t.right.values()) for t in tallies)
    print(f'{len(Rarely.skipped)} members left out so far because the kernel half did not see them')
    print(f'{tallies[0].observer}: {good} of {answers} answers were right, in {runs} runs of {len(tallies)} ways\n', flush=True)
    return good == answers and answers and not any(t.failed for t in tallies) and not Rarely.too_often(runs)


def main():
    chosen = selected(sys.argv[1:])
    ways = [w for w, why in chosen if not why]
    told, fine = [], True
    path = os.path.join(fated.BUILD, 'truth.json')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # no daemon is left behind
    for way, why in chosen:
        if why:
            print(f'{way.name:<34} skipped: {why}')
    for observer in (os.environ.get('OBSERVERS') or 'bpf fallback').split():
        tallies = measure(ways, observer)
        told += [{'way': t.way.name, 'observer': t.observer, 'runs': t.runs, 'right': t.right} for t in tallies]
        with open(path, 'w') as f:
            json.dump(told, f, indent=1)
        fine = report(tallies) and fine
    print(f'written to {path}')
    sys.exit(0 if fine else 1)


if __name__ == '__main__':
    main()
