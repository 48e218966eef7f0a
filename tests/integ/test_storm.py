#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loss of kernel records is visible and harmless.

The ring is one page, environments fork as fast as they can on busy processors, and the daemon is stopped meanwhile, so
that loss is certain: of exits, of a leader's own end, of a deadline, of a signal. Afterwards every record is right to the
last process, the kernel half says how much it lost, and once at rest its counts add up: seen = received + dropped.
"""
import json, os, shutil, signal, subprocess, time
import fated
from fated import Fated, Load, Tests, equal, until

CHILDREN = 10000
STORMS = 2
# A fork is seen for each process, and has a record only for a leader.
KINDS = ('exec', 'exit', 'signal', 'oom', 'deadline')


def notes(d, request_id):
    path = os.path.join(d.work, 'notes', request_id, 'notes')
    return dict(line.split()[:2] for line in open(path)) if os.path.exists(path) else {}


def state(pid):
    """"Z" for a leader that has ended: the daemon, which is stopped, has not waited for it."""
    return open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0]


def counts(d):
    return d.get('/fate/v1/status')['observer']


def at_rest(d):
    """The counts, once they add up; a daemon that lost count of its losses never comes there."""
    def adds_up():
        o = counts(d)
        return o if all(o['seen'][k] == o['received'][k] + o['dropped'][k] for k in KINDS) else None
    return until(adds_up, lambda: f'seen = received + dropped: {json.dumps(counts(d))}')


def define(d):
    os.mkdir(os.path.join(d.work, 'notes'))
    shutil.copy(fated.KILL, d.work)
    variables = {'DIE_NOTES': os.path.join(d.work, 'notes')}
    for name, ways, timeout in (('storm', ['forks', str(CHILDREN)], 600), ('late', ['wait'], 1), ('killed', ['wait'], 600)):
        d.define(name, [fated.DIE] + ways, Timeout=timeout * fated.FACTOR, variables=variables, PidsMax=0, MemorySize=256)


def check(record, verdict, processes, **members):
    fate = record['fate']['attempts'][0]
    want = dict({'verdict': verdict, 'witness': 'both', 'processes': processes, 'threads': processes}, **members)
    equal({k: fate.get(k) for k in want}, want, 'fate')
    if fate['kernelEndUs'] < fate['kernelStartUs']:
        raise AssertionError(f'it ended before it began: {fate}')
    return fate


def storm(stopped):
    with Fated({'RingBytes': 4096}, name='storm') as d, Load():
        define(d)
        d.start()
        first = at_rest(d)
        storms = [d.accept('storm') for _ in range(STORMS)]
        others = {name: d.accept(name) for name in ('late', 'killed')}
        ids = storms + list(others.values())
        pids = {i: int(until(lambda i=i: notes(d, i).get('start' if i in storms else 'waiting'), 'all have started')) for i in ids}
        began = time.monotonic()        # of "late", at the latest
        if stopped:
            d.process.send_signal(signal.SIGSTOP)
            for i in storms:
                until(lambda i=i: state(pids[i]) == 'Z', 'the storms are over')
        killer = subprocess.Popen([os.path.join(d.work, 'prog_kill'), str(pids[others['killed']]), '15'])
        equal(killer.wait(), 0, 'exit status of prog_kill')
        if stopped:
            until(lambda: state(pids[others['killed']]) == 'Z', 'it is dead')
            until(lambda: time.monotonic() > began + fated.FACTOR, 'the deadline has passed, and the daemon could not see it')
            d.process.send_signal(signal.SIGCONT)
        for i in storms:
            check(d.wait(i), 'Success', CHILDREN + 1, exitStatus=0)
        check(d.wait(others['late']), 'Timeout', 1, signal=9)
        sender = check(d.wait(others['killed']), 'Signal', 1, signal=15)['sender']
        equal((sender['pid'], sender['comm']), (killer.pid, 'fate_killer'), 'sender')
        last = at_rest(d)
        exits = STORMS * (CHILDREN + 1) + 2
        equal(last['seen']['exit'] - first['seen']['exit'], exits, 'exits seen')
        equal(last['seen']['fork'] - first['seen']['fork'], exits, 'forks seen')
        equal(last['received']['fork'] + last['dropped']['fork'] - first['received']['fork'] - first['dropped']['fork'], len(ids),
              'records of leaders, read or lost')
        print(f'# {"stopped" if stopped else "running"} daemon: {exits} exits, {last["dropped"]["exit"]} of their records lost, '
              f'of deadlines {last["dropped"]["deadline"]}, of signals {last["dropped"]["signal"]}', flush=True)
        if stopped and not last['dropped']['exit']:
            raise AssertionError('nothing was lost: the test did not meet what it is about')


def main():
    tests = Tests()
    tests.run('storm_beside_a_running_daemon', storm, False)
    tests.run('storm_beside_a_stopped_daemon', storm, True)
    tests.end()


if __name__ == '__main__':
    main()
