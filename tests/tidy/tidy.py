#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the source tree that a compiler does not know. Each rule is a function over the tracked files; it gives
findings as (file, line, what). Begins with a self-test: every rule must find what is planted for it."""
import os, re, subprocess, sys

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Who may include whom: a folder of user/ → the folders of user/ it may include, besides itself.
ADAPTERS = ('store', 'cgroup', 'launch', 'observe', 'dest', 'source', 'bus', 'api', 'ops')
MAY = {'base': (), 'model': ('base',), 'sys': ('base',), 'engine': ('base', 'model'), 'net': ('base',)}
MAY |= {a: ('base', 'model', 'sys', 'net') for a in ADAPTERS}
MAY['launch'] += ('cgroup',)        # a launch is made of leaves
MAY['daemon'] = None                # wires everything
MAY['ctl'] = ('base', 'net', 'model')
# Of the engine, adapters see the doors and the ports.
DOORS = re.compile(r'engine/(intake|registry|port_\w+)\.h$')
API_DOORS = re.compile(r'engine/engine\.h$')    # status shows the engine's counters; read only

# Each library is met in one place.
LIBRARIES = {r'sqlite3\.h': ('store',), r'bpf/(libbpf|bpf|btf)\.h': ('observe',), r'curl/.*': ('net',), r'microhttpd\.h': ('net',),
             r'systemd/sd-event\.h': ('net',) + ADAPTERS + ('daemon',), r'systemd/sd-journal\.h': ('ops', 'dest'),
             r'systemd/sd-daemon\.h': ('daemon',)}
BANNED = {r'\b(strcpy|strcat|sprintf|vsprintf|gets|alloca|tmpnam|mktemp)\s*\(': 'unbounded or unsafe',
          r'\b(system|popen)\s*\(': 'a shell in a privileged daemon',
          r'\b(rand|srand|random)\s*\(': 'use id_random64() or the clock port',
          r'\b(usleep|sleep|nanosleep)\s*\(': 'the loop never sleeps; tests wait for conditions'}
MACHINE = re.compile(r'/(work|farm)/|/tmp/wt|\.internal\b|//[\w.-]*(registry|mirror|proxy)[\w.-]*\.\w+')
LINES_MAX = 100
GIANTS = set()                      # functions that are long for a reason: "file:function"


def includes(text):
    for n, line in enumerate(text.split('\n'), 1):
        m = re.match(r'\s*#\s*include\s+([<"])([^">]+)[">]', line)
        if m:
            yield n, m[1] == '"', m[2]


def rule_ranks(files):
    for f, text in files.items():
        p = f.split('/')
        if p[0] != 'user' or len(p) < 3 or not f.endswith(('.c', '.h')):
            continue
        if p[1] not in MAY:
            yield f, 1, f'the folder {p[1]} has no rank: add it to the table in tests/tidy/tidy.py, with the reason'
            continue
        may = MAY[p[1]]
        for n, own, what in includes(text):
            to = what.split('/')[0]
            if not own or may is None or '/' not in what or to == p[1] or to in may:
                continue
            if p[1] in ADAPTERS and (DOORS.search(what) or (p[1] == 'api' and API_DOORS.search(what))):
                continue
            yield f, n, f'{p[1]}/ may not include {what}'


def rule_libraries(files):
    for f, text in files.items():
        p = f.split('/')
        if p[0] != 'user' or not f.endswith(('.c', '.h')):
            continue
        for n, own, what in includes(text):
            for lib, where in LIBRARIES.items():
                if not own and re.fullmatch(lib, what) and p[1] not in where:
                    yield f, n, f'<{what}> is met in {", ".join(where)} only'


def code_only(text):
    """Comments and strings blanked, line numbers kept."""
    def blank(m):
        return re.sub(r'[^\n]', ' ', m[0])
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def rule_banned(files):
    for f, text in files.items():
        if not f.startswith(('user/', 'bpf/')) or not f.endswith(('.c', '.h')):
            continue
        for n, line in enumerate(code_only(text).split('\n'), 1):
            for what, why in BANNED.items():
                m = re.search(what, line)
                if m:
                    yield f, n, f'{m[0].strip()}…: {why}'


def rule_licence(files):
    for f, text in files.items():
        if f.endswith(('.c', '.h')) and 'SPDX-License-Identifier:' not in text.split('\n', 1)[0]:
            yield f, 1, 'no SPDX line'
        if f.startswith('bpf/') and f.endswith(('.c', '.h')) and 'GPL-2.0-only OR BSD-2-Clause' not in text.split('\n', 1)[0]:
            yield f, 1, 'the kernel half is GPL-2.0-only OR BSD-2-Clause'


def rule_names(files):
    seen = {}
    for f in files:
        if f.startswith('user/') and f.endswith(('.c', '.h')):
            base = os.path.basename(f)
            if base in seen and base not in ('main.c',):
                yield f, 1, f'the same name as {seen[base]}: log lines and breakpoints could mean either'
            seen[base] = f


def rule_machine(files):
    for f, text in files.items():
        if f == 'tests/tidy/tidy.py':
            continue
        for n, line in enumerate(text.split('\n'), 1):
            m = MACHINE.search(line)
            if m:
                yield f, n, f'speaks of one machine: {m[0]}'


def rule_dead(files):
    text = '\n'.join(t for f, t in files.items() if f.endswith(('.c', '.h')))
    for f in files:
        if f.startswith('user/') and f.endswith('.h') and f'"{f[5:]}"' not in text:
            yield f, 1, 'nobody includes it'


def rule_long(files):
    for f, text in files.items():
        if not f.startswith(('user/', 'bpf/')) or not f.endswith('.c'):
            continue
        start = name = None
        for n, line in enumerate(code_only(text).split('\n'), 1):
            if re.match(r'^[a-zA-Z_].*[\w\])]\s*$|^[a-zA-Z_].*,\s*$|^SEC|^int BPF_PROG', line) and '(' in line and not line.endswith(';'):
                name = line.strip()
            if line.startswith('{'):
                start = n
            if line.startswith('}') and start:
                if n - start > LINES_MAX and f'{f}:{name}' not in GIANTS:
                    yield f, start, f'a function of {n - start} lines (limit {LINES_MAX}): {name}'
                start = None


RULES = [rule_ranks, rule_libraries, rule_banned, rule_licence, rule_names, rule_machine, rule_dead, rule_long]
SPDX = '/* SPDX-License-Identifier: Apache-2.0 */\n'
PLANTED = {
    'rule_ranks': {'user/store/a.c': SPDX + '#include "launch/launch.h"\n'},
    'rule_libraries': {'user/engine/a.c': SPDX + '#include <sqlite3.h>\n'},
    'rule_banned': {'user/base/a.c': SPDX + 'int f(void) { return system("x"); }\n'},
    'rule_licence': {'user/base/a.c': 'int x;\n'},
    'rule_names': {'user/base/a.c': SPDX, 'user/model/a.c': SPDX},
    'rule_machine': {'scripts/x.sh': 'cp /' + 'work/main .\n'},
    'rule_dead': {'user/base/a.h': SPDX},
    'rule_long': {'user/base/a.c': SPDX + 'int f(void)\n{\n' + '\n' * 120 + '}\n'},
}


def tracked():
    names = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=root, capture_output=True, text=True)
    found = names.stdout.split('\n')[:-1]
    if names.returncode:        # a tarball: everything but what is built
        found = [os.path.relpath(os.path.join(d, f), root) for d, _, fs in os.walk(root) for f in fs]
        found = [f for f in found if not f.startswith(('build/', '.git/'))]
    files = {}
    for f in found:
        try:
            files[f] = open(os.path.join(root, f), encoding='utf-8').read()
        except (OSError, UnicodeDecodeError):
            pass
    return files


def main():
    bad = 0
    files = tracked()
    for rule in RULES:
        name = rule.__name__.replace('rule_', 'tidy_')
        if not list(rule(PLANTED[rule.__name__])):
            print(f'not ok {name} - does not find what was planted for it')
            bad = 1
            continue
        found = list(rule(files))
        for f, n, what in found:
            print(f'{f}:{n}: {what}')
        print(f'not ok {name} - {len(found)} findings' if found else f'ok {name}')
        bad |= bool(found)
    sys.exit(bad)


main()
