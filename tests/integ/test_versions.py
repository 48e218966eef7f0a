#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Versions and aliases against the real daemon: what is published stays as it is, over reloads and the daemon's death; what an
alias stands for is decided when an event is accepted."""
import collections, json, os
import fated
from fated import Fated, Tests, equal, until

OK, REFUSED = 0, 4
ARN = 'arn:aws:lambda:us-east-1:000000000000:function:'
EVENTS = 400


def define(d, word, **more):
    """A function that answers with a word."""
    d.define('say', [d.script(f'say-{word}', f'#!/bin/sh\necho \'"{word}"\'\n')], on_success='queue:said', **more)
    d.ctl('reload', check=OK)


def api(d, method, path, body=None):
    return d.request(method, '/2015-03-31/functions/say' + path, json.dumps(body) if body is not None else None)


def said(d, qualifier=''):
    a = d.invoke('say' + (':' + qualifier if qualifier else ''), {})
    equal(a.status, 200, f'status of say:{qualifier} ({a})')
    return a.json(), a.headers['X-Amz-Executed-Version']


def published_stays(d):
    define(d, 'one', Description='the first')
    a = api(d, 'POST', '/versions', {})
    equal((a.status, a.json()['Version'], a.json()['FunctionArn'], a.json()['Description']), (201, '1', ARN + 'say:1', 'the first'),
          'first')
    again = api(d, 'POST', '/versions', {'Description': 'nothing has changed'})
    equal((again.status, again.json()), (201, a.json()), 'nothing changed: the same version')
    define(d, 'two')
    equal(d.ctl('function', 'publish', 'say', '--description', 'second', check=OK).stdout, '2\n', 'second')
    define(d, 'three')
    want = {'': ('three', '$LATEST'), '$LATEST': ('three', '$LATEST'), '1': ('one', '1'), '2': ('two', '2')}
    for kill in (False, True):
        if kill:
            d.kill9()
            d.restart()
        for qualifier, answer in want.items():
            equal(said(d, qualifier), answer, f'say:{qualifier}')
        listed = api(d, 'GET', '/versions').json()['Versions']
        equal([(v['Version'], v['Description']) for v in listed], [('$LATEST', ''), ('1', 'the first'), ('2', 'second')],
              'versions')
        equal(listed[1]['RevisionId'], a.json()['RevisionId'], 'RevisionId')
    a = d.invoke('say:3', {})
    equal((a.status, a.json()), (404, {'Type': 'User', 'Message': f'Function not found: {ARN}say:3'}), 'no such version')
    if 'second' not in d.ctl('function', 'versions', 'say', check=OK).stdout:
        raise AssertionError('function versions lacks a description')


def the_version_of_an_event_is_kept(d):
    """It waits for its retry while its alias moves on: it stays with what it was accepted for."""
    flag = os.path.join(d.work, 'mended')
    d.define('keep', [d.script('keep-1', f'#!/bin/sh\n[ -e {flag} ] && echo 1\n')], retries=1, delays=[3600])
    d.ctl('reload', check=OK)
    d.ctl('function', 'publish', 'keep', check=OK)
    d.ctl('alias', 'set', 'keep', 'prod', '--version', '1', check=OK)
    request_id = d.accept('keep:prod', {})
    until(lambda: d.get(f'/fate/v1/events/{request_id}')['state'] == 'waiting', 'its first attempt fails')
    d.define('keep', [d.script('keep-2', '#!/bin/sh\necho 2\n')])
    d.ctl('reload', check=OK)
    d.ctl('function', 'publish', 'keep', check=OK)
    d.ctl('alias', 'set', 'keep', 'prod', '--version', '2', check=OK)
    equal(d.invoke('keep:prod', {}).json(), 2, 'prod now')
    open(flag, 'w').close()
    d.kill9()
    d.restart()
    equal(d.get(f'/fate/v1/events/{request_id}')['version'], '1', 'its version')
    record = json.loads(d.ctl('event', 'retry', request_id, '--wait', check=OK).stdout)
    equal((record['responsePayload'], record['responseContext']['executedVersion'], record['requestContext']['functionArn']),
          (1, '1', ARN + 'keep:prod'), 'what ran')


def aliases(d):
    a = api(d, 'POST', '/aliases', {'Name': 'prod', 'FunctionVersion': '1', 'Description': 'x'})
    equal((a.status, a.json()['AliasArn'], a.json()['FunctionVersion']), (201, ARN + 'say:prod', '1'), 'made')
    equal(said(d, 'prod'), ('one', '1'), 'say:prod')
    b = api(d, 'POST', '/aliases', {'Name': 'prod', 'FunctionVersion': '2'})
    equal((b.status, b.json()), (409, {'Type': 'User', 'message': f'Alias already exists: {ARN}say:prod'}), 'again')
    equal(said(d, 'prod'), ('one', '1'), 'say:prod, still')
    b = api(d, 'PUT', '/aliases/prod', {'FunctionVersion': '2', 'RevisionId': 'wrong'})
    equal(b.status, 412, 'a stale RevisionId')
    b = api(d, 'PUT', '/aliases/prod', {'FunctionVersion': '2', 'RevisionId': a.json()['RevisionId']})
    equal((b.status, b.json()['Description']), (200, 'x'), 'changed')
    if b.json()['RevisionId'] == a.json()['RevisionId']:
        raise AssertionError('a change without a new RevisionId')
    d.kill9()
    d.restart()
    equal(api(d, 'GET', '/aliases/prod').json(), b.json(), 'after a death of the daemon')
    equal(said(d, 'prod'), ('two', '2'), 'say:prod')
    equal(api(d, 'DELETE', '/aliases/prod').status, 204, 'deleted')
    equal(api(d, 'DELETE', '/aliases/prod').status, 204, 'deleted again')
    equal(d.invoke('say:prod', {}).status, 404, 'and gone')


def weights(d):
    """A tenth of the events. The bounds are six standard deviations away."""
    d.ctl('alias', 'set', 'say', 'canary', '--version', '1', '--also', '2=0.1', check=OK)
    count = collections.Counter(said(d, 'canary')[1] for _ in range(EVENTS))
    if set(count) != {'1', '2'} or abs(count['2'] - EVENTS / 10) > 6 * (EVENTS * .1 * .9) ** .5:
        raise AssertionError(f'of {EVENTS} events: {count}')
    d.ctl('alias', 'set', 'say', 'canary', '--version', '1', check=OK)
    equal({said(d, 'canary')[1] for _ in range(50)}, {'1'}, 'without --also')
    p = d.ctl('alias', 'set', 'say', 'canary', '--version', '9', check=REFUSED)
    if f'Function not found: {ARN}say:9' not in p.stderr:
        raise AssertionError(p.stderr)


def without_a_definition(d):
    """No definition, no version; they come back with it."""
    os.unlink(f'{d.dir}/functions.d/say.json')
    d.ctl('reload', check=OK)
    equal(d.invoke('say:1', {}).status, 404, 'say:1')
    equal(api(d, 'GET', '/versions').status, 404, 'versions')
    define(d, 'four')
    equal(said(d, '1'), ('one', '1'), 'say:1 again')
    equal(api(d, 'POST', '/versions', {}).json()['Version'], '3', 'the next number')


def shown(d):
    """What a version is, and what an alias leads to."""
    d.define('shown', ['/bin/echo', '1'])
    d.ctl('reload', check=OK)
    d.ctl('function', 'publish', 'shown', check=OK)
    d.ctl('alias', 'set', 'shown', 'live', '--version', '1', check=OK)
    d.define('shown', ['/bin/echo', '2'])
    d.ctl('reload', check=OK)
    equal([d.get(f'/fate/v1/functions/shown{q}')['Command'][1] for q in ('', ':$LATEST', ':1', ':live')], ['2', '2', '1', '1'],
          'commands')
    equal(d.get('/fate/v1/functions/shown:live')['Version'], '1', 'version')
    a = d.request('GET', '/fate/v1/functions/shown:99')
    equal((a.status, a.json()['Message']), (404, 'Function not found: arn:aws:lambda:us-east-1:000000000000:function:shown:99'),
          'one that is not there')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(name='versions') as d:
            d.start()
            for fn in (published_stays, the_version_of_an_event_is_kept, aliases, weights, shown, without_a_definition):
                if not tests.run(f'versions_{fn.__name__}', fn, d):
                    print(d.log_tail(10), end='', flush=True)
    tests.run('versions_leave_nothing', all_with_one_daemon)
    tests.end()


if __name__ == '__main__':
    main()
