# SPDX-License-Identifier: Apache-2.0
"""exitsnoop (Debian's libbpf-tools) beside the daemon: another observer's answers for the same deaths.

It needs tracefs for its tracepoint: mounted in a mount namespace of its own, so that the host's mounts stay as they are.
"""
import contextlib, os, re, shutil, subprocess, tempfile
from fated import Skip, until
from ways import signal_name

LINE = re.compile(r'^(.{16}) +(\d+) +(\d+) +(\d+) +([\d.]+) +(.*)$')


class Exitsnoop:
    """with Exitsnoop() as s: …; s.answer(pid)"""
    def __init__(self):
        self.tool = shutil.which('exitsnoop') or '/usr/sbin/exitsnoop'
        if not os.path.exists(self.tool):
            raise Skip('no exitsnoop here: scripts/deps.sh truth installs it')
        self.said = tempfile.NamedTemporaryFile(prefix='exitsnoop-')
        self.seen = {}

    def __enter__(self):
        command = f'mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; exec stdbuf -oL {self.tool}'
        self.process = subprocess.Popen(['unshare', '-m', 'sh', '-c', command], stdin=subprocess.DEVNULL, stdout=self.said,
                                        stderr=subprocess.STDOUT)
        try:
            self.wait_for_marker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def marked(self):
        """Somebody dies, and it has been told of."""
        if self.process.poll() is not None:
            raise Skip(f'exitsnoop does not run here: {open(self.said.name).read()[:300]}')
        p = subprocess.Popen(['true'])
        p.wait()
        return p.pid in self.read()

    def wait_for_marker(self):
        until(self.marked, 'exitsnoop tells of an exit')

    def read(self):
        with open(self.said.name) as f:
            for line in f:
                m = LINE.match(line)
                if m:
                    self.seen[int(m[2])] = m[6].strip()
        return self.seen

    def answer(self, pid):
        """In the words of our tables: "exit 3", "SIGSEGV (core)"; None: missed."""
        said = self.seen.get(pid)
        if said is None:
            return None
        m = re.match(r'signal (\d+)', said)
        if m:
            return signal_name(int(m[1])) + (' (core)' if 'core dumped' in said else '')
        return f'exit {said.replace("code ", "")}'
