#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lambda's asynchronous rules that reach beyond one attempt, against the real daemon: chains, poison, reserves, a flood beside
a quiet function, a backlog that is not in memory, dead letters that go to a topic, versions that outlive their definition."""

import json

import fated
from fated import Fated, Tests, equal, until

LOOP = ['/bin/sh', '-c', 'cat >/dev/null; echo 1']



def a_chain():
    """ping and pong invoke each other: sixteen run, the seventeenth is recorded and kept from running."""
    with Fated(name='chain') as d:
        d.define('ping', LOOP, on_success='function:pong', on_failure='queue:stopped')
        d.define('pong', LOOP, on_success='function:ping', on_failure='queue:stopped', DeadLetterConfig={'TargetArn': 'queue:dead'})
        d.start()
        d.wait(d.accept('ping', {}))
        until(lambda: d.get('/fate/v1/status')['counts']['messages'] >= 1, 'the chain was stopped')
        d.until_all_ended()
        done = d.get('/fate/v1/events?limit=100')['events']
        equal(len(done), 17, 'events of the chain')
        equal(sum(e['startCount'] > 0 for e in done), 16, 'of them run')
        message = d.drain('stopped')
        equal(len(message), 1, 'records of the one that was stopped')
        record = message[0]['body']
        equal(record['requestContext']['condition'], 'RecursiveInvocation', 'condition')
        equal(record['requestContext']['approximateInvokeCount'], 0, 'count')
        equal('responseContext' in record, False, 'an answer of what did not run')
        equal(d.drain('dead'), [], 'dead letters: the seventeenth is a ping')
        text = d.ctl('event', 'list', check=0).stdout
        equal('RecursiveInvocation' in text, True, 'fatectl shows it')


def a_chain_ends_at_functions():
    """The record of the one that was stopped goes to no function: it would go on there."""
    with Fated(name='chain') as d:
        d.define('ping', LOOP, on_success='function:pong', on_failure='function:pong')
        d.define('pong', LOOP, on_success='function:ping', on_failure='function:ping')
        d.start()
        d.wait(d.accept('ping', {}))
        until(lambda: d.get('/fate/v1/deliveries?failed=true')['deliveries'], 'its record is kept')
        d.until_all_ended()
        equal(len(d.get('/fate/v1/events?limit=100')['events']), 17, 'events')


def poison():
    """The same death three times in a row ends it; deaths that differ do not."""
    with Fated(name='poison') as d:
        policy = {'PoisonAfter': 3}
        d.define('same', [fated.DIE, 'exit', '7'], retries=9, delays=[0], RetryPolicy=policy)
        d.define('others', ['/bin/sh', '-c', 'exit $((FATE_ATTEMPT % 2 + 1))'], retries=5, delays=[0], RetryPolicy=policy)
        d.start()
        same, others = d.accept('same', {}), d.accept('others', {})
        a, b = d.wait(same), d.wait(others)
        equal((a['requestContext']['condition'], a['requestContext']['approximateInvokeCount'], a['fate']['poison']),
              ('RetriesExhausted', 3, 3), 'three equal deaths')
        equal((b['requestContext']['condition'], b['requestContext']['approximateInvokeCount'], 'poison' in b['fate']),
              ('RetriesExhausted', 6, False), 'six deaths, none like the one before')
        shown = json.loads(d.ctl('event', 'show', same, '--json', check=0).stdout)
        equal(shown['condition'], 'Poison', 'what fatectl calls it')


def reserves():
    """What is reserved is nobody else's: two places of three, and a flood without a reserve runs one at a time."""
    with Fated(config={'MaxConcurrency': '3'}, name='reserve') as d:
        hold = d.script('hold', '#!/bin/sh\ncat >/dev/null\nwhile [ ! -e "$GO" ]; do sleep 0.02; done\necho 1\n')
        go = f'{d.work}/go'
        d.define('flood', [hold], variables={'GO': go}, Timeout=60)
        d.define('mine', LOOP, ReservedConcurrentExecutions=2)
        d.start()
        flood = [d.accept('flood', {}) for _ in range(6)]
        until(lambda: d.get('/fate/v1/status')['counts']['events']['running'] == 1, 'the flood has its one place')
        equal(d.invoke('mine', {}).status, 200, 'the reserve is there')
        equal(d.invoke('flood', {}).status, 429, 'a caller of the flood is throttled')
        equal(d.get('/fate/v1/status')['counts']['events']['running'], 1, 'and still one of it runs')
        open(go, 'w').close()
        for e in flood:
            equal(d.wait(e)['requestContext']['condition'], 'Success', 'the flood ends')


def backlog_on_disk():
    """More events than are held in memory; a quiet function beside them does not wait for them; all end, once, and what waits
    on disk can be cancelled, waited for, and survives kill -9."""
    with Fated(config={'MaxConcurrency': '2', 'EventsInMemory': '64'}, name='backlog') as d:
        slow = ['/bin/sh', '-c', 'cat >/dev/null; sleep 0.02; echo 1']
        d.define('flood', slow, on_success='queue:flooded', retries=1)      # kill -9 cuts one or two short
        d.define('quiet', LOOP)
        d.start()
        ids = [d.accept('flood', {'n': n}) for n in range(600)]
        status = d.get('/fate/v1/status')
        equal(d.wait(d.accept('quiet', {}))['requestContext']['condition'], 'Success', 'the quiet one')
        left = d.get('/fate/v1/status')['counts']['events']
        if not left['queued']:
            raise AssertionError('the flood was over before the quiet one: nothing was shown')
        cancelled = d.ctl('event', 'cancel', ids[-1], check=0)
        equal(d.wait(ids[-1])['requestContext']['condition'], 'Cancelled', f'the last of them ({cancelled.stdout})')
        d.kill9()
        d.start()
        equal(d.wait(ids[-2])['requestContext']['condition'], 'Success', 'one that was on disk')
        d.until_all_ended()
        got = sorted(m['body']['requestPayload']['n'] for m in d.drain('flooded'))
        equal((len(got), sorted(set(range(599)) ^ set(got))), (599, []), 'records, and events without one or with two')
        if status['engine']['inMemory'] > 64 + 3 * 9 + 2:
            raise AssertionError(f'in memory: {status["engine"]}')


def a_topic_as_dead_letter_queue():
    """The event itself goes to the topic; Lambda's attributes are in the envelope, and with raw messages."""
    with Fated(name='dlt') as d:
        d.define('dies', [fated.DIE, 'exit', '3'], DeadLetterConfig={'TargetArn': 'topic:dead'}, on_failure='queue:failed')
        d.definition('dead.json', json.dumps({'TopicName': 'dead', 'Subscriptions': [
            {'Protocol': 'sqs', 'Endpoint': 'envelopes'}, {'Protocol': 'sqs', 'Endpoint': 'raw', 'RawMessageDelivery': True}]}))
        d.start()
        e = d.accept('dies', {'a': 1})
        d.wait(e)
        d.until_all_ended()
        envelope = d.drain('envelopes')[0]['body']
        equal(json.loads(envelope['Message']), {'a': 1}, 'the message')
        equal(envelope['MessageAttributes']['RequestID'], {'Type': 'String', 'Value': e}, 'RequestID')
        equal(envelope['MessageAttributes']['ErrorCode'], {'Type': 'Number', 'Value': '200'}, 'ErrorCode')
        raw = d.drain('raw')[0]
        equal(raw['body'], {'a': 1}, 'the raw message')
        equal(raw['attributes']['RequestID']['StringValue'], e, 'its attributes')
        equal(len(d.drain('failed')), 1, 'the destination has its record, too')


def main():
    tests = Tests()
    for fn in (a_chain, a_chain_ends_at_functions, poison, reserves, backlog_on_disk, a_topic_as_dead_letter_queue):
        tests.run(f'semantics_{fn.__name__}', fn)
    tests.end()


if __name__ == '__main__':
    main()
