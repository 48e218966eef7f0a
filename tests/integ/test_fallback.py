#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Without eBPF: what a daemon does that was told to, and the message of one that was not."""
import os, subprocess
import fated
from fated import Fated, Tests, equal, until


def takes_over_from_ebpf():
    """The programs of the daemon before are detached; what ran is taken up; records say who saw them."""
    with Fated(name='fallback') as d:
        log = f'{d.work}/starts'
        d.define('waits', [fated.DIE, 'wait'], Timeout=60 * fated.FACTOR, retries=1, delays=[0], variables={'DIE_STARTS': log},
                 on_failure='queue:out')
        d.define('fine', [fated.DIE, 'exit', '0'])
        d.start()
        request_id = d.accept('waits', {})
        until(lambda: os.path.exists(log) and open(log).read(), 'the function runs')
        d.kill9()
        if not d.pins():
            raise AssertionError('a killed daemon left no pins')
        d.config['Observer'] = 'fallback'
        d.restart()
        equal(d.pins(), [], 'pins')
        until(lambda: len(open(log).read().split('\n')) - 1 == 2, 'it is started again')
        status = d.get('/fate/v1/status')
        equal(status['observer'], {'mode': 'fallback'}, 'observer')
        equal('processes' in status['law'], False, 'a law of processes without anybody who sees them')
        d.request('POST', f'/fate/v1/events/{request_id}/cancel')
        attempts = d.wait(request_id)['fate']['attempts']
        equal([(a['verdict'], a['observer']) for a in attempts], [('Interrupted', 'fallback'), ('Cancelled', 'fallback')],
              'attempts')
        [fine] = d.wait(d.accept('fine', {}))['fate']['attempts']
        equal((fine['verdict'], fine['witness'], fine['observer']), ('Success', 'wait', 'fallback'), 'attempt')


def is_never_taken_by_itself():
    """A host that does not let us load programs: the daemon does not start, and says what would help."""
    with Fated(name='fallback') as d:
        # Without the capabilities the kernel wants: root by name only.
        drop = ['setpriv', '--bounding-set=-sys_admin,-bpf,-perfmon', '--inh-caps=-sys_admin,-bpf,-perfmon']
        p = subprocess.run(drop + d.argv(), capture_output=True, text=True, timeout=fated.PATIENCE)
        equal(p.returncode, 1, f'exit status\n{p.stderr}')
        for word in ('cannot start: observer: ', 'CAP_SYS_ADMIN', 'Operation not permitted', '"Observer": "fallback"'):
            if word not in p.stderr:
                raise AssertionError(f'"{word}" is not in: {p.stderr}')


def main():
    tests = Tests()
    tests.run('fallback_takes_over_from_ebpf', takes_over_from_ebpf)
    tests.run('fallback_is_never_taken_by_itself', is_never_taken_by_itself)
    tests.end()


if __name__ == '__main__':
    main()
