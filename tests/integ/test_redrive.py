#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ended events sent again, against the real daemon: one, many, with filters, at a pace, and over the daemon's death. Messages of
queues go by the same walk; test_verbs.py has what is theirs alone."""
import collections, json, os, re, signal, subprocess, time
import fated
from fated import Fated, Tests, equal, until

OK, REFUSED = 0, 4
MANY, RATE = 60, 20


def redriven(p):
    return re.findall(r'^event (\S+) is event (\S+) of (\S+)$', p.stdout, re.M)


def event(d, request_id):
    return d.get(f'/fate/v1/events/{request_id}')


def fail(d, name, n):
    ids = [d.accept(name, {'n': i}) for i in range(n)]
    for i in ids:
        equal(d.wait(i)['requestContext']['condition'], 'RetriesExhausted', 'end')
    return ids


def one_that_failed(d):
    d.define('fails', [fated.DIE, 'exit', '3'])
    d.ctl('reload', check=OK)
    old = d.accept('fails', b'{"n": 12345678901234567890.10}')
    d.wait(old)
    a = d.request('POST', f'/fate/v1/events/{old}/retry')
    equal((a.status, a.json()['redriveOf']), (202, old), 'answer')
    new = a.json()['requestId']
    raw = d.request('GET', f'/fate/v1/events/{new}/wait').body
    if b'"requestPayload":{"n": 12345678901234567890.10}' not in raw:
        raise AssertionError(f'not the same payload: {raw!r}')
    equal(json.loads(raw)['fate']['redriveOf'], old, 'whom the record repeats')
    equal(event(d, new)['redriveOf'], old, 'whom the event repeats')


def one_that_succeeded(d):
    d.define('good', [fated.DIE, 'exit', '0'])
    d.ctl('reload', check=OK)
    old = d.accept('good', {})
    d.wait(old)
    p = d.ctl('event', 'retry', old, check=REFUSED)
    if 'has ended successfully' not in p.stderr:
        raise AssertionError(p.stderr)
    new = d.ctl('event', 'retry', old, '--force', check=OK).stdout.strip()
    equal(d.wait(new)['requestContext']['condition'], 'Success', 'end')


def with_more_time_and_memory(d):
    d.define('short', ['/bin/sleep', '1.5'], Timeout=1)
    d.ctl('reload', check=OK)
    [old] = fail(d, 'short', 1)
    new = d.ctl('event', 'retry', old, '--timeout', '30', '--memory', '256', check=OK).stdout.strip()
    record = d.wait(new)
    equal(record['requestContext']['condition'], 'Success', 'end')
    [attempt] = record['fate']['attempts']
    equal(attempt['timeoutMs'], 30000, 'its timeout')
    equal((event(d, new)['timeout'], event(d, new)['memory']), (30, 256), 'as event show has it')


def filters_and_dry_run(d):
    d.define('crash', [fated.DIE, 'exit', '3'])
    d.define('late', ['/bin/sleep', '900'], Timeout=1)
    d.define('fine', [fated.DIE, 'exit', '0'])
    d.ctl('reload', check=OK)
    crashed, late = fail(d, 'crash', 3), fail(d, 'late', 2)
    d.wait(d.accept('fine', {}))

    def would(*args):
        a = json.loads(d.ctl('event', 'redrive', '--dry-run', '--json', *args, check=OK).stdout)
        return [e['redriveOf'] for e in a['redriven']]
    equal(would('--function', 'crash'), crashed, 'of one function')
    equal(would('--verdict', 'Timeout', '--function', 'late'), late, 'of one verdict')
    equal(would('--verdict', 'Timeout', '--function', 'crash'), [], 'of a verdict it never had')
    equal(would('--function', 'fine'), [], 'what ended with success')
    equal(len(would('--function', 'fine', '--condition', 'Success')), 1, 'unless one asks for it')
    equal(would('--function', 'crash', '--until', '1h'), [], 'an hour ago')
    equal(would('--function', 'crash', '--since', '1h'), crashed, 'since then')
    before = len(d.get('/fate/v1/events?limit=1000')['events'])
    text = d.ctl('event', 'redrive', '--dry-run', '--function', 'crash', check=OK).stdout
    if crashed[0] not in text or 'Crash' not in text:
        raise AssertionError(text)
    equal(len(d.get('/fate/v1/events?limit=1000')['events']), before, 'nothing was sent')
    gone = redriven(d.ctl('event', 'redrive', '--function', 'crash', '--max', '2', check=OK))
    equal([g[0] for g in gone], crashed[:2], 'what was sent, oldest first')
    for _, new, _ in gone:
        d.wait(new)
    # A second pass sends what the first left; of those that were sent and failed again, the last one.
    again = [g[1] for g in gone]
    equal(would('--function', 'crash'), crashed[2:] + again, 'of those sent again the last ones')
    equal(would('--function', 'crash', '--again'), crashed + again, 'all of them, with --again')
    p = d.ctl('event', 'redrive', '--function', 'crash', '--dry-run', check=OK)
    equal(p.stderr.count('passed over, because sent again before: 2 (--again'), 1, f'what is said of them ({p.stderr})')
    equal(event(d, crashed[0])['redrivenAs'], again[:1], 'event show of the first')
    equal('redrivenAs' in event(d, crashed[2]), False, 'event show of one that was not sent')
    if f'redrivenAs   {again[0]}\n' not in d.ctl('event', 'show', crashed[0], check=OK).stdout:
        raise AssertionError(d.ctl('event', 'show', crashed[0]).stdout)


def each_once_and_at_a_pace(d):
    """What is sent fails again and is not met again."""
    d.define('again', [fated.DIE, 'exit', '3'])
    d.ctl('reload', check=OK)
    old = fail(d, 'again', MANY)
    began = time.monotonic()
    gone = redriven(d.ctl('event', 'redrive', '--function', 'again', '--max', '1000', '--rate', str(RATE), check=OK))
    span = time.monotonic() - began
    equal([g[0] for g in gone], old, 'each once')
    if span < (MANY - 1) / RATE * 0.95:
        raise AssertionError(f'{MANY} events at {RATE}/s took {span:.2f} s')
    for _, new, _ in gone:
        equal(d.wait(new)['requestContext']['condition'], 'RetriesExhausted', 'end')


def two_at_a_time(d):
    """Two operators, the same events: each event once, by one of them."""
    d.define('both', [fated.DIE, 'exit', '3'])
    d.ctl('reload', check=OK)
    old = fail(d, 'both', 40)
    last = max(e['seq'] for e in d.get('/fate/v1/events?function=both&limit=1000')['events'])
    args = ['event', 'redrive', '--function', 'both', '--rate', '200', '--up-to', str(last)]
    ps = [subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           env=dict(os.environ, FATED_SOCKET=d.socket)) for _ in range(3)]
    texts = [p.communicate(timeout=fated.PATIENCE) for p in ps]
    equal([p.returncode for p in ps], [0, 0, 0], f'exits ({texts})')
    sent = [i for out, _ in texts for i in re.findall(r'^event (\S+) is', out, re.M)]
    equal((len(sent), set(sent) == set(old)), (len(old), True), 'what the three have sent')
    d.until_all_ended()


def interrupted_and_gone_on_with(d):
    d.define('part', [fated.DIE, 'exit', '3'])
    d.ctl('reload', check=OK)
    old = fail(d, 'part', 12)
    p = subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), 'event', 'redrive', '--function', 'part', '--rate', '3'],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, FATED_SOCKET=d.socket))
    first = p.stdout.readline()
    p.send_signal(signal.SIGINT)
    out, err = p.stdout.read(), p.stderr.read()         # not communicate(): what readline() read ahead would be lost
    p.wait(fated.PATIENCE)
    equal(p.returncode, -signal.SIGINT, f'exit ({err})')
    args = re.search(r'interrupted: (\d+) sent; to go on: (--after \d+ --up-to \d+)$', err, re.M)
    if not args:
        raise AssertionError(err)
    sent = re.findall(r'^event (\S+) is', first + out, re.M)
    equal((len(sent), sent), (int(args[1]), old[:len(sent)]), 'sent before the interrupt')
    rest = redriven(d.ctl('event', 'redrive', '--function', 'part', *args[2].split(), check=OK))
    equal(sent + [r[0] for r in rest], old, 'each once, over both')


def killed(d):
    """The daemon dies in the middle. Gone on with as it says, nothing is lost, and nothing is sent twice."""
    d.define('dies', [fated.DIE, 'exit', '3'])
    d.ctl('reload', check=OK)
    old = fail(d, 'dies', 40)
    p = subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), 'event', 'redrive', '--function', 'dies', '--rate', '10'],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, FATED_SOCKET=d.socket))
    p.stdout.readline()
    d.kill9()
    _, err = p.communicate(timeout=fated.PATIENCE)
    args = re.search(r'to go on: (--after \d+ --up-to \d+)', err)
    if p.returncode != 3 or not args:
        raise AssertionError(f'{p.returncode}: {err}')
    d.restart()
    d.ctl('event', 'redrive', '--function', 'dies', '--rate', '1000', *args[1].split(), check=OK)
    d.until_all_ended()
    events = d.get('/fate/v1/events?function=dies&limit=1000')['events']
    count = collections.Counter(e['redriveOf'] for e in events if 'redriveOf' in e)
    equal(set(count), set(old), 'each was sent')
    equal([i for i, n in count.items() if n > 1], [], 'sent twice')


def messages_by_filter(d):
    d.define('left', [fated.DIE, 'exit', '3'], on_failure='queue:mixed')
    d.define('right', ['/bin/sleep', '900'], Timeout=1, DeadLetterConfig={'TargetArn': 'queue:mixed'})
    d.ctl('reload', check=OK)
    left, right = fail(d, 'left', 2), fail(d, 'right', 2)
    until(lambda: len(d.get('/fate/v1/queues/mixed/messages')['messages']) == 4, 'four messages')
    d.define('left', [fated.DIE, 'exit', '0'])
    d.define('right', [fated.DIE, 'exit', '0'], Timeout=1)
    d.ctl('reload', check=OK)
    a = d.request('POST', '/fate/v1/queues/mixed/redrive?verdict=Timeout&timeout=20').json()
    equal((sorted(e['redriveOf'] for e in a['redriven']), a['left']), (sorted(right), []), 'dead letters by their verdict')
    for e in a['redriven']:
        record = d.wait(e['requestId'])
        equal((record['fate']['redriveOf'], record['fate']['attempts'][0]['timeoutMs']), (e['redriveOf'], 20000), 'the new one')
    # What was passed over is as if it had not been received.
    equal(d.get('/fate/v1/queues')['queues'][0]['inFlight'], 0, 'messages in flight')
    equal([m['receiveCount'] for m in d.get('/fate/v1/queues/mixed/messages')['messages']], [0, 0], 'receive counts')
    a = d.request('POST', '/fate/v1/queues/mixed/redrive?function=left').json()
    equal(sorted(e['redriveOf'] for e in a['redriven']), sorted(left), 'records by their function')


def messages_interrupted(d):
    """As with events: what was sent is told line by line, the rest is gone on with, and nothing is hidden."""
    d.define('letter', [fated.DIE, 'exit', '3'], DeadLetterConfig={'TargetArn': 'queue:letters'})
    d.ctl('reload', check=OK)
    old = fail(d, 'letter', 12)
    until(lambda: len(d.get('/fate/v1/queues/letters/messages')['messages']) == 12, 'twelve messages')
    d.define('letter', [fated.DIE, 'exit', '0'])
    d.ctl('reload', check=OK)
    p = subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), 'queue', 'redrive', 'letters', '--rate', '3'],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, FATED_SOCKET=d.socket))
    first = p.stdout.readline()
    p.send_signal(signal.SIGINT)
    out, err = p.stdout.read(), p.stderr.read()
    p.wait(fated.PATIENCE)
    equal(p.returncode, -signal.SIGINT, f'exit ({err})')
    args = re.search(r'interrupted: (\d+) sent; to go on: (--after \d+ --up-to \d+)$', err, re.M)
    sent = re.findall(r'^message \S+ is event (\S+) of letter$', first + out, re.M)
    if not args or len(sent) != int(args[1]) or len(sent) > 11:
        raise AssertionError(f'{sent}: {err}')
    equal([(q['visible'], q['inFlight']) for q in d.get('/fate/v1/queues')['queues'] if q['name'] == 'letters'],
          [(12 - len(sent), 0)], 'what is left')
    rest = d.ctl('queue', 'redrive', 'letters', *args[2].split(), check=OK).stdout
    sent += re.findall(r'^message \S+ is event (\S+) of letter$', rest, re.M)
    equal(sorted(event(d, i)['redriveOf'] for i in sent), sorted(old), 'each once, over both')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(name='redrive') as d:
            d.start()
            for fn in (one_that_failed, one_that_succeeded, with_more_time_and_memory, filters_and_dry_run, each_once_and_at_a_pace,
                       two_at_a_time, interrupted_and_gone_on_with, killed, messages_by_filter,
                       messages_interrupted):
                if not tests.run(f'redrive_{fn.__name__}', fn, d):
                    print(d.log_tail(10), end='', flush=True)
    tests.run('redrive_leaves_nothing', all_with_one_daemon)
    tests.end()


if __name__ == '__main__':
    main()
