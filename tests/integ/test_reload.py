#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Definitions that are read again by themselves when a file changes: added, changed, removed; never half a file; a
directory that comes, goes and is replaced; a directory that never rests. And functions that require their limits."""
import contextlib, json, os, signal
import fated
from fated import Fated, Tests, equal, until

ON = {'ReloadOnChange': 'true'}


def functions(d):
    """{name: timeout} of the functions in force."""
    return {f['FunctionName']: f['Timeout'] for f in d.get('/fate/v1/functions')['functions']}


def in_force(d, want):
    until(lambda: functions(d) == want, lambda: f'functions {want}, there are {functions(d)}\n{d.log_tail()}')


def problems(d):
    return d.get('/fate/v1/status')['definitions']['problems']


def text(name, timeout):
    return json.dumps({'FunctionName': name, 'Command': ['/bin/true'], 'Timeout': timeout})


def path(d, file):
    return os.path.join(d.dir, 'functions.d', file)


def added_changed_removed():
    with Fated(name='reload', config=ON) as d:
        d.start()
        equal(functions(d), {}, 'functions at the start')
        d.definition('a.json', text('a', 1))                    # by rename, as editors and package managers do
        in_force(d, {'a': 1})
        with open(path(d, 'b.json'), 'w') as f:                 # in place
            f.write(text('b', 2))
        in_force(d, {'a': 1, 'b': 2})
        d.definition('a.json', text('a', 3))
        in_force(d, {'a': 3, 'b': 2})
        equal(d.invoke('a').status, 200, 'status of a call')
        os.rename(path(d, 'b.json'), path(d, 'b.json.off'))
        in_force(d, {'a': 3})
        os.rename(path(d, 'b.json.off'), path(d, 'b.json'))
        in_force(d, {'a': 3, 'b': 2})
        os.unlink(path(d, 'a.json'))
        in_force(d, {'b': 2})
        # Rights are part of what is read.
        os.chmod(path(d, 'b.json'), 0o666)
        until(lambda: problems(d) == 1, 'the problem of a file that everyone may write')
        equal(functions(d), {'b': 2}, 'functions with a bad file')
        os.chmod(path(d, 'b.json'), 0o644)
        until(lambda: problems(d) == 0, 'no problem')
        d.definition('t.json', json.dumps({'TopicName': 't', 'Subscriptions': [
            {'Protocol': 'command', 'Id': 'c', 'Command': ['/bin/true'], 'Timeout': 5}]}))
        in_force(d, {'b': 2, 't-c': 5})
        equal([t['TopicName'] for t in d.get('/fate/v1/topics')['topics']], ['t'], 'topics')


def half_written():
    """A file is being written in place when others are read: what it gave before stays, until it is whole."""
    with Fated(name='reload', config=ON) as d:
        d.definition('a.json', text('a', 1))
        d.start()
        whole = text('a', 2)
        with open(path(d, 'a.json'), 'w') as f:
            f.write(whole[:len(whole) // 2])
            f.flush()
            d.definition('b.json', text('b', 1))                # somebody else's change: both are read
            in_force(d, {'a': 1, 'b': 1})
            equal(problems(d), 1, 'problems with half a file')
            f.write(whole[len(whole) // 2:])
        in_force(d, {'a': 2, 'b': 1})
        equal(problems(d), 0, 'problems with the whole file')


def broken_while_it_was_down():
    """A file that breaks while no daemon runs is as bad as one that breaks under it: what waits for its function is run as it
    was defined, and what is to follow follows."""
    with Fated(name='reload') as d:
        go = os.path.join(d.work, 'go')
        d.define('f', ['/bin/sh', '-c', f'until [ -e {go} ]; do sleep 0.02; done; echo 1'], on_success='queue:out',
                 ReservedConcurrentExecutions=1, Timeout=60, retries=1, delays=[0])
        d.define('gone', ['/bin/true'], on_success='queue:out')
        d.start()
        events = [d.accept('f', {'n': n}) for n in range(3)]
        d.kill9()
        d.definition('f.json', text('f', 1)[:-1])
        os.unlink(path(d, 'gone.json'))
        d.start()
        equal((functions(d), problems(d)), ({'f': 60}, 1), 'functions and problems after the restart')
        open(go, 'w').close()
        for request_id in events:
            equal(d.wait(request_id)['requestContext']['condition'], 'Success', 'condition')
        equal({m['body']['requestContext']['requestId'] for m in d.drain('out')}, set(events), 'records in the queue')
        d.terminate()                                           # gracefully, and once more
        d.start()
        equal((functions(d), problems(d)), ({'f': 60}, 1), 'functions and problems after another one')
        d.definition('f.json', text('f', 2))
        d.request('POST', '/fate/v1/reload')
        equal((functions(d), problems(d)), ({'f': 2}, 0), 'functions and problems with a good file')


def taken_away_with_work():
    """What runs when its file goes is sent on as it was to be; what waits is said to be without a definition."""
    with Fated(name='reload') as d:
        go = os.path.join(d.work, 'go')
        d.define('f', ['/bin/sh', '-c', f'until [ -e {go} ]; do sleep 0.02; done; exit 3'], on_failure='queue:out',
                 ReservedConcurrentExecutions=1, Timeout=60)
        d.start()
        first = d.accept('f', {})
        until(lambda: d.get('/fate/v1/status')['environments'], 'it runs')
        for n in range(2):
            d.accept('f', {'n': n})
        os.rename(path(d, 'f.json'), path(d, 'f.json.off'))
        d.request('POST', '/fate/v1/reload')
        if '2 events wait for function f, which is not defined' not in d.log_tail():
            raise AssertionError(d.log_tail())
        open(go, 'w').close()
        record = d.wait(first)                          # MaximumRetryAttempts is 0, and stays that
        equal([a['verdict'] for a in record['fate']['attempts']], ['Crash'], 'verdicts')
        equal([m['body']['requestContext']['requestId'] for m in d.drain('out')], [first], 'records in the queue')


def kept_again_when_it_can_be():
    """What could not be written for the next start is written when that works again; an old version is not left there."""
    with Fated(name='reload') as d:
        d.definition('a.json', text('a', 1))
        d.start()
        kept = os.path.join(d.dir, 'state/definitions.json')
        equal(os.stat(kept).st_mode & 0o777, 0o600, 'mode')
        os.mkdir(kept + '.new')
        d.definition('a.json', text('a', 2))
        d.request('POST', '/fate/v1/reload')
        equal(os.path.exists(kept), False, 'the old version is there')
        os.rmdir(kept + '.new')
        until(lambda: os.path.exists(kept) and '\\"Timeout\\": 2' in open(kept).read(), 'it is kept again')


def directory_comes_and_goes():
    with Fated(name='reload', config=ON) as d:
        home, away = path(d, ''), f'{d.dir}/away'
        os.rmdir(home)
        d.start()
        equal((functions(d), problems(d)), ({}, 1), 'without a directory')
        os.mkdir(home)
        until(lambda: problems(d) == 0, 'the directory is found')
        d.definition('a.json', text('a', 1))                    # now it is watched
        in_force(d, {'a': 1})
        # Another in its place: the one that was watched lives on elsewhere.
        os.rename(home, away)
        os.mkdir(home)
        d.definition('b.json', text('b', 1))
        in_force(d, {'b': 1})
        with open(f'{away}/a.json', 'w') as f:
            f.write(text('a', 7))
        d.definition('c.json', text('c', 1))
        in_force(d, {'b': 1, 'c': 1})
        for f in os.listdir(home):
            os.unlink(home + f)
        in_force(d, {})
        d.definition('d.json', text('d', 1))
        in_force(d, {'d': 1})
        # Gone for the moment: what it gave stays, also when somebody asks.
        os.rename(home, f'{d.dir}/for-the-moment')
        until(lambda: 'is gone; what it gave stays in force' in open(d.stderr).read(), 'the daemon notices')
        equal(set(functions(d)), {'d'}, 'functions without their directory')
        d.ctl('reload', check=4)
        in_force(d, {'d': 1})
        os.rename(away, home)
        in_force(d, {'a': 7})


def never_at_rest():
    """A file that is written all the time does not keep the others out of force."""
    with Fated(name='reload', config=ON) as d:
        d.start()
        n = 0

        def write_and_look():
            nonlocal n
            n += 1
            d.definition('busy.json', text('busy', 1 + n % 100))
            return 'late' in functions(d)

        d.definition('late.json', text('late', 1))
        until(write_and_look, lambda: f'the function late, after {n} writes\n{d.log_tail()}')
        in_force(d, {'late': 1, 'busy': 1 + n % 100})


def watched(d):
    """Does the daemon hold an inotify watch on its directory?"""
    ino, base = os.stat(path(d, '')).st_ino, f'/proc/{d.process.pid}/fdinfo'
    for fd in os.listdir(base):
        with contextlib.suppress(OSError):
            if any(line.startswith('inotify ') and f' ino:{ino:x} ' in line for line in open(f'{base}/{fd}')):
                return True
    return False


def switched_off():
    for on in (True, False):
        with Fated(name='reload', config={'ReloadOnChange': str(on).lower()}) as d:
            d.start()
            equal(watched(d), on, f'a watch with ReloadOnChange {on}')
            d.definition('a.json', text('a', 1))
            d.process.send_signal(signal.SIGHUP)                # always works
            in_force(d, {'a': 1})


def limits_required():
    """RequireLimits is an error where the host cannot keep a limit, and nothing where it can."""
    with Fated(name='reload') as d:
        d.define('old', ['/bin/true'])
        d.start()
        has = {k: v['enabled'] for k, v in d.get('/fate/v1/status')['launcher']['controllers'].items()}
        d.define('old', ['/bin/true'], RequireLimits=True, PidsMax=0)
        d.define('all', ['/bin/true'], RequireLimits=True, CpuPercent=50)
        reload = d.request('POST', '/fate/v1/reload').json()
        want = []
        for name, needs in (('all', {'memory': 'MemorySize', 'pids': 'PidsMax', 'cpu': 'CpuPercent'}),
                            ('old', {'memory': 'MemorySize'})):
            missing = [f'{c} (for {limit})' for c, limit in needs.items() if not has[c]]
            if missing:
                want.append((path(d, f'{name}.json'), '$.RequireLimits', ', '.join(missing)))
        got = reload['problems']
        equal([(p['file'], p['path']) for p in got], [w[:2] for w in want], 'problems')
        for p, w in zip(got, want):
            if w[2] not in p['reason'] or len(p['reason']) < len(w[2]) + 20:    # and why they are missing
                raise AssertionError(f'reason is {p["reason"]!r}, want {w[2]!r} in it')
        refused = {os.path.basename(w[0])[:-5] for w in want}
        equal(set(functions(d)), {'old', 'all'} - refused, 'functions in force')
        equal(d.invoke('old').status, 404 if 'old' in refused else 200, 'status of a call')
        print(f'# controllers: {has}; refused: {sorted(refused)}', flush=True)


def main():
    tests = Tests()
    for fn in (added_changed_removed, half_written, broken_while_it_was_down, taken_away_with_work, kept_again_when_it_can_be,
               directory_comes_and_goes, never_at_rest, switched_off, limits_required):
        tests.run(f'reload_{fn.__name__}', fn)
    tests.end()


if __name__ == '__main__':
    main()
