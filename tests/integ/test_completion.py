#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts of fatectl completion in the shells themselves: bash's function called as readline calls it, zsh's at the
prompt of an interactive shell on a terminal. Names come from a real daemon."""
import os, pty, re, shutil, subprocess, threading
import fated
from fated import Fated, Skip, Tests, equal, until

GLOBAL = ['--help', '--json', '--socket']
CTL = os.path.join(fated.BUILD, 'fatectl')


def verbs(d):
    """{first word: [second words]} as fatectl help lists them."""
    r = {}
    for line in d.ctl('help', check=0).stdout.split('\n\n')[1].splitlines():
        names = re.match(r'  (\S+(?: \S+)?)  ', line)[1].split()
        r.setdefault(names[0], []).extend(names[1:])
    return r


# ---- bash --------------------------------------------------------------------------------------------------------
def bash(d, *line, cursor=None):
    """What is offered for the last word (or the one at the cursor) of a line that bash has cut into words."""
    script = os.path.join(d.work, 'fatectl.bash')
    program = f'. {script}; COMP_WORDS=("$@"); COMP_CWORD={cursor or len(line)}; _fatectl "$1"; printf "%s\\n" "${{COMPREPLY[@]}}"'
    p = subprocess.run(['bash', '--norc', '-c', program, 'bash', CTL, *line], capture_output=True, text=True,
                       stdin=subprocess.DEVNULL,
                       cwd=d.work, env=dict(os.environ, FATED_SOCKET=d.socket), timeout=fated.PATIENCE)
    equal((p.returncode, p.stderr), (0, ''), f'bash with {line}')
    return sorted(set(p.stdout.split('\n')) - {''})


def bash_script(d):
    script = os.path.join(d.work, 'fatectl.bash')
    with open(script, 'w') as f:
        f.write(d.ctl('completion', 'bash', check=0).stdout)
    p = subprocess.run(['bash', '--norc', '-c', f'. {script}; complete -p fatectl'], capture_output=True, text=True)
    equal((p.returncode, p.stderr, p.stdout.split()[-1]), (0, '', 'fatectl'), 'complete -p')
    d.ctl('completion', 'fish', check=2)
    d.ctl('completion', check=2)


def bash_verbs(d):
    all_verbs = verbs(d)
    equal(bash(d, ''), sorted(all_verbs), 'first words')
    for first, seconds in all_verbs.items():
        if seconds:
            equal(bash(d, first, ''), sorted(seconds), f'second words of {first}')
    equal(bash(d, 'fu'), ['function'], 'fu')
    equal(bash(d, '--json', 'sta'), ['status'], 'a verb after --json')
    equal(bash(d, 'help', 'queue', 'r'), ['receive', 'redrive'], 'help queue r')
    equal(bash(d, 'completion', ''), ['bash', 'zsh'], 'completion')
    equal(bash(d, 'nonsense', ''), [], 'after what is no verb')
    equal(bash(d, 'status', ''), [], 'status')


def bash_options(d):
    """Everything that stands in the usage of every verb is offered, and nothing else."""
    for first, seconds in verbs(d).items():
        for verb in [[first, s] for s in seconds] or [[first]]:
            usage = d.ctl('help', *verb, check=0).stdout.splitlines()[0]
            want = sorted(set(re.findall(r'(?<![\w-])--?[a-z][a-z-]*', usage)) | set(GLOBAL))
            equal(bash(d, *verb, '-'), want, f'options of {verb}')
    equal(bash(d, '-'), GLOBAL, 'options before the verb')
    equal(bash(d, 'invoke', 'one', '--pay'), ['--payload'], '--pay')
    # An option that does well without a value has no next word that would be one.
    equal(bash(d, 'status', '--w'), ['--watch'], '--w')
    equal(bash(d, 'event', 'list', '--watch', '--state', ''), ['done', 'queued', 'routing', 'running', 'waiting'],
          'states after --watch')


def bash_values(d):
    for name in ('one event.json', 'one-event.txt', 'other'):
        open(os.path.join(d.work, name), 'w').close()
    equal(bash(d, 'invoke', 'one', '--payload', 'one'), ['one event.json', 'one-event.txt'], 'files after --payload')
    equal(bash(d, 'invoke', 'one', '--payload', '=', 'one-'), ['one-event.txt'], 'files after --payload=')
    equal(bash(d, '--socket', 'oth'), ['other'], 'files after --socket')
    equal(bash(d, 'event', 'list', '--state', ''), ['done', 'queued', 'routing', 'running', 'waiting'], 'states')
    equal(bash(d, 'event', 'list', '--state', '='), ['done', 'queued', 'routing', 'running', 'waiting'], 'states after =')
    equal(bash(d, 'record', 'list', '--limit', '5', '--condition', 'Ret'), ['RetriesExhausted'], 'conditions')
    equal(bash(d, 'event', 'list', '--limit', ''), [], 'a number')
    equal(bash(d, 'event', 'redrive', '--verdict', 'T'), ['Timeout'], 'verdicts')
    equal(bash(d, 'event', 'redrive', '--condition', '=', 'P'), ['Poison'], 'conditions of a redrive')
    equal(bash(d, 'event', 'redrive', '--since', ''), [], 'a time')
    equal(bash(d, 'delivery', 'retry', 'x', ''), ['DeadLetter', 'OnFailure', 'OnSuccess'], 'roles')
    equal(bash(d, 'delivery', 'drop', 'x', 'On'), ['OnFailure', 'OnSuccess'], 'roles that begin with On')
    equal(bash(d, 'alias', 'set', 'one', 'prod', '--al'), ['--also'], '--al')


def bash_names(d):
    for line in (['invoke', ''], ['logs', ''], ['function', 'show', ''], ['event', 'list', '--function', ''],
                 ['record', 'list', '--function', '='], ['function', 'publish', ''], ['alias', 'list', ''], ['alias', 'set', ''],
                 ['event', 'redrive', '--function', ''], ['queue', 'redrive', 'done', '--to', ''],
                 ['queue', 'redrive', 'done', '--function', '']):
        equal(bash(d, *line), ['one', 'only-this', 'three'], f'functions for {line}')
    equal(bash(d, 'invoke', '--async', 'on'), ['one', 'only-this'], 'functions that begin with on')
    equal(bash(d, 'invoke', '--data', '{}', 'th'), ['three'], 'functions after an option with a value')
    equal(bash(d, 'invoke', 'one', ''), [], 'a second name')
    equal(bash(d, 'invoke', 't', '--async', cursor=2), ['three'], 'in the middle of a line')
    equal(bash(d, 'queue', 'receive', ''), ['done', 'failed'], 'queues')
    # Another socket on the line is asked, and one that nobody listens on means no names, not a message.
    equal(bash(d, '--socket', f'{d.dir}/nothing', 'invoke', ''), [], 'functions of no daemon')
    equal(bash(d, '--socket', '=', f'{d.dir}/nothing', 'invoke', ''), [], 'functions of no daemon')


def bash_bare(d):
    """Without $FATED_SOCKET's daemon: verbs and options still."""
    p = d.socket
    d.socket = f'{d.dir}/nothing'
    try:
        equal(bash(d, 'function', ''), ['list', 'publish', 'show', 'versions'], 'second words')
        equal(bash(d, 'invoke', ''), [], 'functions')
    finally:
        d.socket = p


# ---- zsh ---------------------------------------------------------------------------------------------------------
class Zsh:
    """An interactive zsh on a terminal. ^X completes what was typed, writes the line to a file, and clears it."""
    SETUP = '''PS1= PS2= RPS1=; unsetopt beep
fpath=({dir} $fpath); autoload -Uz compinit && compinit -D -u
{more}
fatectl() {{ :; }}; path=({build} $path)
note() {{ zle complete-word; print -r -- "$BUFFER|" >>! {out}; BUFFER=; zle -R; }}
zle -N note; bindkey '^X' note
print ready >>! {out}
'''

    def __init__(self, d, more=''):
        self.out = os.path.join(d.work, 'zsh.out')
        with open(self.out, 'w'):
            pass
        self.seen = b''
        rc = os.path.join(d.work, 'setup.zsh')
        with open(rc, 'w') as f:
            f.write(self.SETUP.format(dir=os.path.join(d.work, 'site-functions'), out=self.out, build=fated.BUILD, more=more))
        self.master, slave = pty.openpty()
        self.p = subprocess.Popen(['zsh', '-f', '-i'], stdin=slave, stdout=slave, stderr=slave, cwd=d.work, start_new_session=True,
                                  env=dict(os.environ, FATED_SOCKET=d.socket, TERM='xterm', HOME=d.work))
        os.close(slave)
        self.reader = threading.Thread(target=self.read)        # what it prints must be taken, or it stops
        self.reader.start()
        self.n = 0
        self.send(f'. {rc}\n')

    def read(self):
        while True:
            try:
                chunk = os.read(self.master, 65536)
            except OSError:
                return
            if not chunk:
                return
            self.seen += chunk

    def send(self, text):
        self.n += 1
        os.write(self.master, text.encode())
        lines = lambda: open(self.out).read().splitlines()
        until(lambda: len(lines()) >= self.n, lambda: f'zsh answers to {text!r}\n{self.seen[-2000:].decode(errors="replace")}')
        return lines()[self.n - 1]

    def complete(self, line):
        got = self.send(line + '\x18')
        equal(got[-1:], '|', 'end of what zsh wrote')
        return got[:-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.wait()
        self.reader.join()
        os.close(self.master)


def need_zsh():
    if not shutil.which('zsh'):
        raise Skip('zsh is not installed')


def zsh_script(d):
    need_zsh()
    os.makedirs(os.path.join(d.work, 'site-functions'), exist_ok=True)
    script = os.path.join(d.work, 'site-functions/_fatectl')
    with open(script, 'w') as f:
        f.write(d.ctl('completion', 'zsh', check=0).stdout)
    p = subprocess.run(['zsh', '-f', '-n', script], capture_output=True, text=True)
    equal((p.returncode, p.stdout, p.stderr), (0, '', ''), 'zsh -n')


LINES = [('fu', 'function '), ('function s', 'function show '), ('invoke th', 'invoke three '), ('invoke onl', 'invoke only-this '),
         ('invoke --async th', 'invoke --async three '), ('invoke three --pay', 'invoke three --payload '),
         ('invoke one --payload oth', 'invoke one --payload other '), ('event list --state wa', 'event list --state waiting '),
         ('event list --state=wa', 'event list --state=waiting '), ('event list --function=th', 'event list --function=three '),
         ('queue receive fa', 'queue receive failed '), ('logs th', 'logs three '), ('help queue rec', 'help queue receive '),
         ('delivery drop x Dea', 'delivery drop x DeadLetter '),
         ('event redrive --verdict=OutO', 'event redrive --verdict=OutOfMemory '),
         ('alias set th', 'alias set three '), ('completion z', 'completion zsh '), ('status x', 'status x'),
         ('--socket /nothing invoke th', '--socket /nothing invoke th'),
         ('--socket=/nothing invoke th', '--socket=/nothing invoke th'),
         ('--json record list --cond', '--json record list --condition ')]


def zsh_lines(d):
    need_zsh()
    with Zsh(d) as z:
        for line, want in LINES:
            equal(z.complete(f'fatectl {line}'), f'fatectl {want}', f'{line!r} completed by zsh')


def zsh_sourced(d):
    """. <(fatectl completion zsh) does as well as a file in fpath."""
    need_zsh()
    shutil.rmtree(os.path.join(d.work, 'site-functions'))
    with Zsh(d, f'. <({CTL} completion zsh)') as z:
        for line, want in LINES[:4]:
            equal(z.complete(f'fatectl {line}'), f'fatectl {want}', f'{line!r} completed by zsh')


# ---- where they are found ----------------------------------------------------------------------------------------
def installed(d):
    to = os.path.join(d.work, 'installed')
    build = os.path.relpath(fated.BUILD, fated.ROOT)
    subprocess.run(['make', '-s', '-C', fated.ROOT, '-o', 'all', 'install', f'B={build}', f'DESTDIR={to}', 'PREFIX=/usr'],
                   check=True, capture_output=True)
    for path, shell in (('usr/share/bash-completion/completions/fatectl', 'bash'),
                        ('usr/share/zsh/site-functions/_fatectl', 'zsh')):
        equal(open(os.path.join(to, path)).read(), d.ctl('completion', shell, check=0).stdout, path)
    equal(os.stat(os.path.join(to, 'usr/bin/fatectl')).st_mode & 0o777, 0o755, 'mode of fatectl')


def main():
    tests = Tests()

    def all_with_one_daemon():
        with Fated(name='completion') as d:
            d.define('one', [fated.DIE, 'echo'], on_success='queue:done')
            d.define('only-this', [fated.DIE, 'exit', '3'], on_failure='queue:failed')
            d.define('three', [fated.DIE, 'echo'])
            d.start()
            d.wait(d.accept('one', 1))
            d.wait(d.accept('only-this', 1))
            until(lambda: len(d.get('/fate/v1/queues')['queues']) == 2, 'two queues')
            for fn in (bash_script, bash_verbs, bash_options, bash_values, bash_names, bash_bare, zsh_script, zsh_lines,
                       zsh_sourced, installed):
                tests.run(f'completion_{fn.__name__}', fn, d)
    tests.run('completion_leaves_nothing', all_with_one_daemon)
    tests.end()


if __name__ == '__main__':
    main()
