#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fatectl doctor on this host: with a daemon, without one, with a sick one; as root and as somebody else. What the host
itself is like differs, so of the host's findings only that they are there is checked; tests/unit/test_ctl_doctor.c
has every kind of host."""
import json, os, pty, re, shutil, signal, subprocess
import fated
from fated import Fated, Tests, equal, until

OK, USAGE, FAILED = 0, 2, 5
HOST = ['kernel', 'kernel BTF', 'lockdown', 'bpffs', 'cgroup v2', 'clock', 'clock source', 'core dumps', 'privileges',
        'socket group', 'daemon', 'pins', 'store directory', 'store file system', 'store space']
DAEMON = ['version', 'observer', 'kernel records', 'OOM hook', 'limits', 'witnesses', 'store', 'definitions',
          "definitions' owner", 'open files']
NOBODY = 65534


def doctor(d, *args):
    """({check: [finding]}, exit status) of --json, which must be the array that is promised."""
    p = d.ctl('doctor', '--json', *args)
    return parse(p), p.returncode


def parse(p):
    equal(p.stderr, '', 'stderr of doctor')
    found = {}
    for f in json.loads(p.stdout):
        equal(sorted(f), ['check', 'found', 'remedy', 'status'], 'members of a finding')
        if f['status'] not in ('ok', 'warn', 'fail') or not f['found'] or (f['status'] == 'ok') != (f['remedy'] is None):
            raise AssertionError(f'finding {f}')
        found.setdefault(f['check'], []).append(f)
    failed = any(f['status'] == 'fail' for fs in found.values() for f in fs)
    equal(p.returncode, FAILED if failed else OK, f'exit status with {found}')
    return found


def one(found, check, status, *parts):
    fs = found.get(check, [])
    for f in fs:
        if f['status'] == status and all(part in f'{f["found"]} -> {f["remedy"]}' for part in parts):
            return f
    raise AssertionError(f'no {status} of {check!r} with {parts}: {fs}')


def all_is_well(d):
    found, status = doctor(d)
    equal([c for c in HOST + DAEMON if c not in found], [], 'checks that are missing')
    equal((status, [f for fs in found.values() for f in fs if f['status'] == 'fail']), (OK, []), 'what fails')
    one(found, 'daemon', 'ok', f'pid {d.process.pid}')
    one(found, 'version', 'ok')
    one(found, 'pins', 'ok', f'{d.dir}/bpf', 'layout 2')
    one(found, 'bpffs', 'ok', d.dir)
    one(found, 'store directory', 'ok', f'{d.dir}/state')
    one(found, 'definitions', 'ok', '1 functions', f'{d.dir}/functions.d')
    one(found, "definitions' owner", 'ok')
    one(found, 'kernel records', 'ok')
    one(found, 'witnesses', 'ok')
    # What the daemon says of its limits and what the host's look said are the same.
    for name, c in d.get('/fate/v1/status')['launcher']['controllers'].items():
        one(found, f'controller {name}', 'ok' if c['enabled'] else 'warn')


def text_for_people(d):
    p = d.ctl('doctor', check=OK)
    lines = p.stdout.splitlines()
    marks = [line[:4] for line in lines if re.match(r'(ok  |warn|FAIL)  \S', line)]
    remedies = [line for line in lines if re.match(r' +-> \S', line)]
    found, _ = doctor(d)
    n = {s: sum(f['status'] == s for fs in found.values() for f in fs) for s in ('ok', 'warn', 'fail')}
    equal((marks.count('ok  '), marks.count('warn'), len(remedies)), (n['ok'], n['warn'], n['warn']), 'lines')
    equal(lines[-1], f'{n["ok"]} ok, {n["warn"]} to look at, 0 failed', 'last line')
    if '\033' in p.stdout:
        raise AssertionError('colours in a pipe')
    d.ctl('doctor', 'now', check=USAGE)


def on_a_terminal(d, env):
    master, slave = pty.openpty()
    p = subprocess.Popen([os.path.join(fated.BUILD, 'fatectl'), 'doctor'], stdin=slave, stdout=slave, stderr=slave,
                         env={k: v for k, v in os.environ.items() if k != 'NO_COLOR'} | {'FATED_SOCKET': d.socket,
                             'TERM': 'xterm'} | env)
    os.close(slave)
    text = b''
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:         # how Linux says that the other side has gone
            break
        if not chunk:
            break
        text += chunk
    os.close(master)
    equal(p.wait(fated.PATIENCE), OK, 'exit status')
    return text


def colours(d):
    if b'\033[32mok  \033[0m  kernel' not in on_a_terminal(d, {}):
        raise AssertionError('no colour on a terminal')
    for env in ({'NO_COLOR': '1'}, {'TERM': 'dumb'}):
        text = on_a_terminal(d, env)
        if b'\033' in text or b'ok    kernel' not in text:
            raise AssertionError(f'{env}: {text!r}')


def bad_definitions(d):
    directory = f'{d.dir}/functions.d'
    d.definition('bad.json', '{"FunctionName": "bad", ')
    d.ctl('reload', check=4)
    one(doctor(d)[0], 'definitions', 'warn', '1 problems', 'fatectl reload')
    os.unlink(f'{directory}/bad.json')
    d.ctl('reload', check=OK)
    mode = os.stat(directory).st_mode & 0o7777
    os.chmod(directory, 0o777)
    found, status = doctor(d)
    os.chmod(directory, mode)
    one(found, "definitions' owner", 'fail', f'chmod o-w {directory}')
    equal(status, FAILED, 'exit status')
    os.chmod(f'{directory}/good.json', 0o646)
    one(doctor(d)[0], "definitions' owner", 'fail', f'chmod o-w {directory}/good.json')
    os.chmod(f'{directory}/good.json', 0o644)
    one(doctor(d)[0], "definitions' owner", 'ok')


def few_open_files(d):
    soft, hard = subprocess.run(['prlimit', f'--pid={d.process.pid}', '--nofile', '--raw', '--noheadings', '-o',
                                 'SOFT,HARD'], capture_output=True,
                                text=True, check=True).stdout.split()
    limit = lambda n: subprocess.run(['prlimit', f'--pid={d.process.pid}', f'--nofile={n}:{hard}'], check=True)
    limit(400)
    found, status = doctor(d)
    limit(soft)
    one(found, 'open files', 'warn', 'may have 400', 'MaxConcurrency 50', 'LimitNOFILE=428')
    equal(status, OK, 'exit status with nothing but warnings')


def lost_pins(d):
    os.rename(f'{d.dir}/bpf/fate_count', f'{d.dir}/bpf/lost')
    found, status = doctor(d)
    os.rename(f'{d.dir}/bpf/lost', f'{d.dir}/bpf/fate_count')
    one(found, 'pins', 'fail', '1 of its maps', 'fate_count')
    equal(status, FAILED, 'exit status')
    one(doctor(d)[0], 'pins', 'ok')


def as_somebody_else(d):
    ctl = shutil.copy(os.path.join(fated.BUILD, 'fatectl'), d.work)

    def drop():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    p = subprocess.run([ctl, 'doctor', '--json'], preexec_fn=drop, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                       cwd='/', env=dict(os.environ, FATED_SOCKET=d.socket), timeout=fated.PATIENCE)
    found = parse(p)
    one(found, 'daemon', 'warn', 'ermission denied', 'sudo fatectl doctor')
    one(found, 'socket group', 'warn', 'usermod -aG fated')
    one(found, 'privileges', 'ok', f'uid {NOBODY}')
    equal([c for c in HOST if c not in found], [], 'checks that are missing')


def a_stopped_daemon(d):
    """It is there and does not answer: said, not waited for without end."""
    d.process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: open(f'/proc/{d.process.pid}/stat').read().rsplit(')', 1)[1].split()[0] == 'T', 'the daemon is stopped')
        found, status = doctor(d)
    finally:
        d.process.send_signal(signal.SIGCONT)
    one(found, 'daemon', 'fail', 'no answer from', 'stopped process')
    equal(status, FAILED, 'exit status')


def without_a_daemon(d):
    socket = f'{d.dir}/run/fated.sock'
    equal(os.path.exists(socket), False, 'the socket is there')
    found, status = doctor(d)
    equal([c for c in HOST if c not in found], [], 'checks that are missing')
    equal([c for c in DAEMON if c in found and c != "definitions' owner"], [], 'checks of a daemon that does not run')
    one(found, 'daemon', 'fail', socket, 'systemctl start fated')
    equal(status, FAILED, 'exit status')
    p = d.ctl('doctor', check=FAILED)
    if not re.search(r'^FAIL  daemon +cannot connect', p.stdout, re.M):
        raise AssertionError(f'text:\n{p.stdout}')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(config={'MaxConcurrency': 50}, name='doctor') as d:
            d.define('good', [fated.DIE, 'exit', '0'])
            tests.run('doctor_without_a_daemon', without_a_daemon, d)
            d.start()
            for fn in (all_is_well, text_for_people, colours, bad_definitions, few_open_files, lost_pins, as_somebody_else,
                       a_stopped_daemon, all_is_well):
                tests.run(f'doctor_{fn.__name__}', fn, d)
            d.terminate()
            tests.run('doctor_without_a_daemon', without_a_daemon, d)
    tests.run('doctor_leaves_nothing', all_with_one_daemon)
    tests.end()


if __name__ == '__main__':
    main()
