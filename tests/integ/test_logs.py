#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logs: followed over rotations and over a restart of the daemon, bounded in number and age, and the daemon's own line of
every outcome, with all its ids."""
import json, os, re, signal, subprocess, time, urllib.parse
import fated
from fated import Fated, Tests, equal, until

LINES, ROUNDS = 300, 12         # of 100 bytes: a file of 64 KiB holds two rounds
DAY = 86400


def writes(d):
    """A function that writes LINES numbered lines; the event is the number of the first."""
    script = d.script('writes', f'#!/bin/sh\nread -r n\ni=$n\nend=$((n + {LINES}))\n'
                      'while [ $i -lt $end ]; do printf "line %06d %087d\\n" $i 0; i=$((i + 1)); done >&2\n')
    d.define('writes', [script], Timeout=60 * fated.FACTOR)


def numbers(text):
    return [int(n) for n in re.findall(r'^line (\d{6}) 0{87}$', text, re.M)]


class Follower:
    def __init__(self, d, *args):
        self.out, self.err = (os.path.join(d.work, f'follow.{n}') for n in ('out', 'err'))
        with open(self.out, 'w') as out, open(self.err, 'w') as err:
            self.process = subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), 'logs', '-f', *args], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, env=dict(os.environ, FATED_SOCKET=d.socket))

    def text(self):
        return open(self.out).read()

    def said(self):
        return open(self.err).read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def follow_over_rotations_and_a_restart(d):
    equal(d.invoke('writes', 0).status, 200, 'status')
    with Follower(d, 'writes', '--bytes', '1000') as f:
        until(lambda: LINES - 1 in numbers(f.text()), lambda: f'the end of the first round: {f.said()}')
        first = numbers(f.text())[0]
        if not 0 < first < LINES - 1:
            raise AssertionError(f'1000 bytes begin with line {first}')
        for n in range(1, ROUNDS):
            if n == ROUNDS // 2:
                d.terminate()
                until(lambda: f.said(), 'the follower misses the daemon')
                d.start()
            equal(d.invoke('writes', n * LINES).status, 200, 'status')
            # The next round comes when this one was read: then nothing can be lost to the rotation.
            until(lambda n=n: (n + 1) * LINES - 1 in numbers(f.text()), lambda n=n: f'the end of round {n}: {f.said()}')
        until(lambda: f.text().count('\nREPORT ') == ROUNDS, 'the last report')
        f.process.send_signal(signal.SIGINT)
        equal(f.process.wait(fated.PATIENCE), 0, 'exit status after SIGINT')
        equal(f.said(), 'fatectl: daemon is gone, waiting\n', 'stderr')
        equal(numbers(f.text()), list(range(first, ROUNDS * LINES)), 'lines')
        equal(f.text().count('START RequestId'), ROUNDS - 1, 'STARTs')
    equal(sorted(n for n in os.listdir(f'{d.dir}/log') if n.startswith('writes')),
          ['writes.log', 'writes.log.1', 'writes.log.2'], 'files')
    for n in ('writes.log', 'writes.log.1', 'writes.log.2'):
        if os.path.getsize(f'{d.dir}/log/{n}') > 65536:
            raise AssertionError(f'{n} has {os.path.getsize(f"{d.dir}/log/{n}")} bytes')
    # All files are one log.
    whole = numbers(d.ctl('logs', 'writes', '--bytes', '1048576', check=0).stdout)
    if len(whole) <= 2 * 65536 // 100 * 0.9 or whole != list(range(whole[0], ROUNDS * LINES)):
        raise AssertionError(f'the log is not the end of all lines without a gap: {len(whole)} of them')


def what_a_slow_reader_lost(d):
    def after(cursor, **more):
        return d.get('/fate/v1/functions/writes/logs?' + urllib.parse.urlencode(dict(cursor=cursor, **more)))
    start = d.get('/fate/v1/functions/writes/logs?bytes=1')['cursor']
    equal(d.invoke('writes', 0).status, 200, 'status')
    a = after(start)
    equal((numbers(a['log']), 'lost' in a, 'more' in a), (list(range(LINES)), False, False), 'what came after')
    small = after(start, bytes=10000)
    equal(small.get('more'), True, 'more')
    equal(numbers(small['log'] + after(small['cursor'])['log']), list(range(LINES)), 'in two pieces')
    for n in range(1, ROUNDS):
        equal(d.invoke('writes', n * LINES).status, 200, 'status')
    a = after(start)
    got = numbers(a['log'])
    equal((a.get('lost'), got), (True, list(range(got[0], ROUNDS * LINES))), 'what is left')
    again = after(a['cursor'])
    equal((again['log'], 'lost' in again), ('', False), 'and then')
    equal(d.request('GET', '/fate/v1/functions/writes/logs?cursor=nonsense').status, 400, 'status of a cursor that is none')


def a_closed_pipe_ends_the_follower(d):
    with subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), 'logs', '-f', 'writes'], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, FATED_SOCKET=d.socket)) as p:
        try:
            p.stdout.read(1)
            p.stdout.close()
            equal(p.wait(fated.PATIENCE), 0, 'exit status')
            equal(p.stderr.read(), b'', 'stderr')
        finally:
            p.kill()


def old_logs_go(d):
    """Planted before the start: what is old goes, of functions nobody knows, too; what is not ours stays."""
    until(lambda: not any(os.path.exists(f'{d.dir}/log/{n}') for n in ('forgotten.log', 'forgotten.log.1', 'young.log.3')),
          'old logs go')
    for n in ('young.log', 'young.log.1', 'notes.txt', 'forgotten.log.gz'):
        if not os.path.exists(f'{d.dir}/log/{n}'):
            raise AssertionError(f'{n} is gone')


def plant(d):
    for name, age in (('forgotten.log', 15 * DAY), ('forgotten.log.1', 20 * DAY), ('young.log', DAY), ('young.log.1', 13 * DAY),
                      ('young.log.3', DAY), ('notes.txt', 100 * DAY), ('forgotten.log.gz', 100 * DAY)):
        path = f'{d.dir}/log/{name}'
        with open(path, 'w') as f:
            f.write('line\n')
        os.utime(path, times=(time.time() - age,) * 2)


def every_outcome_has_its_line(d):
    """Function, request id, attempt, environment and verdict in one line of the daemon's stderr for every attempt."""
    ways = {'ends': (['exit', '0'], 'Success'), 'crashes': (['exit', '3'], 'Crash'), 'reports': (['handled', '1'], 'Error'),
            'hangs': (['wait'], 'Timeout')}
    for name, (way, _) in ways.items():
        d.define(name, [fated.DIE, *way], retries=1, delays=[0], **({'Timeout': 1} if name == 'hangs' else {}))
    d.ctl('reload', check=0)
    want = []
    for name, (_, verdict) in ways.items():
        want.append((name, d.invoke(name, {}).headers['x-amzn-RequestId'], 1, verdict))
        request_id = d.accept(name, {})
        d.wait(request_id)
        want += [(name, request_id, n, verdict) for n in ((1,) if verdict == 'Success' else (1, 2))]
    line = re.compile(r'^\S+Z info: (\S+) ([0-9a-f-]{36}) attempt (\d+) env (\d+): (\w+): (?:exit status \d+|SIG\w+) after '
                      r'[\d.]+ ms$', re.M)
    found = lambda: line.findall(open(d.stderr).read())
    until(lambda: len([f for f in found() if f[0] in ways]) >= len(want), lambda: f'{len(want)} lines\n{d.log_tail()}')
    lines = [f for f in found() if f[0] in ways]
    equal(sorted((f, r, int(a), v) for f, r, a, _, v in lines), sorted(want), 'outcomes')
    equal(len({env for _, _, _, env, _ in lines}), len(want), 'environments')
    # No line about an attempt without all of them.
    for text in open(d.stderr):
        if any(r in text for _, r, _, _ in want) and not line.match(text.rstrip('\n')):
            raise AssertionError(f'a line about an attempt without its ids: {text!r}')


def env_is_the_cgroup(d):
    d.define('waits', [fated.DIE, 'wait'], Timeout=60 * fated.FACTOR)
    d.ctl('reload', check=0)
    request_id = d.accept('waits', {})
    [e] = until(lambda: [e for e in d.get('/fate/v1/status')['environments'] if e['requestId'] == request_id], 'it runs')
    [leaf] = until(d.leaves, 'its leaf')
    equal(e['cgroupId'], str(os.stat(leaf).st_ino), 'cgroup id')
    with open(os.path.join(leaf, 'cgroup.kill'), 'w') as f:
        f.write('1')
    d.wait(request_id)
    until(lambda: f' {request_id} attempt 1 env {e["cgroupId"]}: Signal: SIGKILL after ' in open(d.stderr).read(),
          lambda: f'its line\n{d.log_tail()}')


def what_was_not_started_has_its_line(d):
    d.define('homeless', [fated.DIE, 'exit', '0'], User='no-such-user-here')
    d.ctl('reload', check=0)
    request_id = d.accept('homeless', {})
    d.wait(request_id)
    want = re.compile(rf'info: homeless {request_id} attempt 1: ExecFailed: user: .*no-such-user-here')
    equal(len(want.findall(open(d.stderr).read())), 1, 'lines')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated({'FunctionLogBytes': 65536}, name='logs') as d:
            writes(d)
            plant(d)
            d.start()
            for fn in (old_logs_go, follow_over_rotations_and_a_restart, what_a_slow_reader_lost, a_closed_pipe_ends_the_follower,
                       every_outcome_has_its_line, env_is_the_cgroup, what_was_not_started_has_its_line):
                if not tests.run(f'logs_{fn.__name__}', fn, d):
                    print(d.log_tail(10), end='', flush=True)
    tests.run('logs_leave_nothing', all_with_one_daemon)
    tests.end()


if __name__ == '__main__':
    main()
