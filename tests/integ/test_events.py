#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What becomes of asynchronous events besides a plain end: dead letters, both routes at once, files, concurrency, age,
functions that go away, refusals at the door. Each against the real daemon, with AWS's exact answers."""
import json, os
import fated
from fated import Fated, Tests, equal, until


def one(d, queue):
    [m] = until(lambda: d.receive(queue), lambda: f'a message in {queue}\n{d.log_tail()}')
    return m


def dead_letter_and_destination(d):
    """Both routes of a failed event are served: the bare event with attributes, and the record."""
    d.define('dlq', [fated.DIE, 'handled', '1'], on_failure='arn:aws:sqs:us-east-1:000000000000:records',
             DeadLetterConfig={'TargetArn': 'arn:aws:sqs:us-east-1:000000000000:letters'})
    d.ctl('reload', check=0)
    request_id = d.accept('dlq', b'{"the":  "event", "n": 1e2}')
    record = d.wait(request_id)
    equal(one(d, 'records')['body'], record, 'record')
    letter = one(d, 'letters')
    equal(letter['body'], {'the': 'event', 'n': 100.0}, 'dead letter')
    equal(letter['attributes'], {
        'RequestID': {'DataType': 'String', 'StringValue': request_id},
        'ErrorCode': {'DataType': 'Number', 'StringValue': '200'},
        'ErrorMessage': {'DataType': 'String', 'StringValue': 'width 3 is below 16'}}, 'attributes of the dead letter')


def record_to_a_file(d):
    path = os.path.join(d.work, 'records.jsonl')
    d.define('tofile', [fated.DIE, 'exit', '0'], on_success=f'file:{path}')
    d.ctl('reload', check=0)
    records = [d.wait(d.accept('tofile', {'n': n})) for n in range(3)]
    until(lambda: os.path.exists(path) and open(path).read().count('\n') == 3, 'three lines in the file')
    lines = [json.loads(line) for line in open(path)]
    equal(sorted(r['requestPayload']['n'] for r in lines), [0, 1, 2], 'events in the file')
    for r in records:
        if r not in lines:
            raise AssertionError(f'{r} is not in the file')


def waiting_for_one_that_is_being_delivered(d):
    """Its record is there; that the target does not answer is nobody's business but the sender's."""
    late = os.path.join(d.work, 'not-yet-a-directory')
    d.define('late', [fated.DIE, 'exit', '0'], on_success=f'file:{late}/records')
    d.ctl('reload', check=0)
    request_id = d.accept('late', {})
    until(lambda: d.get(f'/fate/v1/events/{request_id}')['state'] == 'routing', 'the event is being delivered')
    equal(d.wait(request_id)['requestContext']['requestId'], request_id, 'record')
    os.mkdir(late)
    until(lambda: d.get(f'/fate/v1/events/{request_id}')['state'] == 'done', 'it is delivered')
    equal(d.wait(request_id), json.loads(open(f'{late}/records').read()), 'record')


def record_without_fate(d):
    d.define('bare', [fated.DIE, 'exit', '3'], on_failure='queue:bare', RecordFate=False)
    d.ctl('reload', check=0)
    record = d.wait(d.accept('bare', {}))
    equal(sorted(record), ['requestContext', 'requestPayload', 'responseContext', 'responsePayload', 'timestamp',
                           'version'], 'members')
    equal(one(d, 'bare')['body'], record, 'message')


def zero_concurrency(d):
    d.define('closed', [fated.DIE, 'exit', '0'], on_failure='queue:closed', ReservedConcurrentExecutions=0)
    d.ctl('reload', check=0)
    request_id = d.accept('closed', {'x': 1})
    record = d.wait(request_id)
    equal(record['requestContext'], {
        'requestId': request_id, 'functionArn': 'arn:aws:lambda:us-east-1:000000000000:function:closed:$LATEST',
        'condition': 'ZeroReservedConcurrency', 'approximateInvokeCount': 0}, 'requestContext')
    for absent in ('responseContext', 'responsePayload'):
        if absent in record:
            raise AssertionError(f'{absent} is {record[absent]!r}, the function was not run')
    equal(one(d, 'closed')['body'], record, 'message')
    a = d.invoke('closed', {})
    equal((a.status, a.headers['x-amzn-errortype'], a.json()), (429, 'TooManyRequestsException', {
        'Reason': 'ReservedFunctionConcurrentInvocationLimitExceeded', 'Type': 'User', 'message': 'Rate Exceeded.'}), 'refusal')


def concurrency_of_one(d):
    """Ten events, one at a time: the second run never starts before the first is over."""
    log = os.path.join(d.work, 'one')
    script = d.script('one-at-a-time', '#!/bin/sh\nset -C\n(: >"$LOCK") || exit 1\nsleep 0.02\nrm "$LOCK"\necho 1 >>"$DONE"\n')
    d.define('single', [script], on_failure='queue:single', ReservedConcurrentExecutions=1, Timeout=60 * fated.FACTOR,
             variables={'LOCK': os.path.join(d.work, 'lock'), 'DONE': log})
    d.ctl('reload', check=0)
    for request_id in [d.accept('single', {'n': n}) for n in range(10)]:
        equal(d.wait(request_id)['requestContext']['condition'], 'Success', 'condition')
    equal(open(log).read(), '1\n' * 10, 'runs')


def too_old_for_the_next_try(d):
    """The next try could not start before the limit: the event fails at once, with the last real answer."""
    d.define('old', [fated.DIE, 'exit', '3'], retries=2, delays=[120], on_failure='queue:old')
    definition = json.load(open(f'{d.dir}/functions.d/old.json'))
    definition['EventInvokeConfig']['MaximumEventAgeInSeconds'] = 60
    d.definition('old.json', json.dumps(definition))
    d.ctl('reload', check=0)
    record = d.wait(d.accept('old', {}))
    equal((record['requestContext']['condition'], record['requestContext']['approximateInvokeCount']),
          ('EventAgeExceeded', 1), 'end')
    equal(record['responseContext'], {'statusCode': 200, 'executedVersion': '$LATEST', 'functionError': 'Unhandled'},
          'responseContext')


def function_goes_away(d):
    """Accepted, tried once, and gone when the retry is due: that try counts, and nothing is started."""
    log = os.path.join(d.work, 'gone')
    d.define('gone', [fated.DIE, 'exit', '3'], retries=1, delays=[1], variables={'DIE_STARTS': log}, on_failure='queue:gone')
    d.ctl('reload', check=0)
    request_id = d.accept('gone', {})
    until(lambda: d.get(f'/fate/v1/events/{request_id}')['state'] == 'waiting', 'the event waits for its retry')
    os.unlink(f'{d.dir}/functions.d/gone.json')
    d.ctl('reload', check=0)
    # With its definition its own delays are gone too: Lambda's defaults hold, and the event waits in case it comes back.
    outcomes = ['Crash', 'NoFunction']
    until(lambda: [a.get('outcome') for a in d.get(f'/fate/v1/events/{request_id}')['attempts']] == outcomes,
          'the retry finds no function')
    event = d.get(f'/fate/v1/events/{request_id}')
    equal((event['state'], event['attemptCount']), ('waiting', 2), 'the event')
    equal(event['attempts'][1]['fate']['verdict'], 'NoFunction', 'verdict')
    equal(d.invoke('gone', {}, 'Event').status, 404, 'status for a function that is gone')
    equal(open(log).read(), f'{request_id} 1\n', 'starts')


def at_the_door(d):
    d.define('door', [fated.DIE, 'exit', '0'], on_success='queue:door')
    d.ctl('reload', check=0)
    a = d.invoke('door', b'', 'DryRun')
    equal((a.status, a.body), (204, b''), 'DryRun')
    for kind, limit in (('RequestResponse', 6291456), ('Event', 1048576)):
        a = d.invoke('door', b'"' + b'x' * (limit - 1) + b'"', kind)
        equal((a.status, a.headers['x-amzn-errortype']), (413, 'RequestEntityTooLargeException'), f'{kind}, one byte too many')
    a = d.invoke('door', b'"' + b'x' * (1048576 - 2) + b'"', 'Event')
    equal(a.status, 202, 'largest event')
    equal(d.wait(a.headers['x-amzn-RequestId'])['requestContext']['condition'], 'Success', 'largest event')
    for kind in ('RequestResponse', 'Event'):
        for bad in (b'{"a":', b'nul', b'{"a":1}x', b'"\xff"', b'{"a":01}'):
            a = d.invoke('door', bad, kind)
            equal((a.status, a.headers['x-amzn-errortype']), (400, 'InvalidRequestContentException'), f'{bad!r}')
            if not a.json()['message'].startswith('Could not parse request body into json: '):
                raise AssertionError(f'{a}')
    a = d.invoke('door', b'', 'Sometimes')
    equal(a.status, 400, 'an invocation type that is none')
    a = d.invoke('missing', {}, 'Event')
    equal((a.status, a.headers['x-amzn-errortype'], a.json()['Message']), (
        404, 'ResourceNotFoundException',
        'Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing:$LATEST'), 'missing function')
    a = d.invoke('arn:aws:lambda:us-east-1:000000000000:function:door', {'by': 'arn'})
    equal(a.status, 200, 'by ARN')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(name='events') as d:
            d.define('plain', [fated.DIE, 'exit', '0'])
            d.start()
            for fn in (dead_letter_and_destination, record_to_a_file, waiting_for_one_that_is_being_delivered,
                       record_without_fate, zero_concurrency, concurrency_of_one,
                       too_old_for_the_next_try, function_goes_away, at_the_door):
                if not tests.run(f'events_{fn.__name__}', fn, d):
                    print(d.log_tail(10), end='', flush=True)
    tests.run('events_leave_nothing', all_with_one_daemon)
    tests.end()


if __name__ == '__main__':
    main()
