#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fuzz/corpus/ anew: what each target begins with, made from real definitions, answers, entries and rows.
To be run when a target's input changes its form; inputs that found something are added by hand and stay."""
import json, os, struct

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'corpus')
ID = '8f5e0c8a-1111-4222-8333-444455556666'
ARN = 'arn:aws:lambda:us-east-1:000000000000:function:resize'
RECORD = ('{"version":"1.0","timestamp":"2026-11-24T00:00:00.000Z","requestContext":{"requestId":"%s","functionArn":"%s:$LATEST",'
          '"condition":"RetriesExhausted","approximateInvokeCount":2},"requestPayload":{"n":12345678901234567890.10},'
          '"responseContext":'
          '{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},'
          '"responsePayload":{"errorType":"Sandbox.Timedout",'
          '"errorMessage":"RequestId: \\u00e9 \\ud83d\\ude00 \\"x\\" timed out"},"fate":{"attempts":[{"attempt":1,'
          '"verdict":"Signal",'
          '"signal":9,"sender":{"kernel":false,"pid":4711,"uid":0,"comm":"killer"},"durationMs":812.402}]}}' % (ID, ARN))


def seed(target, name, data):
    os.makedirs(os.path.join(root, target), exist_ok=True)
    with open(os.path.join(root, target, name), 'wb') as f:
        f.write(data if isinstance(data, bytes) else data.encode())


# ---- definitions, configuration, JSON: text
RESIZE = {'FunctionName': 'resize', 'Description': 'é', 'Command': ['/opt/resize/run', '-v'], 'Timeout': 3, 'MemorySize': 256,
          'Environment': {'Variables': {'QUALITY': '80'}}, 'ReservedConcurrentExecutions': 4, 'KillGracePeriod': 0.5,
          'EventInvokeConfig': {'MaximumRetryAttempts': 1, 'MaximumEventAgeInSeconds': 3600, 'DestinationConfig': {
              'OnSuccess': {'Destination': 'arn:aws:sqs:us-east-1:000000000000:done'}, 'OnFailure': {'Destination': 'reinvoke'}}},
          'DeadLetterConfig': {'TargetArn': 'queue:dead'}, 'RetryDelaysInSeconds': [60, 120.25]}
OURS = {'FunctionName': 'a', 'Command': ['/bin/true'], 'WorkingDirectory': '/srv', 'User': 'nobody', 'Group': '65534',
        'PidsMax': 64,
        'CpuPercent': 150, 'NoNewPrivileges': False, 'Rlimits': {'NOFILE': 1024, 'CORE': [0, 'unlimited']}, 'RecordFate': False,
        'Mode': 'exec', 'Tags': {'k': 'v'}, 'DestinationConfig': {'OnFailure': {'Destination': 'file:/var/log/x.jsonl'}}}
seed('func', 'resize', json.dumps(RESIZE, ensure_ascii=False))
seed('func', 'ours', json.dumps(OURS))
seed('func', 'policy', json.dumps({'FunctionName': 'p', 'Command': ['/bin/true'], 'Leftovers': 'wait', 'RetryPolicy': {
    'Timeout': {'Attempts': 2, 'TimeoutFactor': 1.5, 'TimeoutMax': 900, 'DelaysInSeconds': [0, 0.25]},
    'OutOfMemory': {'Attempts': 1, 'MemoryFactor': 2, 'MemoryMax': 4096}, 'Crash': {'Attempts': 0},
    'Signal': {'Attempts': 1, 'DelaysInSeconds': [5]}}}))
seed('func', 'policy-refused', json.dumps({'FunctionName': 'p', 'Command': ['/bin/true'], 'Leftovers': 'leave', 'RetryPolicy': {
    'Timeout': {'TimeoutMax': 3, 'MemoryFactor': 2}, 'Success': {'Attempts': 1}, 'OutOfMemry': {}, 'Crash': {'Attempts': 99}}}))
seed('func', 'chain', json.dumps({'FunctionName': 'c', 'Command': ['/bin/true'], 'RecursiveLoop': 'Allow', 'RetryPolicy': {
    'PoisonAfter': 3, 'Signal': {'Attempts': 5}}, 'DestinationConfig': {'OnSuccess': {'Destination': 'function:next:live'},
                                                                       'OnFailure': {'Destination': ARN + ':7'}}}))
seed('func', 'chain-refused', json.dumps({'FunctionName': 'c:1', 'Command': ['/bin/true'], 'RecursiveLoop': 'allow',
                                          'PoisonAfter': 2, 'RetryPolicy': {'PoisonAfter': 1, 'PoisonAftr': 2}}))

# ---- aliases: the random number that picks a version, the stored row, 0x1e, an update to it
ALIAS = {'Description': 'é "x"', 'FunctionVersion': '7', 'RoutingConfig': {'AdditionalVersionWeights': {'8': 0.25}},
         'RevisionId': ID}
for name, row, update in (('whole', ALIAS, {'FunctionVersion': '9', 'RoutingConfig': {}}),
                          ('latest', {'FunctionVersion': '$LATEST'}, ALIAS),
                          ('weight', ALIAS, {'RoutingConfig': {'AdditionalVersionWeights': {'999999999': 1}}, 'Description': None}),
                          ('same', ALIAS, {'FunctionVersion': '8'}), ('none', {}, {'RoutingConfig': None}),
                          ('refused', {'FunctionVersion': '01', 'RoutingConfig': {'AdditionalVersionWeights': {
                              '1': 2, '$LATEST': -1}}}, {'Description': 'd' * 257, 'RevisionId': '\0'})):
    seed('alias', name, struct.pack('<Q', 1 << 62) + json.dumps(row, ensure_ascii=False).encode() + b'\x1e' +
         json.dumps(update).encode())

# ---- topics and buses: the file, 0x1e, the subject with its length, what is published
TOPIC = {'TopicName': 'alerts', 'Description': 'é', 'Tags': {'k': 'v'}, 'Subscriptions': [
    {'Protocol': 'lambda', 'Endpoint': 'echo'}, {'Protocol': 'lambda', 'Endpoint': ARN}, {'Protocol': 'sqs', 'Endpoint': 'inbox'},
    {'Protocol': 'sqs', 'Endpoint': 'queue:raw', 'RawMessageDelivery': True},
    {'Protocol': 'command', 'Id': 'mail', 'Command': ['/usr/bin/mailit', '-v'], 'Timeout': 3}]}
BUS = {'EventBusName': 'a/b', 'Description': 'é', 'Tags': {'k': 'v'}, 'Rules': [
    {'Name': 'all', 'State': 'ENABLED', 'EventPattern': {'source': ['lambda', 'x'], 'detail-type': ['é "x"']}, 'Targets': [
        {'Id': '1', 'Arn': 'topic:alerts'}, {'Id': '2', 'Arn': ARN}, {'Id': '3', 'Arn': 'queue:q'}, {'Id': '4', 'Arn': 'resize'}]},
    {'Name': 'off', 'State': 'DISABLED', 'EventPattern': {'source': ['lambda']}, 'Targets': [{'Id': '1', 'Arn': 'queue:q'}]}]}
for name, file, subject, message in (
        ('topic', TOPIC, b'Failed: "resize"', RECORD.encode()),
        ('topic-bytes', TOPIC, b'', b'\0\xff\xed\xa0\x80"\\\x7f\xf0\x9f\x98\x80'),
        ('bus', BUS, b'lambda', RECORD.encode()), ('bus-text', BUS, b'\xff', b' {"a":1} '), ('bus-none', BUS, b'x', b'[1.0]'),
        ('topic-refused', TOPIC | {'TopicName': 'a.fifo', 'Policy': {}, 'Subscriptions': [
            {'Protocol': 'https', 'Endpoint': 'x'}, {'Protocol': 'sqs', 'Endpoint': ARN}, {'Protocol': 'command', 'Id': 'x' * 65},
            {'Protocol': 'lamda', 'FilterPolicy': {}}]}, b'', b''),
        ('bus-refused', BUS | {'Rules': BUS['Rules'] + BUS['Rules'][:1] + [{'Name': 'é', 'EventPattern': '{}', 'Targets': []}, {
            'Name': 'n', 'EventPattern': {'source': [{'prefix': 'x'}], 'detail': {}},
            'Targets': [{'Id': '1', 'Arn': 'file:/x'}] * 2}]}, b'', b'')):
    seed('fan', name, json.dumps(file, ensure_ascii=False).encode() + b'\x1e' + bytes([len(subject)]) + subject + message)
seed('config', 'all', json.dumps({
    '//': 'x', 'StateDirectory': '/var/lib/fated/', 'RunDirectory': '/run/fated', 'LogDirectory': '/l', 'FunctionsDirectory': '/f',
    'BpfDirectory': '/sys/fs/bpf/fated', 'CgroupRoot': '', 'Region': 'eu-west-1', 'MaxConcurrency': 100, 'MaxQueuedEvents': 1000,
    'MaxEnvironments': 128, 'RingBytes': 65536, 'StopGracePeriod': 2.5, 'RecordFate': True, 'LogLevel': 'debug',
    'SocketGroup': 'fated', 'FunctionLogBytes': 65536, 'FunctionLogFiles': 3,
    'FunctionLogMaxAge': 86400, 'ReloadOnChange': True, 'Observer': 'fallback'}))
for name, number, text in (('below', -1, ''),
                           ('above', 1 << 41, '/' + 'x' * 1024)):      # refused one by one: just beyond every bound
    for key in ('MaxConcurrency', 'MaxQueuedEvents', 'MaxEnvironments', 'RingBytes', 'StopGracePeriod', 'FunctionLogBytes'):
        seed('config', f'{name}-{key}', json.dumps({key: number}))
    seed('config', f'{name}-StateDirectory', json.dumps({'StateDirectory': text}))
seed('json', 'member', b'\x10\x0frequestPayload\0' + RECORD.encode())
seed('json', 'broken', b'\x05\x01a{"a":["\xc3\xa9\xf0\x9f\x98\x80","\\ud83d\\ude00\\u0000\\n",-1.5e+3,true,null]\xed\xa0\x80}')
for i, cut in enumerate(('"\\u00', '"\\', '["a",tru', '-1.', '"\xe2\x82')):
    seed('json', f'cut-{i}', b'\x03\0' + cut.encode('latin-1'))

# ---- fatectl's answers: the number of the verb in fuzz_wire.c's table, the head, the body
EVENT = ('{"seq":42,"requestId":"%s","function":"resize","state":"waiting","acceptedAt":"2026-11-24T00:00:00.000Z","dueAt":'
         '"2036-11-24T00:00:00.000Z","attemptCount":1,"payload":{"n":1.0},"attempts":[{"start":1,'
         '"startedAt":"2026-11-24T00:00:00.000Z",'
         '"outcome":"Timeout","fate":{"a":[1,{}],"b":"x"}}],"record":%s,"deliveries":[{"role":"OnFailure",'
         '"target":"file:/x","tries":2,'
         '"failed":true,"lastError":"\\u001b[31m"}]}' % (ID, RECORD))
MESSAGES = ('{"queue":"q","messages":[{"messageId":"%s","receiptHandle":"%s","receiveCount":1,"sentAt":"2026-11-24T00:00:00.000Z",'
            '"visibleAt":"2026-11-24T00:00:30.000Z","attributes":{"RequestID":{"StringValue":"x"}},"body":{"}":[1.0,'
            '"{"]}}]}' % (ID, ID))
STATUS = ('{"version":"0.1.0","pid":1,"uptimeSeconds":3661,"engine":{"queued":1,"byOutcome":{"Timeout":3},"inDoubt":true,'
          '"doubtWhy":"x"},'
          '"counts":{"records":1},"observer":{"pinDirectory":"/x","events":{"exec":1},"features":{"oomScope":false}},'
          '"launcher":{"path":"/c",'
          '"controllers":{"memory":{"enabled":true},"cpu":{"enabled":false,"reason":"r"}}},"store":{"engine":"sqlite"},'
          '"definitions":'
          '{"functions":1,"problems":1},"environments":[{"cgroupId":1,"function":"f","runningMs":5000,"leftMs":-1,"sync":true}]}')
FUNCTION = '{"FunctionName":"f","Mode":"exec","Timeout":3,"Command":["/x"],"EventInvokeConfig":{"MaximumRetryAttempts":2},"E":{}}'
RELOAD = '{"added":["a"],"changed":[],"removed":[1],"functions":2,"problems":[{"file":"/f.json","path":"$.T","reason":"bad"}]}'
OK = 'HTTP/1.1 200\r\nx-amzn-RequestId: %s\r\nX-Fate-Outcome: Success\r\n\r\n' % ID
FAILED = 'HTTP/1.1 200\r\nX-Amz-Function-Error: Unhandled\r\nX-Fate-Outcome: Timeout\r\n\r\n'
for verb, name, body in ((0, 'status', STATUS), (1, 'functions', '{"functions":[%s]}' % FUNCTION),
                         (2, 'function', FUNCTION), (3, 'invoke', '"x"'),
                         (6, 'events', '{"events":[%s],"next":42}' % EVENT), (7, 'event', EVENT), (9, 'record', RECORD),
                         (8, 'records', '{"records":[{"requestId":"x","at":"2026-11-24T00:00:00.000Z","record":%s}]}' % RECORD),
                         (10, 'queues', '{"queues":[{"name":"q","visible":1}]}'), (11, 'receive', MESSAGES),
                         (15, 'reload', RELOAD)):
    seed('wire', name, bytes([verb]) + (OK + body).encode())
seed('wire', 'failed', b'\x83' + FAILED.encode() + b'{"errorMessage":"a\\nb"}')
seed('wire', 'wait', b'\x05' + (OK + '\x1e' + OK + RECORD).encode())
seed('wire', 'delete', b'\x0c' + (OK + MESSAGES + '\x1eHTTP/1.1 100 Continue\r\n\r\n').encode())
seed('wire', 'refused', b'\x03HTTP/1.1 404 Not Found\r\nx-amzn-errortype: ResourceNotFoundException\r\n\r\n{"Message":"no '
                        b'\\u00e9"}')

# ---- requests
for name, head in (('invoke', 'POST /2015-03-31/functions/%s/invocations?Qualifier=%%24LATEST' % ARN.replace('resize', 'echo')),
                   ('receive', 'POST /fate/v1/queues/done/receive?max=2&visibility=0'), ('reload', 'POST /fate/v1/reload'),
                   ('events', 'GET /fate/v1/events?function=echo&state=waiting&limit=2&before=9'),
                   ('status', 'GET /fate/v1/status'),
                   ('event', 'GET /fate/v1/events/11111111-2222-4333-8444-555555555555'), ('functions', 'GET /fate/v1/functions'),
                   ('wait', 'GET /fate/v1/events/99999999-2222-4333-8444-555555555555/wait'),
                   ('function', 'GET /fate/v1/functions/resize'),
                   ('records', 'GET /fate/v1/records?condition=Success'), ('logs', 'GET /fate/v1/functions/gone/logs?bytes=8'),
                   ('delete', 'DELETE /fate/v1/queues/done/messages/aaaaaaaa-2222-4333-8444-555555555555'),
                   ('deliveries', 'GET /fate/v1/deliveries?limit=+1&failed=true&target=file:/full&after=5'),
                   ('delivery', 'GET /fate/v1/deliveries/00000001-0000-4333-8444-555555555555'),
                   ('delivery-retry', 'POST /fate/v1/deliveries/00000001-0000-4333-8444-555555555555/OnFailure/retry'),
                   ('delivery-drop', 'DELETE /fate/v1/deliveries/11111111-2222-4333-8444-555555555555/DeadLetter'),
                   ('deliveries-retry', 'POST /fate/v1/deliveries/retry?target=file:/full&max=3&rate=10000&after=0'),
                   ('health', 'GET /fate/v1/health'), ('publish', 'POST /2015-03-31/functions/echo/versions'),
                   ('versions', 'GET /2015-03-31/functions/function:echo/versions?MaxItems=2&Marker=1'),
                   ('alias', 'POST /2015-03-31/functions/echo/aliases'),
                   ('alias-get', 'GET /2015-03-31/functions/echo/aliases/prod'),
                   ('alias-set', 'PUT /2015-03-31/functions/echo/aliases/prod'),
                   ('alias-delete', 'DELETE /2015-03-31/functions/echo/aliases/prod'),
                   ('aliases', 'GET /2015-03-31/functions/echo/aliases?FunctionVersion=1&MaxItems=1&Marker=a'),
                   ('retry', 'POST /fate/v1/events/11111111-2222-4333-8444-555555555555/retry?force=true&timeout=60&memory=512'
                             '&qualifier=%24LATEST'),
                   ('redrive', 'POST /fate/v1/events/redrive?since=2h&until=2026-11-24T10:00:00.000%2B01:00&rate=10000'),
                   ('redrive-queue', 'POST /fate/v1/queues/dead/redrive?max=9&function=echo&verdict=Timeout&since=3d&rate=10000'
                                     '&timeout=1'),
                   ('redrive-dry', 'POST /fate/v1/queues/dead/redrive?dryRun=true&to=resize&until=2026-11-25')):
    body = {'invoke': '{"n":[1.50,"\\u00e9"]}', 'publish': '{"Description":"\\u00e9","RevisionId":null}',
            'alias': '{"Name":"prod","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":0.25}}}',
            'alias-set': '{"FunctionVersion":"$LATEST","Description":"d","RoutingConfig":{},"RevisionId":"x"}',
            'redrive': '{"function":"echo","condition":"Poison","verdict":"OutOfMemory","max":5,"dryRun":true,"after":"1",'
                       '"upTo":9}'}.get(name, '')
    seed('api', name, head + ' HTTP/1.1\r\nHost: x\r\n' + ('Content-Length: %d\r\n' % len(body) if body else '') + '\r\n' + body)
seed('api', 'chunked', 'POST /2015-03-31/functions/timeout/invocations HTTP/1.1\r\nHost: x\r\nX-Amz-Invocation-Type: '
                       'Event\r\nExpect: 100-continue\r\n'
     'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n5\r\n":\n1}\r\n0\r\n\r\nGET /%2Ffate HTTP/1.0\r\n\r\n')
seed('api', 'long', 'GET /fate/v1/functions/%s HTTP/1.1\r\nHost: x\r\n\r\nGET /fate/v1/events?%s=1 HTTP/1.1\r\nHost: '
                    'x\r\n\r\n' % ('%61' * 513, 'a' * 65))

# ---- ring records: struct fate_ev_hdr and what follows it, by kind
for kind, rest in ((1, 16), (2, 24), (3, 56), (4, 32), (5, 0), (6, 0)):
    seed('ring', str(kind), struct.pack('<HHIQQQII', kind, 40 + rest, 3, 1000, 77, 5, 4711, 0) + bytes(rest))


# ---- pinned entries: as fuzz_entry.c takes them
def entry(flags, wait, exit_code, env_flags, hit, oom, sender, out, report=b'', error=b'', request=b'{}'):
    env = struct.pack('<16x64s40sII', b'resize', ID.encode(), 1, env_flags)
    env += struct.pack('<7Q', 3000000000, 1000, 2000, 3000001000, hit, 812403000, 812404000)
    env += struct.pack('<IiIIIIIIQQ16s', 4711, exit_code, 3, 3, 2, oom, 1 if oom else 0, 4712, 5, 6, b'victim')
    env += struct.pack('<IIiiIIQQ16s', 815, 0, exit_code & 127, 0, sender, 0, 9, 9, b'killer')
    s = struct.pack('<H4QiiII3Q', flags, 900, 812403000, 812405000, 812500000, wait, 2, 2, 1, oom, 4096, 1 << 27)
    s += struct.pack('<H', len(env)) + env
    for text in (b'execve', b'/opt/resize/run', error, report, out):
        s += bytes([len(text)]) + text
    return s + request


seed('entry', 'success', entry(0x809, 0, 0, 5, 0, 0, 0, b'{"ok": true}'))
seed('entry', 'text', entry(0x809, 0, 0, 5, 0, 0, 0, b'hello \xff\n'))
seed('entry', 'signal', entry(0x809, 9, 9, 5, 0, 0, 1, b''))
seed('entry', 'oom', entry(0x809, 9, 9, 5, 0, 2, 3, b''))
seed('entry', 'timeout', entry(0x8c9, 9, 9, 7, 3000001000, 0, 0, b'', request=b'[\r\n1.0]'))
seed('entry', 'error', entry(0x809, 256, 256, 5, 0, 0, 0, b'', b'{"errorType":"E","errorMessage":"\\u00e9"}'))
seed('entry', 'exec', entry(0x018, 0x7f00, 0, 0, 0, 0, 0, b''))
seed('entry', 'host', entry(0x400, 0, 0, 0, 0, 0, 0, b'', error=b'clone3: no memory'))

# ---- rows: table and a zero for each column that is as it should be; then one odd value each
COLUMNS = (22, 2, 6, 7, 9, 3, 2, 7, 3, 5, 3, 4, 3)
good = b''.join(bytes([table + 1] + [0] * n) for table, n in enumerate(COLUMNS))
seed('row', 'good', good)
for name, table, column, value in (('state', 1, 4, b'\x03\x07'), ('id', 1, 1, b'\x02\x05\x00a\0bcd'),
                                   ('attempts', 1, 7, b'\x01\x0b'),
                                   ('fate', 3, 5, b'\x04\x02{}'), ('role', 5, 2, b'\x01\x08'), ('count', 8, 5, b'\x01\x08'),
                                   ('verdicts', 1, 13, b'\x01\x0a'), ('pos', 4, 0, b'\x01\x0b'),
                                   ('version', 10, 1, b'\x01\x00'), ('alias', 11, 1, b'\x02\x00\x00'),
                                   ('anchor', 12, 1, b'\x02\x00\x01'), ('trimmed', 13, 1, b'\x01\x0a'),
                                   ('deaths', 1, 21, b'\x01\x00'), ('failed', 5, 7, b'\x01\x0a')):
    kinds = bytearray(COLUMNS[table - 1])
    kinds[column] = 2
    seed('row', name, bytes([table]) + bytes(kinds) + value + good)
