#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records that go to a topic and to an event bus, and from there to functions, queues, raw queues and commands: exactly
once each, also when the daemon is killed around the end; and what becomes of a record whose topic nobody has defined.

$ROUNDS (12) of kills, $SEED (printed).
"""
import collections, http.client, json, os, random, re, time
import fated
from fated import Fated, Tests, equal

ROUNDS = int(os.environ.get('ROUNDS', '12'))
SEED = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
REGION = 'us-east-1:000000000000'
ARN = f'arn:aws:sns:{REGION}:alerts'
UUID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}')


def to(queue):
    return {'DestinationConfig': {'OnSuccess': {'Destination': queue}, 'OnFailure': {'Destination': queue}}}


def scene(d):
    """fails → topic alerts → notify, inbox, raw, a command; ends → bus default → rules. What functions and commands got
    is seen in the records of their own runs."""
    d.define('fails', [fated.DIE, 'exit', '3'], on_failure='topic:alerts')
    d.define('ends', [fated.DIE, 'exit', '0'], on_success='bus:default', on_failure=f'arn:aws:events:{REGION}:event-bus/default')
    d.define('notify', ['/bin/true'], EventInvokeConfig={'MaximumRetryAttempts': 0, **to('queue:notified')})
    d.definition('alerts.json', json.dumps({'TopicName': 'alerts', 'Subscriptions': [
        {'Protocol': 'lambda', 'Endpoint': 'notify'},
        {'Protocol': 'sqs', 'Endpoint': 'inbox'},
        {'Protocol': 'sqs', 'Endpoint': f'arn:aws:sqs:{REGION}:raw', 'RawMessageDelivery': True},
        {'Protocol': 'command', 'Id': 'mail', 'Command': ['/bin/cat'],
         'EventInvokeConfig': {'MaximumRetryAttempts': 0, **to('queue:mailed')}}]}))
    good, bad = ([f'Lambda Function Invocation Result - {w}'] for w in ('Success', 'Failure'))
    rule = {'EventPattern': {'source': ['lambda'], 'detail-type': good}}
    d.definition('bus.json', json.dumps({'EventBusName': 'default', 'Rules': [
        {'Name': 'matches', **rule, 'Targets': [{'Id': '1', 'Arn': 'queue:events'}, {'Id': '2', 'Arn': 'seen'},
                                                {'Id': '3', 'Arn': 'topic:second'}]},
        {'Name': 'again', 'EventPattern': {'source': ['x', 'lambda']}, 'Targets': [{'Id': '1', 'Arn': 'again'}]},
        {'Name': 'other-type', 'EventPattern': {'source': ['lambda'], 'detail-type': bad},
         'Targets': [{'Id': '1', 'Arn': 'queue:never'}]},
        {'Name': 'other-source', 'EventPattern': {'source': ['aws.lambda']}, 'Targets': [{'Id': '1', 'Arn': 'queue:never'}]},
        {'Name': 'disabled', 'State': 'DISABLED', **rule, 'Targets': [{'Id': '1', 'Arn': 'queue:never'}]}]}))
    d.define('seen', ['/bin/true'], EventInvokeConfig={'MaximumRetryAttempts': 0, **to('queue:seen-by')})
    d.definition('second.json', json.dumps({'TopicName': 'second', 'Subscriptions': [
        {'Protocol': 'sqs', 'Endpoint': 'second', 'RawMessageDelivery': True}]}))


def bodies(d, queue):
    return [m['body'] for m in d.drain(queue)]


def one(d, queue):
    got = bodies(d, queue)
    equal(len(got), 1, f'messages in {queue}')
    return got[0]


def check_sns(event, record, subscription):
    [r] = event['Records']
    equal((r['EventSource'], r['EventVersion'], r['EventSubscriptionArn']), ('aws:sns', '1.0', subscription), 'SNS event')
    sns = r['Sns']
    equal(json.loads(sns['Message']), record, 'Message')
    equal({k: v for k, v in sns.items() if k not in ('Message', 'MessageId', 'Timestamp')},
          {'Type': 'Notification', 'TopicArn': ARN, 'Subject': None, 'SignatureVersion': '1', 'Signature': '', 'SigningCertUrl': '',
           'UnsubscribeUrl': '', 'MessageAttributes': {}}, 'Sns')
    return sns['MessageId']


def a_topic():
    with Fated(name='topics') as d:
        scene(d)
        d.start()
        subs = {s['Protocol'] + s.get('Endpoint', s.get('Id')): s['SubscriptionArn']
                for s in json.loads(d.ctl('topic', 'show', 'alerts', '--json', check=0).stdout)['Subscriptions']}
        for arn in subs.values():
            if not arn.startswith(ARN + ':') or not UUID.fullmatch(arn[len(ARN) + 1:]):
                raise AssertionError(f'subscription {arn}')
        record = d.wait(d.accept('fails', {'n': 1.10, 's': 'a "b"\n'}))
        d.until_all_ended()
        ids = {check_sns(one(d, 'notified')['requestPayload'], record, subs['lambdanotify'])}
        mailed = one(d, 'mailed')
        equal(mailed['requestContext']['functionArn'], f'arn:aws:lambda:{REGION}:function:alerts-mail:$LATEST', 'the command')
        equal(mailed['responsePayload'], mailed['requestPayload'], 'what the command read')
        ids.add(check_sns(mailed['requestPayload'], record, subs['commandmail']))
        envelope = one(d, 'inbox')
        ids.add(envelope['MessageId'])
        equal(json.loads(envelope['Message']), record, 'Message in the queue')
        equal(set(envelope), {'Type', 'MessageId', 'TopicArn', 'Message', 'Timestamp', 'SignatureVersion', 'Signature',
                              'SigningCertURL', 'UnsubscribeURL'}, 'members of the envelope')
        equal(one(d, 'raw'), record, 'raw message')
        equal(len(ids), 1, 'message ids')
        equal(d.get('/fate/v1/deliveries')['deliveries'], [], 'deliveries')


def a_bus():
    with Fated(name='topics') as d:
        scene(d)
        d.start()
        request_id = d.accept('ends', {'n': 1})
        record = d.wait(request_id)
        d.until_all_ended()
        event = one(d, 'events')
        equal({k: v for k, v in event.items() if k not in ('id', 'time')}, {
            'version': '0', 'detail-type': 'Lambda Function Invocation Result - Success', 'source': 'lambda',
            'account': '000000000000',
            'region': 'us-east-1', 'resources': [f'arn:aws:events:{REGION}:event-bus/default',
                                                 f'arn:aws:lambda:{REGION}:function:ends:$LATEST'],
            'detail': record}, 'event')
        if not re.fullmatch(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ', event['time']) or not UUID.fullmatch(event['id']):
            raise AssertionError(f'time {event["time"]}, id {event["id"]}')
        equal([one(d, 'second'), one(d, 'again'), one(d, 'seen-by')['requestPayload']], [event] * 3, 'the other targets')
        equal(bodies(d, 'never'), [], 'messages by rules that do not match')
        equal([b['EventBusName'] for b in json.loads(d.ctl('bus', 'list', '--json', check=0).stdout)['buses']], ['default'],
              'buses')


def undefined():
    """The event ends; what could not go anywhere is kept, with the reason, and shown."""
    with Fated(name='topics') as d:
        d.define('fails', [fated.DIE, 'exit', '3'], on_failure='topic:nowhere')
        d.define('ends', [fated.DIE, 'exit', '0'], on_success='bus:nowhere')
        d.start()
        equal(d.get('/fate/v1/status')['definitions']['problems'], 2, 'problems')
        got = d.request('POST', '/fate/v1/reload').json()['problems']
        equal([(os.path.basename(p['file']), p['path'], p['reason']) for p in got],
              [('ends.json', '$.EventInvokeConfig.DestinationConfig.OnSuccess.Destination', 'bus "nowhere" is not defined'),
               ('fails.json', '$.EventInvokeConfig.DestinationConfig.OnFailure.Destination',
                'topic "nowhere" is not defined')], 'problems')
        ids = [d.accept('fails', {}), d.accept('ends', {})]
        for i in ids:
            d.wait(i)
        for kill in (False, True):
            if kill:
                d.kill9()
                d.start()
            listed = {x['target']: x['lastError'] for x in d.get('/fate/v1/deliveries')['deliveries']}
            equal(listed, {'topic:nowhere': 'topic nowhere was not defined', 'bus:nowhere': 'bus nowhere was not defined'},
                  'deliveries')
            out = d.ctl('delivery', 'list', check=0).stdout
            if 'topic nowhere was not defined' not in out:
                raise AssertionError(f'delivery list says\n{out}')


def request_of(queue, body):
    """The request id of the first event, whatever was wrapped around its record."""
    if queue in ('notified', 'mailed'):
        body = json.loads(body['requestPayload']['Records'][0]['Sns']['Message'])
    elif queue == 'inbox':
        body = json.loads(body['Message'])
    elif queue == 'seen-by':
        body = body['requestPayload']['detail']
    elif queue in ('events', 'second', 'again'):
        body = body['detail']
    return body['requestContext']['requestId']


def killed():
    """The daemon is killed at random instants while events end. Each record arrives everywhere, and nowhere twice."""
    rnd = random.Random(SEED)
    accepted = {}
    with Fated(name='topics') as d:
        scene(d)
        for _ in range(ROUNDS):
            d.start()
            end = time.monotonic() + rnd.uniform(0.02, 0.5)             # the random instant
            while time.monotonic() < end:
                name = rnd.choice(['fails', 'ends'])
                accepted[d.accept(name, {})] = name
            d.kill9()
        d.start()
        records = {i: d.wait(i) for i in accepted}
        d.until_all_ended()
        ways = {'fails': ('notified', 'mailed', 'inbox', 'raw'), 'ends': ('events', 'second', 'again', 'seen-by')}
        # An event that the kill interrupted has failed, whatever it was to be: the bus's rules then say otherwise.
        success = {i for i, r in records.items() if r['requestContext']['condition'] == 'Success'}
        for name, queues in ways.items():
            for q in queues:
                got = collections.Counter(request_of(q, b) for b in bodies(d, q))
                twice = [i for i, n in got.items() if n != 1]
                equal(twice, [], f'events that arrived in {q} more than once')
                must = {i for i, n in accepted.items() if n == name and (name == 'fails' or q == 'again' or i in success)}
                equal(must - set(got), set(), f'events that did not arrive in {q}')
                equal(set(got) & (set(accepted) - must), set(), f'events that have no business in {q}')
        failed = {i for i, n in accepted.items() if n == 'ends' and i not in success}
        equal({i for i in (request_of('events', b) for b in bodies(d, 'never')) if i in accepted}, failed,
              'events of the rule for failures')
        print(f'# {ROUNDS} kills, {len(accepted)} events, {len(failed)} of ends interrupted', flush=True)
        if len(accepted) < ROUNDS:
            raise AssertionError('too little happened')


def main():
    print(f'# SEED={SEED} ROUNDS={ROUNDS}', flush=True)
    tests = Tests()
    for fn in (a_topic, a_bus, undefined, killed):
        tests.run(f'topics_{fn.__name__}', fn)
    tests.end()


if __name__ == '__main__':
    main()
