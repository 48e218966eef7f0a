#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a person watches: the law of conservation on screen and what a real drift looks like, top and --watch on a
terminal (a pty: pictures, keys, colours, and the terminal given back on every way out), a daemon that goes and comes."""
import fcntl, json, os, pty, re, resource, select, signal, struct, subprocess, termios
import fated
from fated import Fated, Tests, equal, until

OK, UNREACHABLE, DRIFT = 0, 3, 6
CTL = os.path.join(fated.BUILD, 'fatectl')
ENTER, LEAVE, HOME = '\033[?1049h', '\033[?1049l', '\033[H'
UNBALANCED = 'the books of processes do not balance'


def contains(text, part, what):
    if part not in text:
        raise AssertionError(f'{what} has no {part!r}:\n{text}')


class Terminal:
    """A program on a terminal of its own; the other end is read here."""
    def __init__(self, d, *argv, rows=24, **env):
        self.master, self.slave = pty.openpty()
        self.size(rows)
        self.before = termios.tcgetattr(self.slave)
        self.got = b''

        def child():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))        # one is aborted on purpose
        more = {k: v for k, v in os.environ.items() if k != 'NO_COLOR'}
        self.process = subprocess.Popen(argv, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
                                        preexec_fn=child,
                                        env=more | {'FATED_SOCKET': d.socket, 'TERM': 'xterm'} | env)

    def size(self, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, 200, 0, 0))

    def text(self):
        while select.select([self.master], [], [], 0)[0]:
            self.got += os.read(self.master, 65536)
        return self.got.decode(errors='replace')

    def picture(self):
        return self.text().rpartition(HOME)[2]

    def see(self, part):
        return until(lambda: part in self.picture() and self.picture(), lambda: f'{part!r} on the screen\n{self.text()!r}')

    def type(self, keys):
        os.write(self.master, keys)

    def cooked(self):
        return termios.tcgetattr(self.slave) == self.before

    def end(self, status):
        """Ends by itself, with everything as it was."""
        def ended():
            self.text()         # a program whose output nobody takes cannot end
            return self.process.poll() is not None
        until(ended, lambda: f'it ends\n{self.text()!r}')
        equal(self.process.returncode, status, 'exit status')
        equal(termios.tcgetattr(self.slave), self.before, "the terminal's state")

    def given_back(self):
        contains(self.text(), ENTER, 'the output')
        equal(self.text().count(ENTER), self.text().count(LEAVE), 'alternate screens left')
        equal(self.text().rpartition('\033[')[2], LEAVE[2:], 'the last thing written')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def wait_running(d, n):
    until(lambda: len(d.get('/fate/v1/status')['environments']) == n, f'{n} environments')


def kill_all(d):
    d.drop_connection()         # it may have idled for longer than the daemon keeps one
    for leaf in d.leaves():
        with open(os.path.join(leaf, 'cgroup.kill'), 'w') as f:
            f.write('1')
    wait_running(d, 0)


# ---- top ---------------------------------------------------------------------------------------------------------
def three(d):
    """The oldest, the largest, the busiest: each its own."""
    for n, name in enumerate(('old', 'fat', 'busy'), 1):
        d.accept(name)
        wait_running(d, n)
        if name == 'fat':
            until(lambda: os.path.exists(d.work + '/large'), 'it is large, and idle from now on')


def order(text):
    return re.findall(r'^(?:\033\[\w)?(old|fat|busy) ', text, re.M)


def top_and_its_keys(d):
    three(d)
    with Terminal(d, CTL, 'top', '--interval', '0.2') as t:
        until(lambda: order(t.picture())[:1] == ['busy'] and len(order(t.picture())) == 3,
              lambda: f'the busiest first\n{t.text()!r}')
        picture = t.see('sorted by   CPU')
        for part in ('\033[1mfatectl top, every 0.2 s, ', 'law         3 accepted = 0 queued + 3 running',
                     ' starts seen by eBPF = ', '] '):
            contains(picture, part, 'the picture')
        equal(t.cooked(), False, 'a terminal as it was before')
        until(lambda: re.search(r'attempts [\d.]+/s, processes [\d.]+/s', t.picture()), 'rates')
        for key, by, first in ((b'm', 'memory', 'fat'), (b'a', 'age', 'old'), (b'c', 'CPU', 'busy')):
            t.type(b'xyz' + key)
            t.see(f'sorted by   {by} ')
            until(lambda: order(t.picture())[:1] == [first] and len(order(t.picture())) == 3,
                  lambda: f'{first} first\n{t.text()!r}')
        t.type(b'q')
        t.end(OK)
        t.given_back()


def top_numbers(d):
    """The same on a pipe: one table, no escape sequence."""
    # The busiest is the first as soon as it was given a processor.
    p = until(lambda: (lambda p: order(p.stdout)[:1] == ['busy'] and p)(d.ctl('top', '--once', '--interval', '0.3',
                                                                              check=OK)), 'the busiest first')
    equal('\033' in p.stdout, False, 'escape sequences on a pipe')
    rows = {line.split()[0]: line for line in p.stdout.splitlines() if order(line)}
    equal(sorted(rows), ['busy', 'fat', 'old'], 'functions')
    for name, line in rows.items():
        m = re.fullmatch(rf'{name} +[0-9a-f-]{{36}} +1  busy +[\d.ms ]+/\d+[sm][\d s]* +([\d.]+) +(\d+) ms +([\d.]+[KMG]) '
                         rf'+(\d+) +(\d+)  async', line)
        if not m:
            raise AssertionError(f'a row reads {line!r}')
        equal((m[4], m[5]), ('1', '1'), f'processes and threads of {name}')
    contains(rows['fat'], 'M ', 'the row of who has 32 MB')


def every_way_out(d):
    for how in (b'\x03', b'\x1c', signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        with Terminal(d, CTL, 'top', '--interval', '3600') as t:
            t.see('sorted by')
            t.type(how) if isinstance(how, bytes) else t.process.send_signal(how)
            t.end(OK)
            t.given_back()
    # It dies by a signal that means a bug, and still does not leave a mess.
    with Terminal(d, CTL, 'top', '--interval', '3600') as t:
        t.see('sorted by')
        t.process.send_signal(signal.SIGABRT)
        t.end(-signal.SIGABRT)
        t.given_back()


def interrupted_while_the_daemon_hangs(d):
    with Terminal(d, CTL, 'top', '--interval', '0.1') as t:
        t.see('sorted by')
        d.process.send_signal(signal.SIGSTOP)
        try:
            t.type(b'\x03')
            t.end(OK)
        finally:
            d.process.send_signal(signal.SIGCONT)
        t.given_back()


def stopped_and_continued(d):
    """A shell's job: ^Z gives the terminal back to the shell, fg takes it again."""
    program = f'{CTL} top --interval 3600; echo "I was stopped"; read -r line; fg; echo "$? at the end"'
    with Terminal(d, 'bash', '--norc', '-ic', program) as t:
        t.see('sorted by')
        t.type(b'\x1a')
        until(lambda: 'I was stopped' in t.text(), lambda: f'the shell goes on\n{t.text()!r}')
        equal(t.text().count(LEAVE), 1, 'alternate screens left')
        until(t.cooked, 'the terminal as it was')
        t.type(b'\n')
        until(lambda: t.text().count(ENTER) == 2, lambda: f'it goes on\n{t.text()!r}')
        until(lambda: not t.cooked(), 'it takes keys')
        t.type(b'q')
        until(lambda: '0 at the end' in t.text(), lambda: f'the end\n{t.text()!r}')
        equal(t.text().count(LEAVE), 2, 'alternate screens left')


def a_new_size(d):
    """A smaller terminal gets a smaller picture at once, and what is cut off is said."""
    with Terminal(d, CTL, 'top', '--interval', '3600') as t:
        equal(re.findall('more lines', t.see('sorted by')), [], 'lines cut off')
        t.size(5)
        picture = t.see('more lines')
        equal(picture.count('\n'), 4, 'line breaks of a picture of five lines')
        t.size(24)
        until(lambda: 'more lines' not in t.picture() and len(order(t.picture())) == 3, 'the whole picture')
        t.type(b'q')
        t.end(OK)


# ---- --watch -----------------------------------------------------------------------------------------------------
def watched_over_a_restart(d):
    kill_all(d)         # a daemon that ends in good order waits for what runs
    with Terminal(d, CTL, 'event', 'list', '--watch=0.1', '--limit', '1') as t:
        picture = t.see('REQUEST ID')
        contains(picture, '\033[1mfatectl event list --limit 1, every 0.1 s, ', 'the picture')
        t.see('there are more: --before')        # what goes to stderr has its place
        d.terminate()
        contains(t.see('daemon is gone, waiting'), 'REQUEST ID', 'the picture of who waits')
        d.start()
        until(lambda: 'gone' not in t.picture() and 'REQUEST ID' in t.picture(), lambda: f'it goes on\n{t.text()!r}')
        t.type(b'\x03')
        t.end(OK)
        t.given_back()


def watched_on_a_pipe(d):
    with subprocess.Popen([CTL, 'status', '--watch=0.1'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, FATED_SOCKET=d.socket)) as p:
        try:
            lines = []
            while sum(line.startswith(b'fated ') for line in lines) < 3:
                lines.append(p.stdout.readline())
                equal(lines[-1] != b'', True, 'more to read')
            p.send_signal(signal.SIGINT)
            equal(p.wait(fated.PATIENCE), OK, 'exit status')
            equal(p.stderr.read(), b'', 'stderr')
        finally:
            p.kill()
    equal(b'\033' in b''.join(lines), False, 'escape sequences on a pipe')
    for n, line in enumerate(lines):
        if n and line.startswith(b'fated '):
            equal(lines[n - 1], b'\n', 'the line between two blocks')


def a_terminal_that_can_do_nothing(d):
    with Terminal(d, CTL, 'status', '--watch=0.1', TERM='dumb') as t:
        until(lambda: t.text().count('fated 0') >= 2, 'two blocks')
        t.type(b'\x03')
        t.end(OK)
        equal('\033' in t.text(), False, 'escape sequences')


# ---- a drift -----------------------------------------------------------------------------------------------------
def a_process_leaves(d):
    """What a function that runs as root can do: its child moves itself out of the leaf and ends where nobody counts it."""
    elsewhere = os.path.join(d.group, 'elsewhere')
    os.mkdir(elsewhere)
    leaver = d.script('leaver', f'#!/bin/sh\necho $$ >{elsewhere}/cgroup.procs\n')
    d.define('leaves', [d.script('leaves', f'#!/bin/sh\n{leaver} &\nwait $!\n')], Timeout=30 * fated.FACTOR)
    d.ctl('reload', check=OK)
    equal(d.ctl('status', check=OK).stdout.count('DRIFT'), 0, 'drifts before')
    equal(d.invoke('leaves', {}).status, 200, 'status')
    # Nobody asks: the daemon finds out by itself.
    until(lambda: UNBALANCED in open(d.stderr).read(), lambda: f'the log says so\n{d.log_tail()}')
    law = json.loads(d.ctl('status', '--json', check=DRIFT).stdout)['law']
    p = law['processes']
    equal((law['holds'], law['events']['holds'], p['holds'], p['drift']), (False, True, False, 1), f'law {law}')
    equal(p['starts'], p['exits'] + p['alive'] + 1, 'starts')
    text = d.ctl('status', check=DRIFT).stdout
    contains(text, f'            {p["starts"]} starts seen by eBPF = {p["exits"]} exits + 0 alive  DRIFT\n            1 '
                   f'started and out of sight: ', 'status')
    contains(d.ctl('top', check=DRIFT).stdout, 'alive  DRIFT\n', 'top')
    until(lambda: not fated.processes_below(elsewhere), 'it is gone')
    os.rmdir(elsewhere)


def colours(d):
    """On a terminal that has them, and nowhere else."""
    red = '\033[1;31mDRIFT\033[0m'
    with Terminal(d, CTL, 'status') as t:
        t.end(DRIFT)
        contains(t.text(), red, 'status')
    for env in ({'NO_COLOR': '1'}, {'TERM': 'dumb'}):
        with Terminal(d, CTL, 'status', **env) as t:
            t.end(DRIFT)
            contains(t.text(), '  DRIFT\r\n', 'status')
            equal('\033' in t.text(), False, f'escape sequences with {env}')
    with Terminal(d, CTL, 'status', NO_COLOR='') as t:
        t.end(DRIFT)
        contains(t.text(), red, 'status')
    # Without colour there are pictures still, and a drift is an exit status here too.
    with Terminal(d, CTL, 'top', NO_COLOR='1') as t:
        equal('\033[1' in t.see('sorted by'), False, 'colours')
        t.type(b'q')
        t.end(DRIFT)
        t.given_back()
    with Terminal(d, CTL, 'status', '--watch') as t:
        t.see(red)
        t.type(b'\x03')
        t.end(DRIFT)
        t.given_back()


def said_once_and_over(d):
    """Audits go on while there is a drift, and the log has it once. A stranger that ends in a watched leaf fills the gap, as
    far as numbers go."""
    d.accept('old')
    wait_running(d, 1)
    [leaf] = d.leaves()
    subprocess.run(['sh', '-c', f'echo $$ >{leaf}/cgroup.procs'], check=True)
    until(lambda: 'the books balance again' in open(d.stderr).read(), lambda: f'the log says so\n{d.log_tail()}')
    equal(d.ctl('status', check=OK).stdout.count('DRIFT'), 0, 'drifts after')
    log = open(d.stderr).read()
    equal((log.count(UNBALANCED), log.count('the books balance again')), (1, 1), 'lines about it')
    contains(log, '0 alive: 1 out of sight', 'the log')
    # One more, and there are more ends than starts: the other way round.
    subprocess.run(['sh', '-c', f'echo $$ >{leaf}/cgroup.procs'], check=True)
    p = until(lambda: (lambda p: p.returncode == DRIFT and p)(d.ctl('status')), 'a drift')
    contains(p.stdout, 'exits + 1 alive  DRIFT\n            1 more than were seen to start: moved into a watched cgroup', 'status')


# ---- without eBPF ------------------------------------------------------------------------------------------------
def fallback():
    with Fated({'Observer': 'fallback'}, name='status') as d:
        d.define('old', [fated.DIE, 'wait'], Timeout=60 * fated.FACTOR)
        d.start()
        d.accept('old')
        wait_running(d, 1)
        text = d.ctl('status', check=OK).stdout
        contains(text, 'law         1 accepted = 0 queued + 1 running + 0 settled + 0 dead-lettered\n'
                       '            processes are not counted: eBPF is switched off (fallback)\n', 'status')
        contains(text, '\nobserver    fallback, ', 'status')
        equal('processes' in json.loads(d.ctl('status', '--json', check=OK).stdout)['law'], False, 'processes in the law')
        text = d.ctl('top', check=OK).stdout
        equal(text.splitlines()[-1].split()[-6:], ['-'] * 5 + ['async'], 'what is not known of it')
        contains(text, 'processes -\n', 'top')
        kill_all(d)


def main():
    tests = Tests()

    def one_daemon(*fns, before=None):
        with Fated(name='status') as d:
            # The shell keeps what it read in a variable: 32 MB, of one process that then waits for ever.
            d.define('fat', ['/bin/bash', '--norc', '-c',
                             f'printf -v x %33554432s; : >{d.work}/large; read -r y <>{d.work}/fifo'], Timeout=100 * fated.FACTOR)
            d.define('old', [fated.DIE, 'wait'], Timeout=100 * fated.FACTOR)
            d.define('busy', [fated.SPIN], Timeout=100 * fated.FACTOR)
            os.mkfifo(d.work + '/fifo')
            d.start()
            for fn in fns:
                if not tests.run(f'status_{fn.__name__}', fn, d):
                    print(d.log_tail(10), end='', flush=True)
            kill_all(d)
    tests.run('status_leaves_nothing', one_daemon, top_and_its_keys, top_numbers, every_way_out, interrupted_while_the_daemon_hangs,
              stopped_and_continued, a_new_size, watched_on_a_pipe, a_terminal_that_can_do_nothing, watched_over_a_restart)
    tests.run('status_drift_leaves_nothing', one_daemon, a_process_leaves, colours, said_once_and_over)
    tests.run('status_fallback', fallback)
    tests.end()


if __name__ == '__main__':
    main()
