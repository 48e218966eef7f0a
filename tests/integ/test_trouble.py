#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The store in trouble, by real means: a small file system that fills up, one that turns read-only and comes back, a file
that is overwritten or cut, one that another daemon has. New events are refused with the reason, what runs is supervised, the
daemon says so to whoever asks, and goes on by itself when it can. None of what was accepted is lost or ends twice."""
import contextlib, json, os, select, socket, subprocess
import fated
from fated import Fated, Skip, Tests, alive, equal, until


class Manager:
    """The service manager's end of sd_notify."""
    def __init__(self, d):
        self.path = f'{d.dir}/notify'
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.setblocking(False)
        self.said = []

    def __enter__(self):
        os.environ['NOTIFY_SOCKET'] = self.path
        return self

    def __exit__(self, *_):
        del os.environ['NOTIFY_SOCKET']
        self.sock.close()

    def status(self):
        """The last one; all that came in order is in self.said."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said += self.sock.recv(65536).decode().splitlines()
        return next((line[7:] for line in reversed(self.said) if line.startswith('STATUS=')), '')


def mount(d, *args):
    p = subprocess.run(['mount', *args, f'{d.dir}/state'], capture_output=True, text=True)
    if p.returncode:
        raise Skip(f'mount {" ".join(args)}: {p.stderr.strip()}')
    os.chmod(f'{d.dir}/state', 0o700)


def image(d, path, *options, megabytes=64):
    """A file system of its own on a loop device; where there are none, a skip."""
    with open(path, 'w') as f:
        f.truncate(megabytes << 20)
    subprocess.run(['mke2fs', '-q', '-F', '-t', 'ext4', '-E', 'lazy_itable_init=1,nodiscard', *options, path], check=True)
    mount(d, '-o', 'loop', path)


def fill(path):
    with contextlib.suppress(OSError), open(path, 'wb', buffering=0) as f:
        for size in (65536, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    f.write(b'x' * size)


def script_gate(d):
    """A function that goes on when its file is there: {dir}/NAME for the event {"wait": NAME}."""
    return d.script('gate', f'''#!/bin/sh
n=$(sed 's/.*: *"//; s/".*//')
: >{d.work}/$n.started
until [ -e {d.work}/$n ]; do sleep 0.05; done
echo "$n"
''')


def touch(path):
    with open(path, 'w'):
        pass


def define(d):
    d.define('gate', [script_gate(d)], Timeout=300, on_success='queue:out')
    d.define('hangs', [fated.DIE, 'wait'], Timeout=1 * fated.FACTOR, on_failure='queue:out')
    d.define('fine', [fated.DIE, 'exit', '0'], on_success='queue:out')


def started(d, name):
    request_id = d.accept('gate', {'wait': name})
    until(lambda: os.path.exists(f'{d.work}/{name}.started'), f'{name} runs')
    return request_id


class Limbo:
    """An event that was not answered, since its commit failed: it is tried again until it is known what became of it."""
    def __init__(self, conn):
        self.conn = conn

    def accepted(self, status=None):
        a = fated.Answer(r := self.conn.getresponse(), r.read())
        equal(a.status in ((status,) if status else (202, 503)), True, f'status of the event whose commit failed at first: {a}')
        equal(a.status == 503, b'is not known whether' in a.body, f'what is said of it: {a}')
        return a.headers['x-amzn-RequestId']


def refused(d, accepted):
    """Sends events until one is refused. What was taken until then goes to the list. (the refusal, the ones not answered)"""
    limbo = []

    def ask():
        c = d.connect()
        c.request('POST', '/2015-03-31/functions/fine/invocations', '{}', {'X-Amz-Invocation-Type': 'Event'})
        if not select.select([c.sock], [], [], 2 * fated.FACTOR)[0]:
            limbo.append(Limbo(c))
            return None
        with contextlib.closing(c):
            a = fated.Answer(r := c.getresponse(), r.read())
        if a.status == 202:
            accepted.append(a.headers['x-amzn-RequestId'])
        return a if a.status != 202 else None
    return until(ask, 'a new event is refused'), limbo


def taken_again(d, accepted):
    def ask():
        a = d.invoke('fine', {}, 'Event')
        if a.status == 202:
            accepted.append(a.headers['x-amzn-RequestId'])
        return a.status == 202
    until(ask, lambda: f'events are accepted again\n{d.log_tail()}')


def check_doubt(d, m, answer, *words):
    """What everybody hears of it."""
    equal(answer.status, 503, f'status of {answer}')
    text = answer.body.decode()
    for w in words:
        if w not in text:
            raise AssertionError(f'"{w}" is not in the refusal {text}')
    until(lambda: 'store in doubt' in m.status() and words[0] in m.status(), lambda: f'STATUS says so: {m.status()}')
    a = d.request('GET', '/fate/v1/status')
    equal(a.status, 200, 'status of the status')
    equal('inDoubtSeconds' in a.json()['store'], True, f'the store in {a.json()["store"]}')
    a = d.request('GET', '/fate/v1/health')
    equal((a.status, a.json()['status']), (503, 'in doubt'), 'health')
    if words[0] not in a.json()['reason']:
        raise AssertionError(f'"{words[0]}" is not in the reason of {a}')


def check_recovered(d, m, accepted):
    until(lambda: 'in doubt' not in m.status(), lambda: f'STATUS says so: {m.status()}')
    equal(d.request('GET', '/fate/v1/health').status, 200, 'health')
    if 'recovered after ' not in open(d.stderr).read():
        raise AssertionError(f'the log does not say that it recovered\n{d.log_tail()}')
    d.until_all_ended()
    for request_id in accepted:
        equal(len(d.get(f'/fate/v1/events/{request_id}')['attempts']), 1, f'attempts of {request_id}')
    ended = sorted(x['body']['requestContext']['requestId'] for x in d.drain('out'))
    equal(ended, sorted(accepted), 'the events that ended')


def trouble(d, begin, end, *words, patient=False):
    """Functions run, end and time out while the store is in trouble."""
    define(d)
    with Manager(d) as m:
        d.start()
        before, during = started(d, 'before'), started(d, 'during')
        hangs = d.accept('hangs', {})
        pids = until(lambda: len(p := fated.processes_below(d.group)) >= 3 and p, 'three functions run')
        accepted = [before, during, hangs]
        begin()
        answer, limbo = refused(d, accepted)
        check_doubt(d, m, answer, *words)
        # The deadline is kept, and the end is seen, though nobody can write it down.
        touch(f'{d.work}/during')
        until(lambda: sum(map(alive, pids)) <= 2, lambda: f'one has ended, one was killed at its deadline: {pids}')
        equal(d.invoke('fine', {}, 'Event').status, 503, 'an event while in doubt')
        if patient:     # after a while they are told that it is not known; it is done all the same
            equal(len(limbo) > 0, True, 'events whose commit failed')
            accepted += [x.accepted(503) for x in limbo]
            limbo = []
        end()
        taken_again(d, accepted)
        accepted += [x.accepted() for x in limbo]
        touch(f'{d.work}/before')
        check_recovered(d, m, accepted)
        equal([a['verdict'] for a in d.get(f'/fate/v1/records/{hangs}')['fate']['attempts']], ['Timeout'], 'verdicts')
        d.terminate()
        until(lambda: 'STOPPING=1' in m.said or m.status() is None, 'it says that it stops')


def disk_full():
    with Fated(name='full') as d:
        mount(d, '-t', 'tmpfs', '-o', 'size=4m', 'fated-test')
        trouble(d, lambda: fill(f'{d.dir}/state/fill'), lambda: os.remove(f'{d.dir}/state/fill'), 'full', patient=True)


def disk_error():
    """The disk below the file system has no room for its blocks (a thin volume): I/O errors, until it has."""
    with Fated(name='eio') as d:
        os.mkdir(f'{d.dir}/thin')
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8m', 'fated-test', f'{d.dir}/thin'], check=True)
        # Without a journal, whose own failure would be the end of this mount.
        image(d, f'{d.dir}/thin/disk', '-O', '^has_journal')
        trouble(d, lambda: fill(f'{d.dir}/thin/fill'), lambda: os.remove(f'{d.dir}/thin/fill'), 'disk I/O error')


def read_only():
    """An ext4 that has given up after an error, as errors=remount-ro has it. It cannot be mended while it is open: the daemon
    is started again afterwards, and goes on with what was accepted."""
    with Fated(name='readonly') as d:
        disk = f'{d.dir}/disk'
        image(d, disk)
        define(d)
        with Manager(d) as m:
            d.start()
            accepted = [started(d, 'before'), d.accept('hangs', {})]
            until(lambda: len(fated.processes_below(d.group)) >= 2, 'two functions run')
            subprocess.run(['mount', '-o', 'remount,abort', f'{d.dir}/state'], capture_output=True)
            until(lambda: not writable(f'{d.dir}/state'), 'it is read-only')
            answer, _ = refused(d, accepted)
            check_doubt(d, m, answer, 'fated.db')
            d.kill9()
        subprocess.run(['umount', f'{d.dir}/state'], check=True)
        p = subprocess.run(['e2fsck', '-fy', disk], capture_output=True, text=True)
        equal(p.returncode in (0, 1), True, f'e2fsck: {p.stdout}{p.stderr}')
        mount(d, '-o', 'loop', disk)
        d.start()
        touch(f'{d.work}/before')
        d.until_all_ended()
        for request_id in accepted:
            equal(d.get(f'/fate/v1/records/{request_id}')['requestContext']['requestId'], request_id, 'the record')


def writable(where):
    try:
        touch(f'{where}/try')
        os.remove(f'{where}/try')
        return True
    except OSError:
        return False


def overwritten(how, refused_at_start):
    """The file is not what it was. Who asks learns that, with the file's name; nobody dies, and what runs goes on. (What is
    written meanwhile is not read, so nothing is in doubt by that.) A start that cannot read what it needs refuses, and says
    how to save what can be read; of a file that is too short it may need nothing that is not there."""
    with Fated(name='broken') as d:
        define(d)
        d.start()
        ended = [d.accept('fine', {'fill': 'x' * 3000}) for _ in range(20)]
        for request_id in ended:
            d.wait(request_id)
        d.terminate()           # the log goes into the file: one that is cut is a shorter one, and nobody could tell
        d.start()
        started(d, 'on')
        [pid] = fated.processes_below(d.group)[-1:]
        db = f'{d.dir}/state/fated.db'
        for f in (db, db + '-wal'):
            with open(f, 'r+b') as out:
                how(out, os.path.getsize(f))

        def bad_answer():
            for request_id in ended:
                a = d.request('GET', f'/fate/v1/events/{request_id}')
                if a.status >= 500:
                    return a
            d.invoke('fine', {}, 'Event')       # what a reader has read once is read again after a commit
            return None
        a = until(bad_answer, 'a question is answered with an error')
        if 'fated.db' not in a.body.decode():
            raise AssertionError(f'the file is not named in {a}')
        equal((alive(pid), d.process.poll()), (True, None), 'function and daemon')
        d.kill9()
        if refused_at_start:
            d.spawn()
            equal(d.process.wait(fated.PATIENCE), 1, f'exit status\n{d.log_tail()}')
            log = open(d.stderr).read()
            for word in ('cannot start: store: ', db, 'nothing was deleted or changed', '.recover'):
                if word not in log:
                    raise AssertionError(f'"{word}" is not in the log\n{d.log_tail()}')
        for f in (db, db + '-wal', db + '-shm'):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f, f'{d.work}/{os.path.basename(f)}')
        d.start()
        d.wait(d.accept('fine', {}))


def garbage(out, size):
    out.write(b'\xa5' * size)


def start_refusals():
    """Each with file, reason and what to do about it; and what was there is as it was."""
    with Fated(name='refused') as d:
        define(d)
        db = f'{d.dir}/state/fated.db'

        def refuses(argv, *words):
            p = subprocess.run(argv, capture_output=True, text=True, timeout=fated.PATIENCE)
            equal(p.returncode, 1, f'exit status\n{p.stderr}')
            for word in ('cannot start: store: ', db, *words):
                if word not in p.stderr:
                    raise AssertionError(f'"{word}" is not in: {p.stderr}')
        with open(db, 'wb') as f:
            f.write(b'this is no database' * 1000)
        refuses(d.argv(), '.recover', 'nothing was deleted')
        equal(os.path.getsize(db), 19000, 'size of the file')
        os.remove(db)
        d.start()
        d.wait(d.accept('fine', {}))
        other = [a for a in d.argv() if not a.startswith(('--RunDirectory', '--BpfDirectory', '--CgroupRoot'))]
        other += [f'--RunDirectory={d.dir}/run2', f'--BpfDirectory={d.dir}/bpf2', f'--CgroupRoot={d.group}-2']
        refuses(other, f'(pid {d.process.pid})', 'StateDirectory of its own')
        d.wait(d.accept('fine', {}))
        d.terminate()
        subprocess.run(['mount', '--bind', f'{d.dir}/state', f'{d.dir}/state'], check=True)
        subprocess.run(['mount', '-o', 'remount,bind,ro', f'{d.dir}/state'], check=True)
        refuses(d.argv(), 'Read-only file system', 'mount the file system writable')
        subprocess.run(['umount', f'{d.dir}/state'], check=True)
        d.start()
        equal(d.request('GET', '/fate/v1/health').status, 200, 'health')


def main():
    tests = Tests()
    tests.run('trouble_disk_full', disk_full)
    tests.run('trouble_disk_error', disk_error)
    tests.run('trouble_read_only', read_only)
    tests.run('trouble_overwritten', overwritten, garbage, True)
    tests.run('trouble_cut', overwritten, lambda out, size: out.truncate(size // 4096 // 2 * 4096), False)
    tests.run('trouble_start_refusals', start_refusals)
    tests.end()


if __name__ == '__main__':
    main()
