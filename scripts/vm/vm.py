# SPDX-License-Identifier: Apache-2.0
"""One guest under qemu: start it, run scripts in it through the agent of root.sh, end it.

Software emulation only (-accel tcg): the same everywhere, and no /dev/kvm is asked for. That is slow (a process costs
20 to 50 times what it costs on the host), so waits are generous and no figure from a guest says anything about speed.
qemu is ended by its own pid. The root disk is a throw-away overlay; raw files given as ro= follow as /dev/vdb, ….
"""
import base64, os, re, select, shutil, socket, subprocess, tempfile, time


class VM:
    def __init__(self, kernel, root, ro=(), console='console.log', memory_mb=2048, cpus=2):
        self.dir = tempfile.mkdtemp(prefix='fated-vm-')
        self.buf, self.sock, self.proc = b'', None, None
        try:
            self.start(kernel, root, ro, console, memory_mb, cpus)
        except BaseException:
            self.close()
            raise

    def start(self, kernel, root, ro, console, memory_mb, cpus):
        d = self.dir
        cmd = ['qemu-system-x86_64', '-M', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', str(cpus),
               '-m', str(memory_mb), '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none',
               '-serial', f'file:{console}',
               '-chardev', f'socket,id=a,path={d}/agent,server=on,wait=off',
               '-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=a,name=agent',
               '-device', 'virtio-blk-pci,drive=root', '-drive', f'id=root,if=none,file={root},format=raw,snapshot=on',
               '-kernel', f'{kernel}/vmlinuz', '-initrd', f'{kernel}/initrd',
               '-append', 'console=ttyS0 quiet systemd.show_status=0 panic=-1 mitigations=off audit=0 tsc=reliable '
                          'no_timer_check systemd.unified_cgroup_hierarchy=1']
        for i, f in enumerate(ro):
            cmd += ['-drive', f'id=r{i},file={f},format=raw,if=none,readonly=on', '-device', f'virtio-blk-pci,drive=r{i}']
        # Our death is qemu's too: no guest outlives an interrupted run.
        self.proc = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', *cmd], stdin=subprocess.DEVNULL)
        self.sock = self.connect('agent')

    def connect(self, name):
        s = socket.socket(socket.AF_UNIX)
        while True:
            try:
                s.connect(f'{self.dir}/{name}')
                return s
            except OSError:
                if self.proc.poll() is not None:
                    raise RuntimeError(f'qemu ended with status {self.proc.returncode}')
                time.sleep(.01)

    def until(self, pattern, timeout, out=None):
        """Reads up to a match; what comes before it goes to out(bytes) in whole lines as it comes, else is returned."""
        end = time.time() + timeout
        while not (m := re.search(pattern, self.buf)):
            # The newline of the last whole line stays: the closing pattern begins with it.
            if out and (n := self.buf.rfind(b'\n')) > 0 and (n := self.buf.rfind(b'\n', 0, n)) >= 0:
                out(self.buf[:n + 1])
                self.buf = self.buf[n + 1:]
            if not select.select([self.sock], [], [], max(0, end - time.time()))[0]:
                raise TimeoutError(f'guest silent for too long: {self.buf[-2000:]!r}')
            b = self.sock.recv(1 << 16)
            if not b:
                raise RuntimeError('guest gone: see the console log')
            self.buf += b
        before, self.buf = self.buf[:m.start()], self.buf[m.end():]
        if out:
            out(before + b'\n' if before else b'')
            before = b''
        return before, m[1].decode()

    def ready(self, timeout=300):
        """Kernel release, once the agent answers."""
        return self.until(rb'\n@READY (\S+)\n', timeout)[1]

    def run(self, script, timeout=300, out=None):
        """(exit status, output); timeout is for the whole script."""
        key = os.urandom(8).hex()
        self.sock.sendall(f'{key} '.encode() + base64.b64encode(script.encode()) + b'\n')
        text, status = self.until(rb'\n@%s (\d+)\n' % key.encode(), timeout, out)
        return int(status), text

    def close(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        if self.sock:
            self.sock.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
