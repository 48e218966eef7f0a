#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Deliveries that no target takes, against the real daemon: seen, sent again, given up. The target is a file whose directory
comes and goes, and a topic that is not defined."""
import json, os
import fated
from fated import Fated, Tests, equal, until

OK, FAILED, REFUSED = 0, 1, 4
UNKNOWN = '11111111-2222-4333-8444-555555555555'


def deliveries(d, query=''):
    return d.get('/fate/v1/deliveries' + query)['deliveries']


def undeliverable(d, name, n=1):
    """n events whose records wait for a directory."""
    where = os.path.join(d.work, f'missing-{name}')
    d.define(name, [fated.DIE, 'echo'], on_success=f'file:{where}/records')
    d.ctl('reload', check=OK)
    ids = [d.accept(name, {'n': i}) for i in range(n)]
    for i in ids:
        d.wait(i)
    until(lambda: len(deliveries(d, f'?target=file:{where}/records')) == n, 'they are owed')
    return where, f'file:{where}/records', ids


def seen(d):
    where, target, [request_id] = undeliverable(d, 'seen')
    [x] = until(lambda: [x for x in deliveries(d) if x['target'] == target and x.get('lastError')], 'the first try fails')
    equal((x['requestId'], x['function'], x['role'], x['key']), (request_id, 'seen', 'OnSuccess', f'{request_id}:OnSuccess'), 'row')
    text = d.ctl('delivery', 'list', '--target', target, check=OK).stdout
    if request_id not in text or 'No such file' not in text:
        raise AssertionError(text)
    whole = d.get(f'/fate/v1/deliveries/{request_id}')['deliveries']
    equal(whole[0]['body'], d.wait(request_id), 'what is sent')
    if target not in d.ctl('delivery', 'show', request_id, check=OK).stdout:
        raise AssertionError('delivery show lacks the target')
    equal(d.request('GET', f'/fate/v1/deliveries/{UNKNOWN}').status, 404, 'of no event')
    os.mkdir(where)                                     # and by itself it gets there
    until(lambda: d.get(f'/fate/v1/events/{request_id}')['state'] == 'done', 'it is delivered')


def retried(d):
    """Its next try is far away; we want it now."""
    where, target, [request_id] = undeliverable(d, 'retried')
    os.mkdir(where)
    d.ctl('delivery', 'retry', request_id, check=OK)
    until(lambda: d.get(f'/fate/v1/events/{request_id}')['state'] == 'done', 'it is delivered')
    equal(json.loads(open(f'{where}/records').read()), d.wait(request_id), 'record')
    p = d.ctl('delivery', 'retry', request_id, 'OnSuccess', check=REFUSED)
    if 'Delivery not found' not in p.stderr:
        raise AssertionError(p.stderr)
    equal(open(f'{where}/records').read().count('\n'), 1, 'records')


def given_up(d):
    where, target, [request_id] = undeliverable(d, 'dropped')
    # One that is being sent at this moment cannot be given up.
    until(lambda: d.ctl('delivery', 'drop', request_id, 'OnSuccess').returncode == OK, 'it can be given up')
    until(lambda: d.get(f'/fate/v1/events/{request_id}')['state'] == 'done', 'its event has ended')
    equal(deliveries(d, f'?target={target}'), [], 'deliveries')
    d.kill9()
    d.restart()
    equal(d.get(f'/fate/v1/events/{request_id}')['state'], 'done', 'after a death of the daemon')
    os.mkdir(where)
    equal(os.listdir(where), [], 'records')


def all_that_failed(d):
    """A topic that is not defined takes nothing, for good; then it is defined."""
    d.define('told', [fated.DIE, 'echo'], on_success='topic:later')
    d.ctl('reload')
    ids = [d.accept('told', {'n': i}) for i in range(5)]
    for i in ids:
        d.wait(i)
    until(lambda: len(deliveries(d, '?failed=true')) == 5, lambda: f'five have failed: {deliveries(d)}')
    counts = d.get('/fate/v1/status')
    equal(counts['counts']['deliveriesFailed'], 5, 'failed, as stored')
    d.ctl('delivery', 'retry', '--all')                 # there is still no such topic: they fail again, and are kept
    until(lambda: len(deliveries(d, '?failed=true')) == 5, 'still five')
    d.definition('later.json', json.dumps({'TopicName': 'later', 'Subscriptions': [{'Protocol': 'sqs', 'Endpoint': 'heard'}]}))
    d.ctl('reload', check=OK)
    a = d.request('POST', '/fate/v1/deliveries/retry?target=topic:other').json()
    equal((a['retried'], a['more']), ([], False), 'to another target')
    p = d.ctl('delivery', 'retry', '--all', '--rate', '1000', check=OK)
    equal(sorted(line.split()[0] for line in p.stdout.splitlines()), sorted(ids), 'retried')
    until(lambda: len(d.get('/fate/v1/queues/heard/messages')['messages']) == 5, 'five messages')
    until(lambda: deliveries(d, '?failed=true') == [], 'none is left')
    d.until_all_ended()


def health(d):
    a = d.request('GET', '/fate/v1/health')
    equal((a.status, a.json()), (200, {'status': 'ok'}), 'health')
    equal(d.ctl('health', check=OK).stdout, 'ok\n', 'fatectl health')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(name='deliveries') as d:
            d.start()
            for fn in (health, seen, retried, given_up, all_that_failed):
                if not tests.run(f'deliveries_{fn.__name__}', fn, d):
                    print(d.log_tail(10), end='', flush=True)
            d.kill9()
            equal(d.ctl('health', check=FAILED).stdout, '', 'fatectl health of no daemon')
            d.restart()
    tests.run('deliveries_leave_nothing', all_with_one_daemon)
    tests.end()


if __name__ == '__main__':
    main()
