#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job, end to end: a function hangs, its tree is killed at the deadline, the record of it makes another function
invoke it again, the second run succeeds and its record lands in the queue. Both records are compared as a whole."""
import json, os, re
import fated
from fated import Fated, Tests, equal, until

TIMEOUT = 1 * fated.FACTOR
CONTEXT = {'statusCode': 200, 'executedVersion': '$LATEST'}
ISO = re.compile(r'20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ')

# Hangs with a hanging child, unless the event says that it is a second try.
RESIZE = '''#!/bin/sh
event=$(cat)
case $event in
*'"retry":true'*) printf '{"resized":true}' ;;
*) sleep 100000 & echo $! >>"$PIDS"; echo $$ >>"$PIDS"; wait ;;
esac
'''
# A destination like any on AWS: looks for "Task timed out" in the record and invokes the function again.
REINVOKE = '''#!/usr/bin/python3
import json, subprocess, sys
record = json.load(sys.stdin)
json.dump(record, open('%(work)s/record', 'w'))
if 'Task timed out' not in record['responsePayload']['errorMessage']:
    sys.exit('not a timeout')
name = record['requestContext']['functionArn'].split(':')[6]
event = json.dumps(dict(record['requestPayload'], retry=True), separators=(',', ':'))
r = subprocess.run(['%(ctl)s', 'invoke', name, '--async', '--payload', '-'], input=event, text=True, capture_output=True)
if r.returncode:
    sys.exit(r.stderr)
print(json.dumps({'reinvoked': name}))
'''


def check_record(record, request_id, name, condition, request, payload, failed):
    want = {
        'version': '1.0',
        'timestamp': record['timestamp'],
        'requestContext': {'requestId': request_id, 'functionArn': f'arn:aws:lambda:us-east-1:000000000000:function:{name}:$LATEST',
                           'condition': condition, 'approximateInvokeCount': 1},
        'requestPayload': request,
        'responseContext': dict(CONTEXT, functionError='Unhandled') if failed else CONTEXT,
        'responsePayload': payload,
        'fate': record['fate'],
    }
    equal(record, want, f'record of {name}')
    if not ISO.fullmatch(record['timestamp']):
        raise AssertionError(f'timestamp is {record["timestamp"]!r}')


def scene(d):
    d.define('resize', [d.script('resize', RESIZE)], Timeout=TIMEOUT, variables={'PIDS': f'{d.work}/pids'},
             on_failure='arn:aws:lambda:us-east-1:000000000000:function:reinvoke',
             on_success='arn:aws:sqs:us-east-1:000000000000:done')
    d.define('reinvoke', [d.script('reinvoke', REINVOKE % {'work': d.work, 'ctl': os.path.join(fated.BUILD, 'fatectl')})],
             Timeout=60 * fated.FACTOR, variables={'FATED_SOCKET': d.socket}, on_success='queue:reinvoked',
             on_failure='queue:reinvoked')
    d.start()


def queued(d, name):
    """The one record that must arrive in a queue."""
    got = until(lambda: d.receive(name), lambda: f'a message in the queue {name}\n{d.log_tail()}')
    equal(len(got), 1, f'messages in {name}')
    return got[0]['body']


def main_job():
    with Fated(name='main') as d:
        scene(d)
        first = d.accept('resize', {'image': 'cat.png'})
        record = d.wait(first)
        check_record(record, first, 'resize', 'RetriesExhausted', {'image': 'cat.png'}, {
            'errorType': 'Sandbox.Timedout',
            'errorMessage': f'RequestId: {first} Error: Task timed out after {TIMEOUT:.2f} seconds'}, True)
        [fate] = record['fate']['attempts']
        equal((fate['verdict'], fate['signal'], fate['witness']), ('Timeout', 9, 'both'), 'fate of the first run')
        if fate['processes'] < 3:       # the shell, its cat, its sleep
            raise AssertionError(f'{fate["processes"]} processes')
        for pid in open(f'{d.work}/pids').read().split():
            if fated.alive(pid):
                raise AssertionError(f'process {pid} outlived the deadline')

        told = queued(d, 'reinvoked')
        equal(json.load(open(f'{d.work}/record')), record, 'what the destination received')
        equal(told['requestPayload'], record, 'requestPayload of the destination')
        equal(told['responsePayload'], {'reinvoked': 'resize'}, 'answer of the destination')

        done = queued(d, 'done')
        second = done['requestContext']['requestId']
        if second == first:
            raise AssertionError('the second run has the request id of the first')
        check_record(done, second, 'resize', 'Success', {'image': 'cat.png', 'retry': True}, {'resized': True}, False)
        [fate] = done['fate']['attempts']
        equal((fate['verdict'], fate['exitStatus'], fate['witness']), ('Success', 0, 'both'), 'fate of the second run')
        equal(d.wait(second), done, 'record of the second run')
        equal(d.receive('done') + d.receive('reinvoked'), [], 'further messages')


def graceful_stop_takes_up_again():
    """SIGTERM while a function runs: the event is taken up by the next start and still ends once."""
    with Fated(name='main', config={'StopGracePeriod': 0.2}) as d:
        log = f'{d.work}/starts'
        d.define('slow', [fated.DIE, 'wait'], Timeout=TIMEOUT, retries=1, delays=[0.05], on_failure='queue:out',
                 variables={'DIE_STARTS': log})
        d.start()
        request_id = d.accept('slow', {})
        until(lambda: os.path.exists(log) and open(log).read(), 'the function runs')
        d.terminate()
        equal(fated.processes_below(d.group), [], 'processes after SIGTERM')
        d.start()
        record = d.wait(request_id)
        attempts = record['fate']['attempts']
        # The run that the stop cut short costs no attempt: two are left.
        equal([a['verdict'] for a in attempts], ['Interrupted', 'Timeout', 'Timeout'], 'verdicts')
        equal(len(open(log).read().split('\n')) - 1, 3, 'starts')
        equal((record['requestContext']['condition'], record['requestContext']['approximateInvokeCount']),
              ('RetriesExhausted', 2), 'end')
        for a, b in zip(attempts, attempts[1:]):
            if a['kernelEndUs'] > b['kernelStartUs']:
                raise AssertionError(f'attempts overlap: {a}, {b}')
        equal([m['body'] for m in d.drain('out')], [record], 'messages')


def main():
    tests = Tests()
    tests.run('main_job', main_job)
    tests.run('main_job_graceful_stop_takes_up_again', graceful_stop_takes_up_again)
    tests.end()


if __name__ == '__main__':
    main()
