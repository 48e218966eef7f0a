#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the daemon at random instants, again and again, while clients keep accepting events.

Only an event that was answered with 202 counts. In the end, over all rounds: none of them is lost; no attempt number was
started twice (every start writes a line to a file before it does anything else); attempts that ended by the function's own
doing are at most 1 + MaximumRetryAttempts, and with 0 there is at most one start, cut short or not; no two attempts of an
event overlap; each has exactly one record and exactly one message in the queue. Events whose 202 was cut off may be there or
not; the ones that are there must obey the same rules.

A round is mostly waiting for a daemon to start, so several daemons are killed beside each other.

$ROUNDS (200, of all of them), $SEED (printed; a failure is repeated by giving it again, as far as instants can be).
"""
import collections, concurrent.futures, http.client, json, os, random, threading, time
import fated
from fated import Fated, Tests, equal
from fate_check import check_sequence

ROUNDS = int(os.environ.get('ROUNDS', '200'))
SEED = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
LANES = 4
CLIENTS = 3
# What a death of the daemon may turn an attempt into. Neither is the function's doing: they consume no attempt, unless there
# is but one.
KILLED = {'Interrupted', 'HostFault'}

# name: (arguments of prog_die, retries, verdicts its attempts may have, further members)
FUNCTIONS = {
    'good': (['exit', '0'], 0, {'Success'}, {}),
    'slow': (['sleep', '120'], 1, {'Success'}, {}),
    'fails': (['exit', '3'], 2, {'Crash'}, {}),
    'second': (['attempts', '1', '0'], 2, {'Crash', 'Success'}, {}),
    'dies': (['raise', '9'], 1, {'Signal'}, {}),
    'hangs': (['wait'], 0, {'Timeout'}, {'Timeout': 0.25}),
    'leaves': (['double-fork'], 1, {'Success'}, {}),
}


class Client(threading.Thread):
    """Posts events until the daemon is gone; keeps the ids that were acknowledged."""
    def __init__(self, d, rnd, accepted):
        super().__init__()
        self.d, self.rnd, self.accepted, self.wrong = d, rnd, accepted, None

    def run(self):
        conn = self.d.connect()
        try:
            while True:
                name = self.rnd.choice(list(FUNCTIONS))
                a = fated.request(conn, 'POST', f'/2015-03-31/functions/{name}/invocations',
                                  json.dumps({'n': len(self.accepted)}), {'X-Amz-Invocation-Type': 'Event'})
                if a.status == 202:
                    self.accepted[a.headers['x-amzn-RequestId']] = name
                else:
                    self.wrong = f'{name}: {a}'
                    return
                time.sleep(self.rnd.uniform(0, 0.03))   # so that the machine keeps up with what is accepted
        except (OSError, http.client.HTTPException):
            pass                                        # the daemon was killed
        finally:
            conn.close()


def one_round(d, rnd, accepted):
    if rnd.random() < 0.2:
        # In the middle of recovery.
        d.spawn()
        time.sleep(rnd.uniform(0, 0.1))
        d.kill9()
    d.start()
    clients = [Client(d, random.Random(rnd.random()), accepted) for _ in range(CLIENTS)]
    for c in clients:
        c.start()
    time.sleep(rnd.uniform(0.01, 0.2))                  # the random instant
    d.kill9()
    for c in clients:
        c.join()
        if c.wrong:
            raise AssertionError(c.wrong)


def all_records(d):
    """Every record there is, by the listing: {request id: [record, …]}."""
    r, before = collections.defaultdict(list), 0
    while True:
        page = d.get(f'/fate/v1/records?limit=500&before={before}' if before else '/fate/v1/records?limit=500')
        for row in page['records']:
            r[row['requestId']].append(row['record'])
        before = page.get('next')
        if not before:
            return r


def starts_of(path):
    """{request id: [attempt, …]} as the function's own runs wrote them."""
    r = collections.defaultdict(list)
    for line in open(path):
        request_id, attempt = line.split()
        r[request_id].append(int(attempt))
    return r


def check_event(request_id, record, starts, messages, stats):
    name = record['requestContext']['functionArn'].split(':')[6]
    _, retries, verdicts, _ = FUNCTIONS[name]
    attempts = record['fate']['attempts']
    own = [a for a in attempts if a['verdict'] not in KILLED]
    who = f'{name} {request_id}'

    if retries == 0 and len(starts) > 1:
        raise AssertionError(f'{who} was started {len(starts)} times, and never twice was promised')
    if len(set(starts)) != len(starts):
        raise AssertionError(f'{who}: an attempt was started twice: {starts}')
    numbers = [a['attempt'] for a in attempts]
    if not set(starts) <= set(numbers) or len(set(numbers)) != len(numbers):
        raise AssertionError(f'{who}: started as {starts}, its record knows {numbers}')
    if len(own) > 1 + retries:
        raise AssertionError(f'{who}: {len(own)} attempts ended by themselves, {1 + retries} are allowed')
    overlap = check_sequence(attempts)
    if overlap:
        raise AssertionError(f'{who}: {overlap}')
    for a in attempts:
        stats[f'{a["verdict"]} ({a.get("witness", "none")})'] += 1
        if a['verdict'] == 'HostFault' and a['attempt'] in starts:
            raise AssertionError(f'{who}: attempt {a["attempt"]} is said never to have run, and it did')
        if a['verdict'] not in verdicts | KILLED:
            raise AssertionError(f'{who}: verdict {a["verdict"]}')
    good = attempts[-1]['verdict'] == 'Success'
    equal(record['requestContext']['condition'], 'Success' if good else 'RetriesExhausted', f'condition of {who}')
    once = retries == 0 and attempts[-1]['verdict'] == 'Interrupted'
    if not good and not once and len(own) != 1 + retries:
        raise AssertionError(f'{who} failed after {len(own)} attempts of its own, {1 + retries} were to be made')
    equal(len(messages), 1, f'messages for {who}')
    equal(messages[0], record, f'message for {who}')


def lane(n, rounds):
    """One daemon's life and deaths; returns what its attempts became."""
    rnd = random.Random(f'{SEED} {n}')
    accepted = {}
    with Fated(name=f'kill9-{n}') as d:
        log = os.path.join(d.work, 'starts')
        for name, (die, retries, _, more) in FUNCTIONS.items():
            d.define(name, [fated.DIE] + die, retries=retries, delays=[0.05], on_success='queue:out', on_failure='queue:out',
                     variables={'DIE_STARTS': log}, **more)
        for _ in range(rounds):
            one_round(d, rnd, accepted)
        print(f'# daemon {n}: {rounds} rounds, {len(accepted)} events accepted, {sum(map(len, starts_of(log).values()))} '
              f'starts so far', flush=True)
        d.start()
        for request_id in accepted:
            d.wait(request_id)                  # answers when it has ended; 404 when it was lost
        # Those whose 202 was cut off.
        d.until_all_ended()
        records = all_records(d)
        lost = set(accepted) - set(records)
        equal(lost, set(), 'accepted events without a record')
        twice = [i for i, r in records.items() if len(r) != 1]
        equal(twice, [], 'events with more than one record')
        messages = collections.defaultdict(list)
        for m in d.drain('out'):
            messages[m['body']['requestContext']['requestId']].append(m['body'])
        equal(set(messages) - set(records), set(), 'messages without a record')
        starts, stats = starts_of(log), collections.Counter()
        equal(set(starts) - set(records), set(), 'started and not on record')
        for request_id, r in records.items():
            check_event(request_id, r[0], starts[request_id], messages[request_id], stats)
        print(f'# daemon {n}: {len(records)} events ended once each, {len(records) - len(accepted)} of them with their 202 '
              f'cut off', flush=True)
        stats['accepted'] = len(accepted)
        return stats


def kill9():
    stats = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        for s in pool.map(lane, range(LANES), [(ROUNDS + n) // LANES for n in range(LANES)]):
            stats.update(s)
    accepted = stats.pop('accepted')
    print('# attempts: ' + ', '.join(f'{v} {k}' for k, v in sorted(stats.items())), flush=True)
    # The test must have met what it is about.
    if accepted < ROUNDS or not any(k.startswith('Interrupted') for k in stats):
        raise AssertionError('too little happened: nothing was interrupted')


def main():
    print(f'# SEED={SEED} ROUNDS={ROUNDS}', flush=True)
    tests = Tests()
    tests.run(f'kill9_{ROUNDS}_rounds', kill9)
    tests.end()


if __name__ == '__main__':
    main()
