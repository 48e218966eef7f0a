#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a person does to events and queues, with fatectl against the real daemon: cancel, retry, tail, peek, purge, redrive.

The last test kills the daemon in the middle of redrives: each message must be in the queue or an event, never both and
never neither. $SEED repeats its instants, as far as instants can be.
"""
import collections, contextlib, http.client, json, os, random, re, signal, subprocess, threading, time
import fated
from fated import Fated, Tests, equal, until

OK, FUNCTION_FAILED, USAGE, REFUSED = 0, 1, 2, 4
SEED = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
HOUR = 3600
UNKNOWN = '11111111-2222-4333-8444-555555555555'


def state(d, request_id):
    return d.get(f'/fate/v1/events/{request_id}')['state']


def wait_state(d, request_id, want):
    until(lambda: state(d, request_id) == want,
          lambda: f'event {request_id} is {state(d, request_id)}, want {want}\n{d.log_tail()}')


def messages(d, queue):
    return json.loads(d.ctl('queue', 'peek', queue, '--max', '1000', '--json', check=OK).stdout)['messages']


def starts(path):
    return collections.Counter(line.split()[0] for line in open(path)) if os.path.exists(path) else {}


def refused(d, words, *args):
    p = d.ctl(*args, check=REFUSED)
    if not re.search(words, p.stderr):
        raise AssertionError(f'fatectl {" ".join(args)} says {p.stderr!r}, without {words!r}')


# ---- cancel ------------------------------------------------------------------------------------------------------
def cancel_queued_and_running(d):
    """One at a time: the first hangs, the second waits for its turn. Both end as cancelled, and nothing is tried again."""
    log = os.path.join(d.work, 'hang')
    d.define('hang', [fated.DIE, 'wait'], retries=2, delays=[0], on_failure='queue:hung', ReservedConcurrentExecutions=1,
             Timeout=900, variables={'DIE_STARTS': log})
    d.ctl('reload', check=OK)
    running, queued = d.accept('hang', {'n': 1}), d.accept('hang', {'n': 2})
    until(lambda: starts(log) == {running: 1}, 'the first one runs')
    equal(state(d, queued), 'queued', 'state of the second')
    refused(d, f'ResourceConflictException: Event {queued} is queued: only one that waits', 'event', 'retry', queued)
    refused(d, f'ResourceConflictException: Event {running} is running: only one that waits', 'event', 'retry', running)

    record = json.loads(d.ctl('event', 'cancel', queued, '--wait', check=OK).stdout)
    equal((record['requestContext']['requestId'], record['requestContext']['condition'],
           record['requestContext']['approximateInvokeCount']), (queued, 'Cancelled', 0), 'end of the queued one')
    if 'responsePayload' in record:
        raise AssertionError(f'it was never run: {record}')
    equal(state(d, running), 'running', 'state of the first')

    [leaf] = [e for e in d.get('/fate/v1/status')['environments'] if e['function'] == 'hang']
    equal(leaf['requestId'], running, 'who runs')
    record = json.loads(d.ctl('event', 'cancel', running, '--wait', check=OK).stdout)
    equal((record['requestContext']['condition'], record['requestContext']['approximateInvokeCount']), ('Cancelled', 1),
          'end of the running one')
    equal([a['verdict'] for a in record['fate']['attempts']], ['Cancelled'], 'verdicts')
    equal([m['body']['requestContext']['requestId'] for m in messages(d, 'hung')], [queued, running], 'records in the queue')
    until(lambda: not [e for e in d.get('/fate/v1/status')['environments'] if e['function'] == 'hang'], 'its processes are gone')
    equal(starts(log), {running: 1}, 'starts')


def cancel_waiting(d):
    d.define('late', [fated.DIE, 'exit', '3'], retries=1, delays=[HOUR], on_failure='queue:late')
    d.ctl('reload', check=OK)
    request_id = d.accept('late', {})
    wait_state(d, request_id, 'waiting')
    equal(d.ctl('event', 'cancel', request_id, check=OK).stdout, f'{request_id} is being cancelled\n', 'stdout')
    record = d.wait(request_id)
    equal((record['requestContext']['condition'], record['requestContext']['approximateInvokeCount']), ('Cancelled', 1), 'end')
    equal([a['verdict'] for a in record['fate']['attempts']], ['Crash'], 'verdicts')
    listed = json.loads(d.ctl('record', 'list', '--condition', 'Cancelled', '--limit', '1', '--json', check=OK).stdout)['records']
    equal([r['requestId'] for r in listed], [request_id], 'the last one cancelled')
    refused(d, f'ResourceConflictException: Event {request_id} has ended already: Cancelled', 'event', 'cancel', request_id)
    refused(d, f'ResourceNotFoundException: Event not found: {UNKNOWN}', 'event', 'cancel', UNKNOWN)


# ---- retry -------------------------------------------------------------------------------------------------------
def retry_waiting(d):
    """Its next attempt was an hour away."""
    d.define('second', [fated.DIE, 'attempts', '3', '0'], retries=1, delays=[HOUR], on_success='queue:second')
    d.ctl('reload', check=OK)
    request_id = d.accept('second', {'n': 1})
    wait_state(d, request_id, 'waiting')
    record = json.loads(d.ctl('event', 'retry', request_id, '--wait', check=OK).stdout)
    equal((record['requestContext']['requestId'], record['requestContext']['condition']), (request_id, 'Success'), 'end')
    equal([a['verdict'] for a in record['fate']['attempts']], ['Crash', 'Success'], 'verdicts')


def retry_ended(d):
    d.define('again', [fated.DIE, 'exit', '3'])
    d.ctl('reload', check=OK)
    first = d.accept('again', b'{"n": 12345678901234567890.10}')
    equal(d.wait(first)['requestContext']['condition'], 'RetriesExhausted', 'first end')
    d.define('again', [fated.DIE, 'exit', '0'])
    d.ctl('reload', check=OK)
    p = d.ctl('event', 'retry', first, check=OK)
    second = p.stdout.strip()
    if second == first or second not in p.stderr:
        raise AssertionError(f'{p.stdout!r} {p.stderr!r}')
    raw = d.request('GET', f'/fate/v1/events/{second}/wait').body
    equal(json.loads(raw)['requestContext']['condition'], 'Success', 'second end')
    if b'"requestPayload":{"n": 12345678901234567890.10}' not in raw:
        raise AssertionError(f'not the same payload: {raw!r}')
    equal(d.wait(first)['requestContext']['condition'], 'RetriesExhausted', 'the first one, still')
    refused(d, 'Event not found', 'event', 'retry', UNKNOWN)
    os.unlink(f'{d.dir}/functions.d/again.json')
    d.ctl('reload', check=OK)
    refused(d, 'has ended successfully', 'event', 'retry', second)
    refused(d, 'Function not found', 'event', 'retry', second, '--force')


# ---- tail --------------------------------------------------------------------------------------------------------
class Tail:
    """fatectl record tail, its lines read as they come."""
    def __init__(self, d, *args):
        self.p = subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), 'record', 'tail', *args], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env=dict(os.environ, FATED_SOCKET=d.socket))
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.p.stdout:
            self.lines.append(line)

    def until(self, n):
        until(lambda: len(self.lines) >= n, lambda: f'{n} lines, there are {self.lines}')

    def end(self, signo=signal.SIGINT):
        self.p.send_signal(signo)
        status = self.p.wait(fated.PATIENCE)
        self.reader.join()
        return status, self.p.stderr.read()


def tail_in_order_of_ends(d):
    """Accepted first and ended last; and over a death of the daemon, without a line lost or repeated."""
    d.define('held', [fated.DIE, 'wait'], Timeout=900)
    d.define('quick', [fated.DIE, 'exit', '0'])
    d.ctl('reload', check=OK)
    before = [d.accept('quick', {'n': n}) for n in range(3)]
    for request_id in before:
        d.wait(request_id)
    # In the order of their ends; the ends of three at once may be in any.
    tail = Tail(d, '-n', '3', '--json', '--function', 'quick')
    held_tail = Tail(d, '-n', '1')
    try:
        tail.until(3)
        held_tail.until(1)                              # it looks: what ends from now on is behind that
        equal({json.loads(line)['requestContext']['requestId'] for line in tail.lines}, set(before), 'the last three')
        held = d.accept('held', {})
        wait_state(d, held, 'running')
        quick = d.accept('quick', {'n': 3})
        d.wait(quick)
        held_tail.until(2)
        d.ctl('event', 'cancel', held, '--wait', check=OK)
        held_tail.until(3)
        equal([line.split()[1:5] for line in held_tail.lines[1:]],
              [['quick', quick, 'Success', 'Success'], ['held', held, 'Cancelled', 'Cancelled']], 'two ends')
        listed = d.get('/fate/v1/records?limit=2')['records']
        equal([r['requestId'] for r in listed], [quick, held], 'by acceptance it is the other way round')
        equal(listed[0]['pos'] + 1, listed[1]['pos'], 'positions')

        d.kill9()
        d.restart()
        after = d.accept('quick', {'n': 4})
        d.wait(after)
        tail.until(5)
        held_tail.until(4)
    finally:
        ends = [t.end(s) for t, s in ((tail, signal.SIGINT), (held_tail, signal.SIGTERM))]
    equal([status for status, _ in ends], [OK, OK], 'exit status')
    equal([json.loads(line)['requestPayload']['n'] for line in tail.lines[3:]], [3, 4], 'one line each, whole records')
    equal(json.loads(tail.lines[4]), d.wait(after), 'the last record')
    equal([line.split()[2] for line in held_tail.lines[1:]], [quick, held, after], 'lines')


def tail_ends_with_its_reader(d):
    p = subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), 'record', 'tail'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=dict(os.environ, FATED_SOCKET=d.socket))
    p.stdout.readline()
    p.stdout.close()
    equal(p.wait(fated.PATIENCE), OK, 'exit status')
    equal(p.stderr.read(), b'', 'stderr')
    p.stderr.close()


# ---- queues ------------------------------------------------------------------------------------------------------
def peek_and_purge(d):
    d.define('puts', [fated.DIE, 'exit', '0'], on_success='queue:full')
    d.ctl('reload', check=OK)
    ids = []
    for n in range(4):
        ids.append(d.accept('puts', {'n': n}))
        d.wait(ids[-1])
    equal([m['body']['requestContext']['requestId'] for m in messages(d, 'full')], ids, 'oldest first')
    [taken] = d.receive('full', 1)
    seen = messages(d, 'full')
    equal([m['receiveCount'] for m in seen], [1, 0, 0, 0], 'how often received')
    equal(['visibleAt' in m for m in seen], [True, False, False, False], 'leased')
    equal(['receiptHandle' in m for m in seen], [False] * 4, 'receipts')
    text = d.ctl('queue', 'peek', 'full', '--max', '1', check=OK).stdout
    if f'message {taken["messageId"]}, sent ' not in text or 'leased, visible again in ' not in text:
        raise AssertionError(text)
    p = d.ctl('queue', 'purge', 'full', stdin='y\n', check=USAGE)
    if 'say --yes' not in p.stderr or len(messages(d, 'full')) != 4:
        raise AssertionError(p.stderr)
    equal(d.ctl('queue', 'purge', 'full', '--yes', check=OK).stdout, '4 messages deleted\n', 'stdout')
    equal(messages(d, 'full'), [], 'what is left')
    d.kill9()
    d.restart()
    equal(messages(d, 'full'), [], 'what is left after a death of the daemon')


def lines(text, pattern):
    return [re.fullmatch(pattern, line).groups() for line in text.splitlines()]


def redrive(d):
    """The function is repaired; what it failed on goes back to it, from the queue of records and from that of dead letters."""
    flag = os.path.join(d.work, 'repaired')
    script = d.script('flaky', f'#!/bin/sh\n[ -e {flag} ] && cat\n')
    d.define('flaky', [script], on_failure='queue:failed', on_success='queue:fixed', DeadLetterConfig={'TargetArn': 'queue:dead'})
    d.define('repair', [fated.DIE, 'echo'], on_success='queue:repaired')
    d.ctl('reload', check=OK)
    payloads = [b'{"n": %d.0, "wide":  1e2}' % n for n in range(5)]
    ids = []
    for p in payloads:
        ids.append(d.accept('flaky', p))
        d.wait(ids[-1])
    for queue in ('failed', 'dead'):
        equal(len(messages(d, queue)), 5, f'messages in {queue}')

    pattern = r'message ([0-9a-f-]{36}) would go to (\S+)'
    for queue in ('failed', 'dead'):
        p = d.ctl('queue', 'redrive', queue, '--dry-run', '--max', '4', check=OK)
        equal(lines(p.stdout, pattern), [(m['messageId'], 'flaky') for m in messages(d, queue)[:4]], 'what would happen')
        equal([m['receiveCount'] for m in messages(d, queue)], [0] * 5, 'and nothing did')

    open(flag, 'w').close()
    pattern = r'message ([0-9a-f-]{36}) is event ([0-9a-f-]{36}) of (\S+)'
    for queue in ('failed', 'dead'):
        were = [m['messageId'] for m in messages(d, queue)]
        gone = lines(d.ctl('queue', 'redrive', queue, '--max', '3', check=OK).stdout, pattern)
        equal([(g[0], g[2]) for g in gone], [(m, 'flaky') for m in were[:3]], 'redriven')
        for (_, new, _), payload in zip(gone, payloads):
            raw = d.request('GET', f'/fate/v1/events/{new}/wait').body
            equal(json.loads(raw)['requestContext']['condition'], 'Success', 'end of the redriven event')
            if b'"requestPayload":' + payload not in raw:
                raise AssertionError(f'not the payload {payload!r}: {raw!r}')
        equal([m['messageId'] for m in messages(d, queue)], were[3:], 'what is still there')

    # To another function; then the function is gone, and the last ones stay.
    gone = lines(d.ctl('queue', 'redrive', 'dead', '--to', 'repair', '--max', '1', check=OK).stdout, pattern)
    equal([g[2] for g in gone], ['repair'], 'redriven to')
    equal(d.wait(gone[0][1])['requestPayload'], {'n': 3.0, 'wide': 100.0}, 'payload')
    gone = lines(d.ctl('queue', 'redrive', 'failed', '--to', 'repair', '--max', '1', check=OK).stdout, pattern)
    equal(d.wait(gone[0][1])['requestPayload'], {'n': 3.0, 'wide': 100.0}, 'payload, not the record around it')
    os.unlink(f'{d.dir}/functions.d/flaky.json')
    d.ctl('reload', check=OK)
    for queue in ('failed', 'dead'):
        [last] = messages(d, queue)
        for more in (['--dry-run'], []):
            p = d.ctl('queue', 'redrive', queue, *more, check=REFUSED)
            arn = 'arn:aws:lambda:us-east-1:000000000000:function:flaky'
            if f'message {last["messageId"]} stays: Function not found: {arn}' not in p.stderr:
                raise AssertionError(p.stderr)
        [still] = messages(d, queue)
        equal((still['messageId'], still['receiveCount'], still['body']), (last['messageId'], 0, last['body']), 'what stays')
    refused(d, 'Function not found', 'queue', 'redrive', 'dead', '--to', 'flaky')
    equal(len(messages(d, 'fixed')), 6, 'successes')


LETTERS, AT_ONCE, ROUNDS = 500, 80, 5


def redrive_killed(d, instant):
    """One redrive, the daemon dead somewhere in it. How many messages became events."""
    was = len(messages(d, 'letters'))

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(d.connect()) as c:
            fated.request(c, 'POST', f'/fate/v1/queues/letters/redrive?max={AT_ONCE}')
    client = threading.Thread(target=ask)
    client.start()
    time.sleep(instant)
    d.kill9()
    client.join()
    d.restart()
    return was - len(messages(d, 'letters'))


def redrive_and_kill9(d):
    rnd = random.Random(SEED)
    print(f'# SEED={SEED}', flush=True)
    d.define('work', [fated.DIE, 'exit', '3'], DeadLetterConfig={'TargetArn': 'queue:letters'})
    d.ctl('reload', check=OK)
    for n in range(LETTERS):
        d.accept('work', {'n': n})
    until(lambda: len(messages(d, 'letters')) == LETTERS, 'all of them are dead letters')
    # An attempt that the daemon's death cuts short is made again; there are as many deaths as rounds.
    d.define('work', [fated.DIE, 'echo'], retries=2, delays=[0.05], on_success='queue:out', on_failure='queue:out')
    d.ctl('reload', check=OK)

    began = time.monotonic()
    a = d.request('POST', f'/fate/v1/queues/letters/redrive?max={AT_ONCE}').json()
    span = time.monotonic() - began             # what one takes here and now, so that the kills fall into it
    equal((len(a['redriven']), a['left']), (AT_ONCE, []), 'the first redrive')
    redriven = [redrive_killed(d, n and rnd.uniform(0, span)) for n in range(ROUNDS)]
    print(f'# {span * 1000:.0f} ms for {AT_ONCE} messages; of as many, before the daemon was killed: {redriven}', flush=True)
    if all(n == AT_ONCE for n in redriven):
        raise AssertionError('too little happened: every redrive was over before the kill')
    # What was leased comes back when its lease is over, and all that is there can be redriven.
    def visible():
        [q] = [q for q in d.get('/fate/v1/queues')['queues'] if q['name'] == 'letters']
        return q['inFlight'] == 0
    until(visible, 'every lease is over')
    left = len(messages(d, 'letters'))
    equal(left, LETTERS - AT_ONCE - sum(redriven), 'messages left')
    a = d.request('POST', '/fate/v1/queues/letters/redrive?max=1000').json()
    equal((len(a['redriven']), a['left']), (left, []), 'the last redrive')
    until(lambda: len(messages(d, 'out')) >= LETTERS, lambda: f'every event ends, {len(messages(d, "out"))} have')
    until(lambda: not any(d.get(f'/fate/v1/events?state={s}&limit=1')['events'] for s in ('queued', 'running', 'waiting',
        'routing')),
          'nothing is open')
    count = collections.Counter(m['body']['requestPayload']['n'] for m in messages(d, 'out'))
    equal({n: c for n, c in count.items() if c != 1}, {}, 'doubled')
    equal(set(range(LETTERS)) - set(count), set(), 'lost')
    equal(messages(d, 'letters'), [], 'the queue')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(name='verbs') as d:
            d.define('plain', [fated.DIE, 'exit', '0'])
            d.start()
            for fn in (cancel_queued_and_running, cancel_waiting, retry_waiting, retry_ended, tail_in_order_of_ends,
                       tail_ends_with_its_reader, peek_and_purge, redrive):
                if not tests.run(f'verbs_{fn.__name__}', fn, d):
                    print(d.log_tail(10), end='', flush=True)

    def killed():
        with Fated(name='redrive') as d:
            d.start()
            redrive_and_kill9(d)
    tests.run('verbs_leave_nothing', all_with_one_daemon)
    tests.run('verbs_redrive_and_kill9', killed)
    tests.end()


if __name__ == '__main__':
    main()
