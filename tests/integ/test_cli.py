#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fatectl against the real daemon: verbs, exit statuses, help; definitions read again; queues; who is let in."""
import json, os, re, shutil, signal, subprocess
import fated
from fated import Fated, Tests, equal, until

OK, FUNCTION_FAILED, USAGE, UNREACHABLE, REFUSED = 0, 1, 2, 3, 4
UUID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}')
VERBS = ['status', 'function list', 'function show', 'invoke', 'event list', 'event show', 'event cancel', 'event retry',
         'record list', 'record show', 'record tail', 'queue list', 'queue receive', 'queue peek', 'queue purge',
         'queue redrive', 'delivery list', 'delivery show', 'delivery retry', 'delivery drop', 'event redrive',
         'function publish', 'function versions', 'alias list', 'alias get', 'alias set', 'alias delete', 'health', 'logs',
         'top', 'reload', 'version', 'doctor', 'completion']
NOBODY = 65534


def contains(text, part, what):
    if part not in text:
        raise AssertionError(f'{what} lacks {part!r}:\n{text}')


def row(table, first):
    """The line of a table that begins with a cell, as words."""
    for line in table.splitlines():
        if line.split()[:1] == [first]:
            return line.split()
    raise AssertionError(f'no line {first!r} in:\n{table}')


def define_all(d):
    d.define('echo', [fated.DIE, 'echo'], on_success='queue:done')
    d.define('fails', [fated.DIE, 'exit', '3'], on_failure='queue:failed')
    d.define('talks', [fated.DIE, 'stderr'])


# ---- help and usage ----------------------------------------------------------------------------------------------
def help_of_every_verb(d):
    everything = d.ctl('help', check=OK).stdout
    for verb in VERBS:
        contains(everything, verb, 'fatectl help')
        one = d.ctl('help', *verb.split(), check=OK).stdout
        contains(one, f'fatectl {verb}', f'fatectl help {verb}')
        equal(d.ctl(*verb.split(), '--help', check=OK).stdout, one, f'fatectl {verb} --help')
    for status in range(7):
        if not re.search(rf'^  {status}  ', everything, re.M):
            raise AssertionError(f'exit status {status} is not documented')
    p = d.ctl(check=USAGE)
    equal(p.stdout, '', 'stdout of fatectl without arguments')
    contains(p.stderr, 'invoke', 'stderr of fatectl without arguments')


def usage_errors(d):
    for args in (['fly'], ['event'], ['event', 'fly'], ['invoke'], ['invoke', 'echo', '--fly'], ['invoke', 'echo', 'again'],
                 ['invoke', 'echo', '--data'], ['invoke', 'echo', '--data', '{}', '--payload', '-'], ['--socket'], ['help', 'fly'],
                 ['invoke', 'echo', '--payload', '/no/such/file'], ['status', 'now'], ['status', '--watch=now'],
                 ['top', '--interval', '0'],
                 ['invoke', 'echo', '--watch']):
        p = d.ctl(*args, check=USAGE)
        equal(p.stdout, '', f'stdout of fatectl {args}')
        if not p.stderr.startswith('fatectl: '):
            raise AssertionError(f'fatectl {args} says {p.stderr!r}')


def daemon_not_there(d):
    for args in (['--socket', f'{d.dir}/nothing', 'status'], [f'--socket={d.dir}/nothing', 'invoke', 'echo']):
        p = d.ctl(*args, check=UNREACHABLE)
        contains(p.stderr, f'{d.dir}/nothing', 'the message')
        equal(p.stdout, '', 'stdout')


# ---- invoking ----------------------------------------------------------------------------------------------------
def invoke_synchronously(d):
    equal(d.ctl('invoke', 'echo', check=OK).stdout, '{}', 'answer without payload')
    equal(d.ctl('invoke', 'echo', '--data', '{"a": [1,  2]}', check=OK).stdout, '{"a": [1,  2]}', 'answer to --data')
    equal(d.ctl('invoke', 'echo', '--payload', '-', stdin='"from stdin"', check=OK).stdout, '"from stdin"', 'answer to --payload -')
    path = os.path.join(d.work, 'event.json')
    with open(path, 'w') as f:
        f.write('{"from": "a file"}')
    equal(d.ctl('invoke', 'echo', '--payload', path, check=OK).stdout, '{"from": "a file"}', 'answer to --payload FILE')
    j = json.loads(d.ctl('invoke', 'echo', '--json', '--data', '7', check=OK).stdout)
    equal((j['statusCode'], j['executedVersion'], j['outcome'], j['payload']), (200, '$LATEST', 'Success', 7), 'envelope')
    p = d.ctl('invoke', 'fails', check=FUNCTION_FAILED)
    error = json.loads(p.stdout)
    equal(error['errorType'], 'Runtime.ExitError', 'errorType')
    equal(p.stderr, f'Crash: {error["errorMessage"]}\n', 'stderr of a failed function')


def invoke_asynchronously(d):
    p = d.ctl('invoke', 'echo', '--async', '--data', '{"n":1}', check=OK)
    request_id = p.stdout.strip()
    if not UUID.fullmatch(request_id):
        raise AssertionError(f'request id is {p.stdout!r}')
    record = d.wait(request_id)
    equal(record['responsePayload'], {'n': 1}, 'responsePayload')
    equal(json.loads(d.ctl('record', 'show', request_id, check=OK).stdout), record, 'record show')
    equal(json.loads(d.ctl('record', 'show', request_id, '--json', check=OK).stdout), record, 'record show --json')
    waited = json.loads(d.ctl('invoke', 'echo', '--async', '--wait', check=OK).stdout)
    equal((waited['requestContext']['condition'], waited['requestPayload']), ('Success', {}), 'record of --async --wait')
    p = d.ctl('invoke', 'fails', '--async', '--wait', check=FUNCTION_FAILED)
    equal(json.loads(p.stdout)['requestContext']['condition'], 'RetriesExhausted', 'condition of --async --wait')


def refusals(d):
    for args, words in ((['invoke', 'nobody-knows'], 'Function not found'), (['invoke', 'echo', '--data', '{'], 'Could not parse'),
                        (['invoke', 'nobody-knows', '--async'], 'Function not found'),
                        (['invoke', 'echo:7'], 'Function not found'), (['function', 'show', 'nobody-knows'], 'Function not found'),
                        (['record', 'show', '00000000-0000-4000-8000-000000000000'], 'not found'),
                        (['event', 'show', '00000000-0000-4000-8000-000000000000'], 'not found'),
                        (['event', 'show', 'no-uuid'], 'no-uuid'), (['event', 'list', '--state', 'asleep'], 'asleep'),
                        (['queue', 'receive', 'done', '--max', '0'], "'max'"),
                        (['queue', 'receive', 'done', '--max', 'x'], "'max'"),
                        (['logs', 'nobody-knows'], 'Function not found')):
        p = d.ctl(*args, check=REFUSED)
        contains(p.stderr, words, f'refusal of {args}')
        equal(p.stdout, '', f'stdout of {args}')


# ---- showing -----------------------------------------------------------------------------------------------------
def lists_and_shows(d):
    equal(row(d.ctl('function', 'list', check=OK).stdout, 'echo')[0], 'echo', 'name')
    contains(d.ctl('function', 'show', 'fails', check=OK).stdout, fated.DIE, 'function show')
    names = [f['FunctionName'] for f in json.loads(d.ctl('function', 'list', '--json', check=OK).stdout)['functions']]
    equal(names, ['echo', 'fails', 'talks'], 'functions')
    request_id = d.ctl('invoke', 'fails', '--async', check=OK).stdout.strip()
    record = d.wait(request_id)
    line = row(d.ctl('event', 'list', '--function', 'fails', check=OK).stdout, request_id)
    equal(line[1:4], ['fails', 'done', 'RetriesExhausted'], 'line of event list')
    contains(d.ctl('event', 'show', request_id, check=OK).stdout, 'Crash', 'event show')
    shown = json.loads(d.ctl('event', 'show', request_id, '--json', check=OK).stdout)
    equal((shown['record'], shown['state'], len(shown['attempts'])), (record, 'done', 1), 'event show --json')
    line = row(d.ctl('record', 'list', '--condition', 'RetriesExhausted', check=OK).stdout, request_id)
    equal(line[1:4], ['fails', 'RetriesExhausted', 'Crash'], 'line of record list')
    row(d.ctl('queue', 'list', check=OK).stdout, 'failed')
    contains(d.ctl('version', check=OK).stdout, 'fated', 'version')
    d.ctl('delivery', 'list', check=OK)


def logs_of_a_function(d):
    request_id = d.ctl('invoke', 'talks', '--async', check=OK).stdout.strip()
    d.wait(request_id)
    text = until(lambda: (lambda t: t if f'REPORT RequestId: {request_id}' in t
                          else None)(d.ctl('logs', 'talks', check=OK).stdout), 'the log')
    lines = text.splitlines()
    at = lines.index(f'START RequestId: {request_id} Version: $LATEST')
    equal(lines[at + 1:at + 4], ['first line', 'second line', f'END RequestId: {request_id}'], 'log lines')


def status_tells_what_runs(d):
    d.define('waits', [fated.DIE, 'wait'], Timeout=60 * fated.FACTOR, variables={'DIE_NOTES': d.work})
    d.ctl('reload', check=OK)
    request_id = d.ctl('invoke', 'waits', '--async', check=OK).stdout.strip()
    notes = f'{d.work}/{request_id}/notes'
    pid = int(until(lambda: os.path.exists(notes) and open(notes).read(), 'the function runs').split()[1])
    [env] = json.loads(d.ctl('status', '--json', check=OK).stdout)['environments']
    equal((env['function'], env['requestId'], env['attempt'], env['sync']), ('waits', request_id, 1, False), 'environment')
    contains(d.ctl('status', check=OK).stdout, request_id, 'status')
    # What anybody may look at without us: the pinned map names function, request and leader.
    [entry] = [(e.get('formatted') or e)['value'] for e in fated.bpftool('map', 'dump', 'pinned', f'{d.dir}/bpf/fate_env')]
    equal((entry['function'], entry['request_id'], entry['attempt'], entry['procs_forked'], entry['leader_tgid']),
          ('waits', request_id, 1, 1, pid), 'entry in the live map')
    [leaf] = d.leaves()
    equal(os.stat(leaf).st_ino, int(env['cgroupId']), 'cgroup id')
    os.kill(pid, signal.SIGTERM)
    equal(d.wait(request_id)['fate']['attempts'][0]['signalName'], 'SIGTERM', 'signal')
    equal(json.loads(d.ctl('status', '--json', check=OK).stdout)['environments'], [], 'environments')


# ---- queues ------------------------------------------------------------------------------------------------------
def queue_visibility(d):
    d.drain('done')
    request_id = d.accept('echo', {'hidden': True})
    record = d.wait(request_id)
    first = d.ctl('queue', 'receive', 'done', '--visibility', '1', '--json', check=OK)
    [m] = json.loads(first.stdout)['messages']
    equal((m['body'], m['receiveCount']), (record, 1), 'message')
    contains(first.stderr, 'hidden until', 'stderr')
    # Hidden now, back in a second; only who deletes it is rid of it.
    again = until(lambda: json.loads(d.ctl('queue', 'receive', 'done', '--json', check=OK).stdout)['messages'],
                  'the message is visible again')
    equal((again[0]['messageId'], again[0]['receiveCount']), (m['messageId'], 2), 'message received again')
    if again[0]['receiptHandle'] == m['receiptHandle']:
        raise AssertionError('the receipt handle is the old one')
    for receipt, status in ((m['receiptHandle'], 404), (again[0]['receiptHandle'], 200), (again[0]['receiptHandle'], 404)):
        a = d.request('DELETE', f'/fate/v1/queues/done/messages/{receipt}')
        equal(a.status, status, f'status of a delete, {a}')
    d.wait(d.accept('echo', {'taken': 1}))
    contains(d.ctl('queue', 'receive', 'done', '--delete', check=OK).stdout, '"taken"', 'queue receive --delete')
    equal(row(d.ctl('queue', 'list', check=OK).stdout, 'failed')[0], 'failed', 'queue list')
    queues = {q['name']: q for q in json.loads(d.ctl('queue', 'list', '--json', check=OK).stdout)['queues']}
    if 'done' in queues and queues['done']['visible']:
        raise AssertionError(f'a deleted message is still there: {queues["done"]}')


# ---- definitions -------------------------------------------------------------------------------------------------
def reload_keeps_the_good(d):
    d.define('fresh', [fated.DIE, 'exit', '0'])
    p = d.ctl('reload', check=OK)
    contains(p.stdout, 'added: fresh', 'reload')
    d.definition('echo.json', '{"FunctionName": "echo", "Command": ["relative"], "Timeout": 1000, "Tmieout": 1}')
    d.definition('new.json', '{"FunctionName": "new", ')
    p = d.ctl('reload', check=REFUSED)
    for part in ('echo.json: $.Command', 'echo.json: $.Timeout', 'echo.json: $.Tmieout', 'new.json'):
        contains(p.stderr, part, 'problems of reload')
    equal(d.ctl('invoke', 'echo', '--data', '1', check=OK).stdout, '1', 'answer of the function whose file is bad now')
    d.ctl('invoke', 'fresh', check=OK)
    d.ctl('invoke', 'new', check=REFUSED)
    os.unlink(f'{d.dir}/functions.d/new.json')
    os.unlink(f'{d.dir}/functions.d/fresh.json')
    d.define('echo', [fated.DIE, 'echo'], on_success='queue:done', Timeout=7)
    p = d.ctl('reload', check=OK)
    contains(p.stdout, 'removed: fresh', 'reload')
    contains(p.stdout, 'changed: echo', 'reload')
    d.ctl('invoke', 'fresh', check=REFUSED)
    j = json.loads(d.ctl('reload', '--json', check=OK).stdout)
    equal((j['added'], j['changed'], j['removed'], j['problems']), ([], [], [], []), 'reload of nothing new')


def reload_by_sighup(d):
    d.define('by-signal', [fated.DIE, 'text'])
    d.process.send_signal(signal.SIGHUP)
    until(lambda: d.invoke('by-signal').status == 200, 'SIGHUP reads the definitions')
    os.unlink(f'{d.dir}/functions.d/by-signal.json')
    d.process.send_signal(signal.SIGHUP)
    until(lambda: d.invoke('by-signal').status == 404, 'SIGHUP takes a function away')


def bad_file_at_start():
    with Fated(name='cli') as d:
        d.define('good', [fated.DIE, 'exit', '0'])
        d.definition('bad.json', '{"FunctionName": "bad", "Command": [], "Timeout": "long"}')
        d.start()
        d.ctl('invoke', 'good', check=OK)
        d.ctl('invoke', 'bad', check=REFUSED)
        log = open(d.stderr).read()
        contains(log, 'bad.json', "the daemon's log")
        contains(log, '$.Timeout', "the daemon's log")


# ---- who is let in -----------------------------------------------------------------------------------------------
def as_nobody(d, argv):
    def drop():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return subprocess.run(argv, preexec_fn=drop, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd='/',
                          env=dict(os.environ, FATED_SOCKET=d.socket), timeout=fated.PATIENCE)


def others_are_refused(d):
    ctl = shutil.copy(os.path.join(fated.BUILD, 'fatectl'), d.work)
    for args in (['status'], ['invoke', 'echo']):
        p = as_nobody(d, [ctl, *args])
        equal((p.returncode, p.stdout), (UNREACHABLE, ''), f'fatectl {args} as nobody: {p.stderr}')
        contains(p.stderr.lower(), 'permission denied', 'the message')
    # Even when the file's mode would let them through, the peer's credentials do not.
    mode = os.stat(d.socket).st_mode & 0o777
    os.chmod(d.socket, 0o666)
    os.chmod(os.path.dirname(d.socket), 0o755)
    try:
        p = as_nobody(d, [ctl, 'status'])
    finally:
        os.chmod(d.socket, mode)
    equal((p.returncode, p.stdout), (REFUSED, ''), f'fatectl status as nobody: {p.stderr}')


def daemon_needs_root(d):
    program = shutil.copy(os.path.join(fated.BUILD, 'fated'), d.work)
    with Fated(name='cli') as other:
        p = as_nobody(other, [program] + other.argv()[1:])
        if p.returncode in (0, None) or p.returncode < 0:
            raise AssertionError(f'fated as nobody: exit status {p.returncode}\n{p.stderr}')
        contains(p.stderr.lower(), 'root', 'the refusal')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(name='cli') as d:
            define_all(d)
            d.start()
            for fn in (help_of_every_verb, usage_errors, daemon_not_there, invoke_synchronously, invoke_asynchronously, refusals,
                       lists_and_shows, logs_of_a_function, status_tells_what_runs, queue_visibility, reload_keeps_the_good,
                       reload_by_sighup, others_are_refused, daemon_needs_root):
                if not tests.run(f'cli_{fn.__name__}', fn, d):
                    print(d.log_tail(10), end='', flush=True)
    tests.run('cli_leaves_nothing', all_with_one_daemon)
    tests.run('cli_bad_file_at_start', bad_file_at_start)
    tests.end()


if __name__ == '__main__':
    main()
