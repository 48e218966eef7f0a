#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the daemon at random instants, again and again, with a backlog of events and clients that keep adding to it.

Only an event that was answered with 202 counts. Before every kill at least $EVENTS events are open, most of them of a function
that runs one at a time, so that they are rows on disk. In the end, over all rounds: none is lost; each has exactly one record,
one message in its queue, at least one line in its file; no attempt's number was used twice and no two attempts of an event
overlapped (the functions say so themselves: lib/prog_die.c, $DIE_LIFE); attempts that ended by the function's own doing are at
most 1 + MaximumRetryAttempts, and with 0 there is one start, cut short or not; the law of conservation holds; nothing is left in
control groups, bpffs or the process table. Events whose 202 was cut off may be there or not; those that are obey the same rules.

A round is mostly waiting for a daemon to start, so $LANES daemons (2) are killed beside each other, each with its own $EVENTS.

$ROUNDS (100, of all daemons), $EVENTS (400), $SEED (printed; a failure is repeated by giving it again, as far as instants can
be). `make kill9 ROUNDS=1000 EVENTS=10000` is the long one.
"""
import collections, concurrent.futures, hashlib, http.client, json, os, random, threading, time
import fated
from fated import Fated, Tests, equal, until
from fate_check import check_sequence

ROUNDS = int(os.environ.get('ROUNDS', '100'))
EVENTS = int(os.environ.get('EVENTS', '400'))
LANES = int(os.environ.get('LANES', '2'))
SEED = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
CLIENTS = 3
SPARE = 80                      # more than ends in the time between a count and a kill
STALLED = 120 * fated.FACTOR    # seconds without any event's end, after which the rest will not come any more
# What a death of the daemon may turn an attempt into. Neither is the function's doing: they consume no attempt, unless there
# is but one.
KILLED = {'Interrupted', 'HostFault'}

Function = collections.namedtuple('Function', 'die retries verdicts share success failure more')
FUNCTIONS = {
    # The backlog: one at a time, so nearly all of it waits on disk.
    'parked': Function(['exit', '0'], 1, {'Success'}, 84, 'queue:out', 'queue:out', {'ReservedConcurrentExecutions': 1}),
    'good': Function(['exit', '0'], 1, {'Success'}, 3, 'queue:out', 'queue:out', {}),
    'second': Function(['attempts', '1', '0'], 2, {'Crash', 'Success'}, 3, 'file:done', 'queue:out', {}),
    'fails': Function(['exit', '3'], 2, {'Crash'}, 3, 'queue:out', 'queue:out', {'DeadLetterConfig': {'TargetArn': 'queue:dead'}}),
    'dies': Function(['segv'], 1, {'Signal'}, 2, None, 'file:failed', {'DeadLetterConfig': {'TargetArn': 'queue:dead'}}),
    'hangs': Function(['wait'], 0, {'Timeout'}, 2, None, 'queue:out', {'Timeout': 0.25}),
    'slow': Function(['sleep', '700'], 1, {'Success'}, 2, 'queue:out', 'queue:out', {}),
    'leaves': Function(['double-fork'], 1, {'Success'}, 1, 'queue:out', 'queue:out', {}),
}
NAMES, SHARES = list(FUNCTIONS), [f.share for f in FUNCTIONS.values()]


class Client(threading.Thread):
    """Posts events until the daemon is gone, or `most` of them are in; keeps the ids that were acknowledged."""
    def __init__(self, lane, most=None):
        super().__init__()
        self.lane, self.most, self.rnd, self.wrong = lane, most, random.Random(lane.rnd.random()), None

    def run(self):
        conn, n = self.lane.d.connect(), 0
        try:
            while self.most is None or n < self.most:
                name = self.rnd.choices(NAMES, SHARES)[0]
                body = json.dumps({'n': n, 'pad': 'x' * (8000 if self.rnd.random() < 0.03 else 0)})
                a = fated.request(conn, 'POST', f'/2015-03-31/functions/{name}/invocations', body,
                                  {'X-Amz-Invocation-Type': 'Event'})
                if a.status != 202:
                    self.wrong = f'{name}: {a}'
                    return
                self.lane.accepted[a.headers['x-amzn-RequestId']] = name
                n += 1
                if self.most is None:
                    time.sleep(self.rnd.uniform(0, 0.03))   # so that the machine keeps up with what is accepted
        except (OSError, http.client.HTTPException):
            if self.most is not None:
                self.wrong = 'the daemon went away by itself'
        finally:
            conn.close()


class Lane:
    """One daemon's life and deaths."""
    def __init__(self, d, n):
        self.d, self.rnd = d, random.Random(f'{SEED} {n}')
        self.accepted, self.stats, self.fewest, self.slowest = {}, collections.Counter(), None, 0
        self.life = os.path.join(d.work, 'life')
        self.files = {n: os.path.join(d.work, n) for n in ('done', 'failed')}
        for name in FUNCTIONS:
            self.define(name)

    def define(self, name, **more):
        f = FUNCTIONS[name]
        to = [t and t.replace('file:', f'file:{self.d.work}/') for t in (f.success, f.failure)]
        self.d.define(name, [fated.DIE] + f.die, retries=f.retries, delays=[0.05], on_success=to[0], on_failure=to[1],
                      variables={'DIE_LIFE': self.life}, **{**f.more, **more})

    # ---- deaths ----------------------------------------------------------------------------------------------
    def clients(self, most=None):
        c = [Client(self, most) for _ in range(CLIENTS)]
        for t in c:
            t.start()
        return c

    def join(self, clients):
        for t in clients:
            t.join()
            if t.wrong:
                raise AssertionError(t.wrong)

    def start(self):
        began = time.monotonic()
        self.d.start()
        self.slowest = max(self.slowest, time.monotonic() - began)

    def open(self):
        """Open events now; the law is looked at on the way."""
        s = self.d.get('/fate/v1/status')
        self.check_law(s)
        counts = s['counts']['events']
        return sum(n for state, n in counts.items() if state not in ('done', 'routing'))

    def fill(self):
        """EVENTS are open, and what may end until the kill."""
        n = self.open()
        while n < EVENTS + SPARE:
            self.join(self.clients((EVENTS * 11 // 10 + 2 * SPARE - n) // CLIENTS + 1))
            n = self.open()
        self.fewest = n - SPARE if self.fewest is None else min(n - SPARE, self.fewest)

    def round(self):
        if self.rnd.random() < 0.2:
            # In the middle of recovery.
            self.d.spawn()
            time.sleep(self.rnd.uniform(0, 0.15))
            self.d.kill9()
        self.start()
        self.fill()
        clients = self.clients()
        time.sleep(self.rnd.uniform(0.01, 0.2))     # the random instant
        self.d.kill9()
        self.join(clients)

    # ---- the end ---------------------------------------------------------------------------------------------
    def check_law(self, status):
        law = status['law']['events']
        if not law['holds'] or not status['law']['holds']:
            raise AssertionError(f'the law of conservation does not hold: {status["law"]}')

    def hurry(self):
        """What was cut short again and again waits for minutes: it is due now."""
        for e in self.d.get('/fate/v1/events?state=waiting&limit=500')['events']:
            a = self.d.request('POST', f'/fate/v1/events/{e["requestId"]}/retry')
            if a.status not in (200, 202, 404, 409):
                raise AssertionError(f'retry of a waiting event: {a}')

    def until_all_ended(self):
        least, since, hurried = None, time.monotonic(), 0
        while True:
            counts = self.d.get('/fate/v1/status')['counts']['events']
            n = sum(v for state, v in counts.items() if state != 'done')
            if n == 0:
                return
            if least is None or n < least:
                least, since = n, time.monotonic()
            if time.monotonic() - since > STALLED:
                raise AssertionError(f'{counts} for {STALLED:.0f} s')
            if time.monotonic() - hurried > 2:
                self.hurry()
                hurried = time.monotonic()
            time.sleep(0.2)

    def records(self):
        """Every record there is, by the listing, one at a time."""
        before = ''
        while before is not None:
            page = self.d.get(f'/fate/v1/records?limit=500{before}')
            yield from ((row['requestId'], row['record']) for row in page['records'])
            before = f'&before={page["next"]}' if page.get('next') else None

    def messages(self, queue, id_of):
        """{request id: [digest of the body, …]}"""
        r = collections.defaultdict(list)
        while True:
            page = self.d.receive(queue, 500)
            for m in page:
                r[id_of(m)].append(digest(m['body']))
            if not page:
                return r

    def lines(self, name):
        """{request id: {digest of the record, …}}: a line may be there twice."""
        r = collections.defaultdict(set)
        for line in open(self.files[name]) if os.path.exists(self.files[name]) else []:
            record = json.loads(line)
            r[record['requestContext']['requestId']].add(digest(record))
        return r

    def end(self):
        self.define('parked', ReservedConcurrentExecutions=10)
        self.start()
        self.until_all_ended()
        until(lambda: self.d.get('/fate/v1/status')['counts']['deliveries'] == 0, 'every delivery was acknowledged')
        starts = starts_of(self.life)
        out = self.messages('out', lambda m: m['body']['requestContext']['requestId'])
        dead = self.messages('dead', lambda m: m['attributes']['RequestID']['StringValue'])
        files = {n: self.lines(n) for n in self.files}
        seen = set()
        for request_id, record in self.records():
            if request_id in seen:
                raise AssertionError(f'{request_id} has more than one record')
            seen.add(request_id)
            name = check_event(request_id, record, starts.pop(request_id, {}), self.stats)
            f = FUNCTIONS[name]
            target = f.success if record['requestContext']['condition'] == 'Success' else f.failure
            check_target(request_id, record, target, out, files)
            equal(len(dead.pop(request_id, [])), int('DeadLetterConfig' in f.more), f'dead letters of {name} {request_id}')
        lost = set(self.accepted) - seen
        equal(lost, set(), 'accepted events without a record')
        equal(starts, {}, 'started and not on record')
        for what, left in (('messages', out), ('dead letters', dead), *files.items()):
            equal(dict(left), {}, f'{what} without a record, or to somewhere else')
        self.check_law(self.d.get('/fate/v1/status'))
        return len(seen)


def digest(body):
    return hashlib.sha1(json.dumps(body, sort_keys=True).encode()).digest()


def starts_of(path):
    """{request id: {attempt: [start, end or None]}} as the function's own runs wrote them."""
    r = collections.defaultdict(dict)
    for line in open(path):
        request_id, attempt, what, ns = line.split()
        who, runs = f'attempt {attempt} of {request_id}', r[request_id]
        attempt = int(attempt)
        if what == 'overlap':
            raise AssertionError(f'{who} ran while another one was alive')
        if what == 'start' and attempt in runs:
            raise AssertionError(f'{who} was started twice')
        if what == 'start':
            runs[attempt] = [int(ns), None]
        else:
            runs[attempt][1] = int(ns)
    return r


def check_target(request_id, record, target, out, files):
    if target is None:
        return
    if target == 'queue:out':
        equal(out.pop(request_id, []), [digest(record)], f'messages for {request_id}')
    else:
        equal(files[target.split(':')[1]].pop(request_id, set()), {digest(record)}, f'lines for {request_id}')


def check_event(request_id, record, starts, stats):
    name = record['requestContext']['functionArn'].split(':')[6]
    f = FUNCTIONS[name]
    attempts = record['fate']['attempts']
    own = [a for a in attempts if a['verdict'] not in KILLED]
    who = f'{name} {request_id}'

    if f.retries == 0 and len(starts) > 1:
        raise AssertionError(f'{who} was started {len(starts)} times, and never twice was promised')
    numbers = [a['attempt'] for a in attempts]
    if not set(starts) <= set(numbers) or numbers != list(range(1, len(numbers) + 1)):
        raise AssertionError(f'{who}: started as {sorted(starts)}, its record knows {numbers}')
    order = sorted(starts)
    for a, b in zip(order, order[1:]):
        if (starts[a][1] or starts[a][0]) > starts[b][0]:
            raise AssertionError(f'{who}: attempt {b} began before attempt {a} was over: {starts}')
    if len(own) > 1 + f.retries:
        raise AssertionError(f'{who}: {len(own)} attempts ended by themselves, {1 + f.retries} are allowed')
    overlap = check_sequence(attempts)
    if overlap:
        raise AssertionError(f'{who}: {overlap}')
    for a in attempts:
        stats[f'{a["verdict"]} ({a.get("witness", "none")})'] += 1
        if a['verdict'] == 'HostFault' and a['attempt'] in starts:
            raise AssertionError(f'{who}: attempt {a["attempt"]} is said never to have run, and it did')
        if a['verdict'] not in f.verdicts | KILLED:
            raise AssertionError(f'{who}: verdict {a["verdict"]}')
    good = attempts[-1]['verdict'] == 'Success'
    equal(record['requestContext']['condition'], 'Success' if good else 'RetriesExhausted', f'condition of {who}')
    once = f.retries == 0 and attempts[-1]['verdict'] == 'Interrupted'
    if not good and not once and len(own) != 1 + f.retries:
        raise AssertionError(f'{who} failed after {len(own)} attempts of its own, {1 + f.retries} were to be made')
    return name


def run_lane(n, rounds):
    # Less in memory than is open, so that most of it is rows alone.
    with Fated({'EventsInMemory': 64, 'MaxConcurrency': 16}, name=f'kill9-{n}') as d:
        lane = Lane(d, n)
        began = time.monotonic()
        for i in range(rounds):
            lane.round()
            if (i + 1) % 50 == 0:
                print(f'# daemon {n}: {i + 1} rounds, {time.monotonic() - began:.0f} s', flush=True)
        killed = time.monotonic()
        print(f'# daemon {n}: {rounds} rounds in {killed - began:.1f} s, {len(lane.accepted)} events accepted', flush=True)
        ended = lane.end()
        print(f'# daemon {n}: {ended} events ended once each, {ended - len(lane.accepted)} of them with their 202 cut off; the '
              f'end took {time.monotonic() - killed:.1f} s', flush=True)
        return lane


def kill9():
    stats, began = collections.Counter(), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        lanes = list(pool.map(run_lane, range(LANES), [(ROUNDS + n) // LANES for n in range(LANES)]))
    for lane in lanes:
        stats.update(lane.stats)
    accepted = sum(len(lane.accepted) for lane in lanes)
    interrupted = sum(n for k, n in stats.items() if k.split()[0] in KILLED)
    print('# attempts: ' + ', '.join(f'{v} {k}' for k, v in sorted(stats.items())), flush=True)
    print(f'# {ROUNDS} rounds, {accepted} events, at least {min(lane.fewest for lane in lanes)} open at every kill, '
          f'{time.monotonic() - began:.0f} s in all; worst recovery (start to ready) {max(lane.slowest for lane in lanes):.2f} s; '
          f'{interrupted} attempts cut short', flush=True)
    # The test must have met what it is about.
    if not any(k.startswith('Interrupted') for k in stats):
        raise AssertionError('too little happened: nothing was interrupted')


def main():
    print(f'# SEED={SEED} ROUNDS={ROUNDS} EVENTS={EVENTS}', flush=True)
    tests = Tests()
    tests.run(f'kill9_{ROUNDS}_rounds', kill9)
    tests.end()


if __name__ == '__main__':
    main()
