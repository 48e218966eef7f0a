#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Re-invocation by verdict, against the real daemon: which deaths are tried again, how often, with what change."""

import fated
from fated import Fated, Tests, equal

T = 0.25 * fated.FACTOR


def attempts(d, name):
    """[(verdict, timeout in ms)] of an event's attempts, its record, and that they do not overlap."""
    record = d.wait(d.accept(name, {}))
    a = record['fate']['attempts']
    for x, y in zip(a, a[1:]):
        if x['kernelEndUs'] > y['kernelStartUs']:
            raise AssertionError(f'attempts overlap: {x}, {y}')
    return [(x['verdict'], x['timeoutMs']) for x in a], record


def longer_after_a_timeout(d):
    """A function that needs more time than it has gets twice as much, once."""
    sh = f'[ -n "$FATE_PREVIOUS_VERDICT" ] && echo "\\"$FATE_PREVIOUS_VERDICT\\"" || exec {fated.DIE} wait'
    d.define('slow', ['/bin/sh', '-c', sh], Timeout=T,
             RetryPolicy={'Timeout': {'Attempts': 1, 'TimeoutFactor': 2, 'DelaysInSeconds': [0]}})
    d.ctl('reload', check=0)
    got, record = attempts(d, 'slow')
    equal(got, [('Timeout', round(T * 1000)), ('Success', round(T * 2000))], 'attempts')
    equal(record['responsePayload'], 'Timeout', 'what the second run was told')


def as_often_as_its_row_says(d):
    """Counted by itself: whatever MaximumRetryAttempts is, and capped."""
    d.define('hangs', [fated.DIE, 'wait'], Timeout=T, retries=0,
             RetryPolicy={'Timeout': {'Attempts': 2, 'TimeoutFactor': 3, 'TimeoutMax': 2 * T, 'DelaysInSeconds': [0, 0.05]}})
    d.define('crashes', [fated.DIE, 'exit', '3'], retries=1, delays=[0], RetryPolicy={'Timeout': {'Attempts': 9}})
    d.ctl('reload', check=0)
    got, record = attempts(d, 'hangs')
    equal(got, [('Timeout', round(T * 1000)), ('Timeout', round(T * 2000)), ('Timeout', round(T * 2000))], 'attempts')
    equal(record['requestContext']['condition'], 'RetriesExhausted', 'condition')
    equal(record['requestContext']['approximateInvokeCount'], 3, 'count')
    equal([v for v, _ in attempts(d, 'crashes')[0]], ['Crash', 'Crash'], 'attempts without a row')


def at_once(d):
    """Attempts 0, and programs that cannot be executed."""
    d.define('dies', [fated.DIE, 'raise', '11'], retries=2, delays=[0], RetryPolicy={'Signal': {'Attempts': 0}},
             Rlimits={'CORE': 0})
    d.define('missing', [f'{d.work}/no-such-program'], retries=2, delays=[0])
    d.define('hopes', [f'{d.work}/no-such-program'], retries=0, RetryPolicy={'ExecFailed': {'Attempts': 1, 'DelaysInSeconds': [0]}})
    d.ctl('reload', check=0)
    equal([v for v, _ in attempts(d, 'dies')[0]], ['Signal'], 'attempts')
    equal([v for v, _ in attempts(d, 'missing')[0]], ['ExecFailed'], 'attempts')
    equal([v for v, _ in attempts(d, 'hopes')[0]], ['ExecFailed', 'ExecFailed'], 'attempts')


def mixed_deaths(d):
    """Each verdict has its own count; those without a row share MaximumRetryAttempts."""
    sh = f'case $FATE_ATTEMPT in 1) exec {fated.DIE} raise 9;; 2) exit 4;; 3) exec {fated.DIE} raise 9;; *) echo 1;; esac'
    d.define('mixed', ['/bin/sh', '-c', sh], retries=2, delays=[0], RetryPolicy={'Signal': {'Attempts': 2, 'DelaysInSeconds': [0]}})
    d.ctl('reload', check=0)
    equal([v for v, _ in attempts(d, 'mixed')[0]], ['Signal', 'Crash', 'Signal', 'Success'], 'attempts')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(name='policy') as d:
            d.start()
            for fn in (longer_after_a_timeout, as_often_as_its_row_says, at_once, mixed_deaths):
                tests.run(f'policy_{fn.__name__}', fn, d)
    tests.run('policy_leaves_nothing', all_with_one_daemon)
    tests.end()


if __name__ == '__main__':
    main()
