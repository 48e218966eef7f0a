# SPDX-License-Identifier: Apache-2.0
"""A real daemon on private directories, for tests.

    with Fated() as d:
        d.define('hello', ['/bin/echo', '"hi"'])
        d.start()
        record = d.wait(d.accept('hello', {'n': 1}))

Every daemon gets a directory of its own (state, run, logs, definitions, bpffs) and a control group of its own, so tests
disturb neither each other nor a fated that serves this host. Leaving the block stops the daemon and fails when anything
is left: a process, a group, a pin, a mount. Nothing here sleeps for luck: every wait is for a condition, with a limit
that only a broken daemon reaches ($TIMEOUT_FACTOR stretches it for emulated machines).
"""
import contextlib, http.client, json, os, re, select, shutil, signal, socket, subprocess, sys, tempfile, threading, time, traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get('BUILD', 'build'))
FACTOR = float(os.environ.get('TIMEOUT_FACTOR', '1'))
PATIENCE = 60 * FACTOR          # seconds after which a condition will not come any more
DIE = os.path.join(BUILD, 'tests/lib/prog_die')
KILL = os.path.join(BUILD, 'tests/lib/prog_kill')
SPIN = os.path.join(BUILD, 'tests/lib/prog_spin')


class Skip(Exception):
    pass


def bpftool(*args):
    """What it prints, as JSON. Debian keeps it where not everybody's PATH leads."""
    out = subprocess.run(['bpftool', '-j', *args], capture_output=True, text=True, check=True,
                         env=dict(os.environ, PATH=os.environ['PATH'] + ':/usr/sbin'))
    return json.loads(out.stdout)


def until(condition, what, patience=PATIENCE):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + patience
    while True:
        v = condition()
        if v:
            return v
        if time.monotonic() > end:
            raise AssertionError(f'waited {patience:.0f} s in vain: {what() if callable(what) else what}')
        time.sleep(0.005)


def equal(got, want, what):
    if got != want:
        raise AssertionError(f'{what} is {got!r}, want {want!r}')


def unescape(s):        # octal escapes of mountinfo
    return re.sub(r'\\([0-7]{3})', lambda m: chr(int(m[1], 8)), s)


def mounts():
    """[(mount point, type)] of this mount namespace."""
    r = []
    for line in open('/proc/self/mountinfo'):
        left, right = line.split(' - ', 1)
        r.append((unescape(left.split()[4]), right.split()[0]))
    return r


def cgroup2_mount():
    for where, kind in mounts():
        if kind == 'cgroup2':
            return where
    raise Skip('no cgroup2 mount')


def processes_below(group):
    """Pids in a control group and all groups below it."""
    pids = []
    for d, _, _ in os.walk(group):
        with contextlib.suppress(OSError):
            pids += [int(p) for p in open(os.path.join(d, 'cgroup.procs')).read().split()]
    return pids


def alive(pid):
    try:
        return open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


def need_root():
    if os.geteuid() != 0:
        raise Skip('needs root')
    for p in (os.path.join(BUILD, 'fated'), DIE):
        if not os.path.exists(p):
            raise AssertionError(f'{p} is not built')


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f'<{self.status} {dict(self.headers)} {self.body[:500]!r}>'


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__('localhost', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request(conn, method, path, body=None, headers=None):
    conn.request(method, path, body, headers or {})
    r = conn.getresponse()
    return Answer(r, r.read())


class Fated:
    def __init__(self, config=None, name='test'):
        need_root()
        # Definitions are read when a test says so, but in the test of the contrary: what a reload prints must not depend
        # on who was faster.
        self.config = {'ReloadOnChange': 'false', **(config or {})}
        self.dir = tempfile.mkdtemp(prefix=f'fated-{name}-')
        os.chmod(self.dir, 0o755)       # functions of other users run here too
        for d in ('state', 'run', 'log', 'functions.d', 'bpf', 'work'):
            os.mkdir(os.path.join(self.dir, d))
        self.work = os.path.join(self.dir, 'work')
        os.chmod(self.work, 0o1777)
        self.socket = os.path.join(self.dir, 'run/fated.sock')
        self.stderr = os.path.join(self.dir, 'fated.stderr')
        base = os.environ.get('TEST_CGROUP') or cgroup2_mount()
        self.group = os.path.join(base, os.path.basename(self.dir))
        self.process = None
        self.kept = threading.local()   # every thread has a connection of its own

    # ---- life ------------------------------------------------------------------------------------------------
    def argv(self):
        keys = {'StateDirectory': 'state', 'RunDirectory': 'run', 'LogDirectory': 'log', 'FunctionsDirectory': 'functions.d',
                'BpfDirectory': 'bpf'}
        a = [os.path.join(BUILD, 'fated')] + [f'--{k}={self.dir}/{v}' for k, v in keys.items()]
        return a + [f'--CgroupRoot={self.group}'] + [f'--{k}={v}' for k, v in self.config.items()]

    def spawn(self):
        with open(self.stderr, 'a') as log:
            # Signals go to the daemon alone, never by a terminal's process group.
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def start(self):
        self.spawn()
        until(self.ready, lambda: f'daemon is not ready\n{self.log_tail()}')
        return self

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f'daemon ended with status {self.process.returncode}\n{self.log_tail()}')
        try:
            with contextlib.closing(self.connect()) as c:
                return request(c, 'GET', '/fate/v1/version').status == 200
        except OSError:
            return False

    def log_tail(self, lines=40):
        with contextlib.suppress(OSError):
            return ''.join('    | ' + line for line in open(self.stderr, errors='replace').readlines()[-lines:])
        return ''

    def drop_connection(self):
        """This thread's."""
        conn = getattr(self.kept, 'conn', None)
        if conn:
            conn.close()
        self.kept.conn = None

    def kill9(self):
        """As a crash would: no goodbye, and nobody cleans up."""
        self.drop_connection()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        return self.start()

    def terminate(self):
        """Ends the daemon gracefully and checks its exit status."""
        self.drop_connection()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError('daemon does not stop on SIGTERM') from None
        self.process = None
        equal(status, 0, 'exit status of the daemon')

    def leaves(self):
        """Directories of environments: two levels below the root given (root/…/LEAF)."""
        r = []
        for d, subs, _ in os.walk(self.group):
            if os.path.relpath(d, self.group).count('/') == 1:
                r.append(d)
                subs.clear()
        return r

    def pins(self):
        r = []
        for d, _, files in os.walk(os.path.join(self.dir, 'bpf')):
            # Every bpffs is born with maps.debug and progs.debug: the kernel's own, on kernels that preload them.
            r += [os.path.relpath(os.path.join(d, f), self.dir) for f in files if f not in ('maps.debug', 'progs.debug')]
        return r

    def stop(self):
        """Ends the daemon; everything it made must be gone. Cleans up in any case."""
        wrong = []
        try:
            if self.process:
                self.terminate()
            for pid in processes_below(self.group):
                with contextlib.suppress(OSError):
                    wrong.append(f'process {pid} is left: ' + open(f'/proc/{pid}/cmdline').read().replace('\0', ' '))
            wrong += [f'control group {d} is left' for d in self.leaves()]
            wrong += [f'pin {p} is left' for p in self.pins()]
        finally:
            wrong += self.clean()
        if wrong:
            raise AssertionError('; '.join(wrong))

    def clean(self):
        wrong = []
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.drop_connection()
        if os.path.isdir(self.group):
            with contextlib.suppress(OSError), open(os.path.join(self.group, 'cgroup.kill'), 'w') as f:
                f.write('1')
            until(lambda: not processes_below(self.group), 'the control group becomes empty')
            for d, _, _ in os.walk(self.group, topdown=False):
                try:
                    os.rmdir(d)
                except OSError as e:
                    wrong.append(f'control group {d} cannot be removed: {e}')
        for where, _ in reversed(mounts()):
            if where.startswith(self.dir + '/'):
                subprocess.run(['umount', where], check=True)
        wrong += [f'mount {where} is left' for where, _ in mounts() if where.startswith(self.dir + '/')]
        shutil.rmtree(self.dir)
        return wrong

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        if kind is None:
            try:
                self.stop()
            except BaseException:
                print(self.log_tail() if os.path.exists(self.stderr) else '', end='')
                raise
            return
        print(self.log_tail(), end='', flush=True)
        self.clean()

    # ---- definitions -----------------------------------------------------------------------------------------
    def define(self, name, command, **members):
        """Writes one definition; on_success, on_failure, retries, delays, variables are shorthands."""
        d = {'FunctionName': name, 'Command': command}
        event = {'MaximumRetryAttempts': members.pop('retries', 0)}
        to = {k: {'Destination': v} for k, v in (('OnSuccess', members.pop('on_success', None)),
                                                 ('OnFailure', members.pop('on_failure', None))) if v}
        if to:
            event['DestinationConfig'] = to
        d['EventInvokeConfig'] = event
        if 'delays' in members:
            d['RetryDelaysInSeconds'] = members.pop('delays')
        if 'variables' in members:
            d['Environment'] = {'Variables': members.pop('variables')}
        d.update(members)
        self.definition(f'{name}.json', json.dumps(d, indent=1))

    def definition(self, file, text):
        path = os.path.join(self.dir, 'functions.d', file)
        with open(path + '.tmp', 'w') as f:
            f.write(text)
        os.rename(path + '.tmp', path)

    def script(self, name, text):
        path = os.path.join(self.work, name)
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, 0o755)
        return path

    # ---- talking to it ---------------------------------------------------------------------------------------
    def connect(self):
        return UnixConnection(self.socket, PATIENCE)

    def request(self, method, path, body=None, headers=None):
        """On one kept connection; a daemon that went away is an OSError or HTTPException, not a retry. One that was closed
        because it was idle for too long is replaced."""
        conn = getattr(self.kept, 'conn', None)
        if conn and conn.sock and select.select([conn.sock], [], [], 0)[0]:
            self.drop_connection()
        if not getattr(self.kept, 'conn', None):
            self.kept.conn = self.connect()
        try:
            return request(self.kept.conn, method, path, body, headers)
        except BaseException:
            self.drop_connection()
            raise

    def get(self, path):
        a = self.request('GET', path)
        if a.status != 200:
            raise AssertionError(f'GET {path}: {a}')
        return a.json()

    def invoke(self, name, payload=None, kind='RequestResponse'):
        body = payload if isinstance(payload, (bytes, type(None))) else json.dumps(payload)
        return self.request('POST', f'/2015-03-31/functions/{name}/invocations', body, {'X-Amz-Invocation-Type': kind})

    def accept(self, name, payload=None):
        a = self.invoke(name, payload, 'Event')
        if a.status != 202:
            raise AssertionError(f'event for {name}: {a}')
        equal(a.body, b'', 'body of a 202')
        return a.headers['x-amzn-RequestId']

    def wait(self, request_id):
        return self.get(f'/fate/v1/events/{request_id}/wait')

    def until_all_ended(self):
        """Nothing is to be done for any event. One answer has all states: by asking for one after the other, an event that
        is put back into a state asked for already would be overlooked."""
        def over():
            counts = self.get('/fate/v1/status')['counts']['events']
            return all(n == 0 for state, n in counts.items() if state != 'done')
        until(over, 'every event has ended')

    def receive(self, queue, most=10, visibility=3600):
        return self.request('POST', f'/fate/v1/queues/{queue}/receive?max={most}&visibility={visibility}').json()['messages']

    def drain(self, queue):
        """All messages of a queue, oldest first; they stay hidden afterwards."""
        r = []
        while True:
            m = self.receive(queue)
            r += m
            if not m:
                return r

    def ctl(self, *args, stdin=None, check=None):
        p = subprocess.run([os.path.join(BUILD, 'fatectl'), *args], input=stdin, capture_output=True, text=True, timeout=PATIENCE,
                           env=dict(os.environ, FATED_SOCKET=self.socket), **({} if stdin is not None else {'stdin': subprocess.DEVNULL}))
        if check is not None and p.returncode != check:
            raise AssertionError(f'fatectl {" ".join(args)}: exit status {p.returncode}, want {check}\n{p.stdout}{p.stderr}')
        return p


class Load:
    """Keeps every processor busy, twice over."""
    def __enter__(self):
        self.spinners = [subprocess.Popen([SPIN]) for _ in range(2 * (os.cpu_count() or 1))]

    def __exit__(self, *_):
        for p in self.spinners:
            p.kill()
            p.wait()


class Tests:
    """Runs functions and prints the test protocol."""
    def __init__(self):
        self.failed = 0

    def run(self, name, fn, *args):
        try:
            fn(*args)
            print(f'ok {name}', flush=True)
            return True
        except Skip as e:
            print(f'skip {name} - {e}', flush=True)
        except Exception as e:
            self.failed += 1
            frame = [f for f in traceback.extract_tb(e.__traceback__) if '/tests/integ/' in f.filename]
            where = f' ({os.path.basename(frame[-1].filename)}:{frame[-1].lineno})' if frame else ''
            first, *rest = str(e).splitlines() or ['']
            print(f'not ok {name} - {"" if isinstance(e, AssertionError) else type(e).__name__ + ": "}{first}{where}')
            for line in rest:
                print(f'    {line}')
            sys.stdout.flush()
        return False

    def end(self):
        sys.exit(1 if self.failed else 0)
