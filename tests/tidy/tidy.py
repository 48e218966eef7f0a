#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the source tree that a compiler does not know. Each rule is a function over the tracked files; it gives
findings as (file, line, what). Begins with a self-test: every rule must find all that is planted for it, and
nothing in a tree that is as it should be."""
import os, re, subprocess, sys

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Who may include whom: a folder of user/ → the folders of user/ it may include, besides itself.
ADAPTERS = ('store', 'cgroup', 'launch', 'observe', 'dest', 'source', 'bus', 'api', 'ops')
MAY = {'base': (), 'model': ('base',), 'sys': ('base',), 'engine': ('base', 'model'), 'net': ('base',)}
MAY |= {a: ('base', 'model', 'sys', 'net') for a in ADAPTERS}
MAY['launch'] += ('cgroup',)        # a launch is made of leaves
MAY['daemon'] = None                # wires everything
MAY['ctl'] = ('base', 'net', 'model')
CTL_MAY_NOT = re.compile(r'model/(judge|policy)\.h$')       # nouns are for everybody, rules for the daemon
# Of the engine, adapters see the doors and the ports.
DOORS = re.compile(r'engine/(intake|registry|port_\w+)\.h$')
API_DOORS = re.compile(r'engine/engine\.h$')    # status shows the engine's counters; read only

# Each library is met in one place.
LIBRARIES = {r'sqlite3\.h': ('store',), r'bpf/(libbpf|bpf|btf)\.h': ('observe',), r'curl/.*': ('net',), r'microhttpd\.h': ('net',),
             r'systemd/sd-event\.h': ('net',) + ADAPTERS + ('daemon',), r'systemd/sd-journal\.h': ('ops', 'dest'),
             r'systemd/sd-daemon\.h': ('daemon', 'launch'), r'systemd/sd-bus\.h': ('daemon',)}
# What anybody may include: the C library, the kernel's own headers, and JSON. Anything else is a library that needs a row above.
COMMON = re.compile(r'(sys|linux|asm|arpa|net|netinet)/[\w/-]+\.h|cjson/cJSON\.h|('
                    'assert|ctype|dirent|endian|err|errno|fcntl|fnmatch|ftw|getopt|glob|grp|inttypes|langinfo|libgen|limits|locale|'
                    'math|netdb|poll|pthread|pwd|regex|sched|semaphore|setjmp|signal|spawn|stdalign|stdarg|stdatomic|stdbool|'
                    'stddef|stdint|stdio|stdlib|string|strings|syslog|termios|time|uchar|unistd|wchar)\\.h')
KERNEL_HALF = re.compile(r'vmlinux\.h|bpf/bpf_(helpers|tracing|core_read|endian)\.h')
BANNED = {r'\b(strcpy|strcat|sprintf|vsprintf|gets|alloca|tmpnam|mktemp)\s*\(': 'unbounded or unsafe',
          r'\b(system|popen)\s*\(': 'a shell in a privileged daemon',
          r'\b(rand|srand|random)\s*\(': 'use id_random64() or the clock port',
          r'\b(usleep|sleep|nanosleep)\s*\(': 'the loop never sleeps; tests wait for conditions'}
MACHINE = re.compile(r'/(work|farm)/|/tmp/wt|\.internal\b|//[\w.-]*(registry|mirror|proxy)[\w.-]*\.\w+')
LINES_MAX = 100
GIANTS = set()                      # functions that are long for a reason: "file:function"
WIDTH_MAX = 132                     # columns, a tab is eight
WIDE = {                            # files whose wide lines are still to be broken
    'include/fate_event.h', 'scripts/demo.sh', 'tests/lib/fated.py', 'tests/lib/matrix.py',
    'tests/lib/truth.py', 'tests/lib/ways.py', 'user/daemon/manager.c', 'user/engine/attempt.c',
    'user/engine/dispatch.c', 'user/engine/intake.c', 'user/engine/intake.h',
    'user/engine/port_store.h', 'user/model/arn.c', 'user/model/fact.h',
    'user/model/func.h', 'user/model/func_def.c', 'user/model/judge.c', 'user/model/record.c'}


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
            if not own and (f'user/{what}' in files or ('/' in what and to in MAY and to != 'sys')):   # libc has a sys/ too
                yield f, n, f'our own {what} is included with quotes, where the ranks are checked'
            if p[1] == 'ctl' and CTL_MAY_NOT.search(what):
                yield f, n, f'ctl/ may not include {what}'
            if not own or may is None or '/' not in what or to == p[1] or to in may:
                continue
            if p[1] in ADAPTERS and (DOORS.search(what) or (p[1] == 'api' and API_DOORS.search(what))):
                continue
            yield f, n, f'{p[1]}/ may not include {what}'


def rule_libraries(files):
    for f, text in files.items():
        p = f.split('/')
        if p[0] not in ('user', 'bpf') or not f.endswith(('.c', '.h')):
            continue
        for n, own, what in includes(text):
            if own:
                continue
            if p[0] == 'bpf':
                if not KERNEL_HALF.fullmatch(what):
                    yield f, n, f'<{what}> has no place in the kernel half'
                continue
            if not COMMON.fullmatch(what) and not any(re.fullmatch(lib, what) for lib in LIBRARIES):
                yield f, n, f'<{what}>: a library that has no row in the table in tests/tidy/tidy.py'
            for lib, where in LIBRARIES.items():
                if re.fullmatch(lib, what) and p[1] not in where:
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
        if f.startswith(('user/', 'bpf/', 'include/')) and f.endswith(('.c', '.h')):
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
    # The Makefile compiles folders, not lists: a source in any other folder is compiled by nobody.
    compiled = re.findall(r'\$\(wildcard user/(\w+)/\*\.c\)', files.get('Makefile', ''))
    lib = re.search(r'^lib_dirs :=(.*)$', files.get('Makefile', ''), re.M)
    compiled += lib[1].split() if lib else []
    for f in files:
        p = f.split('/')
        if p[0] == 'user' and f.endswith('.c') and (len(p) != 3 or p[1] not in compiled):
            yield f, 1, 'the Makefile does not compile it'


def rule_long(files):
    long = set()
    for f, text in files.items():
        if not f.startswith(('user/', 'bpf/')) or not f.endswith('.c'):
            continue
        start = name = None
        for n, line in enumerate(code_only(text).split('\n'), 1):
            m = re.match(r'(?!\s)[^;=]*?(\w+)\s*\(', line)
            if m and not line.startswith('#') and not line.rstrip().endswith(';'):
                name = m[1]
                if name.isupper() or name == 'BPF_PROG':        # a macro that makes the function: BPF_PROG(name, …)
                    inner = re.search(r'\((\w+)', line)
                    name = inner[1] if inner else name
            if line.startswith('{'):
                start = n
            if line.startswith('}') and start:
                if n - start > LINES_MAX:
                    long.add(f'{f}:{name}')
                    if f'{f}:{name}' not in GIANTS:
                        yield f, start, f'a function of {n - start} lines (limit {LINES_MAX}): {name}'
                start = None
    for giant in sorted(GIANTS - long):
        if giant.split(':')[0] in files:
            yield giant.split(':')[0], 1, f'{giant.split(":")[1]} is no giant any more: take it off the list'


def rule_wide(files):
    wide = set()
    for f, text in files.items():
        if not f.endswith(('.c', '.h', '.py', '.sh')):
            continue
        for n, line in enumerate(text.split('\n'), 1):
            columns = len(line.expandtabs(8))
            if columns > WIDTH_MAX:
                wide.add(f)
                if f not in WIDE:
                    yield f, n, f'a line of {columns} columns (limit {WIDTH_MAX})'
    for f in sorted(WIDE - wide):
        if f in files:
            yield f, 1, 'has no wide line any more: take it off the list'


RULES = [rule_ranks, rule_libraries, rule_banned, rule_licence, rule_names, rule_machine, rule_dead, rule_long, rule_wide]
SPDX = '/* SPDX-License-Identifier: Apache-2.0 */\n'
# Every one of these must be found by its rule.
PLANTED = {
    'rule_ranks': [{'user/store/a.c': SPDX + '#include "launch/launch.h"\n'},
                   {'user/store/a.c': SPDX + '#include <launch/launch.h>\n'},
                   {'user/base/a.c': SPDX + '#include "model/inv.h"\n'},
                   {'user/model/a.c': SPDX + '#  include "engine/intake.h"\n'},
                   {'user/launch/a.c': SPDX + '#include "engine/engine.h"\n'},
                   {'user/launch/a.c': SPDX + '#include "../store/x.h"\n'},
                   {'user/ctl/a.c': SPDX + '#include "model/policy.h"\n'}, {'user/ctl/a.c': SPDX + '#include "engine/intake.h"\n'},
                   {'user/cgroup/a.c': SPDX + '#include "launch/launch.h"\n'}, {'user/nowhere/a.c': SPDX}],
    'rule_libraries': [{'user/engine/a.c': SPDX + '#include <sqlite3.h>\n'},
                       {'user/launch/a.c': SPDX + '#include <bpf/libbpf.h>\n'},
                       {'user/model/a.c': SPDX + '#include <systemd/sd-event.h>\n'},
                       {'user/net/a.c': SPDX + '#include <boost.h>\n'},
                       {'bpf/a.bpf.c': SPDX + '#include <stdio.h>\n'}],
    'rule_banned': [{'user/base/a.c': SPDX + f'int f(void) {{ return {call}; }}\n'} for call in (
                        'system("x")', 'sprintf(a, b)', 'strcpy (a, b)', 'rand()', 'usleep(1)', 'sleep(1)', 'popen(a, b)')],
    'rule_licence': [{'user/base/a.c': 'int x;\n'}, {'bpf/a.bpf.c': SPDX}],
    'rule_names': [{'user/base/a.c': SPDX, 'user/model/a.c': SPDX}],
    'rule_machine': [{'scripts/x.sh': 'cp /' + 'work/main .\n'}, {'README.md': 'https://deb-' + 'mirror.example.net/debian\n'}],
    'rule_dead': [{'user/base/a.h': SPDX}, {'user/base/deep/a.c': SPDX, 'Makefile': 'lib_dirs := base\n'},
                  {'user/left/a.c': SPDX, 'Makefile': 'lib_dirs := base\n'}],
    'rule_long': [{'user/base/a.c': SPDX + 'int f(void)\n{\n' + '\n' * 120 + '}\n'},
                  {'bpf/a.bpf.c': SPDX + 'SEC("x")\nint BPF_PROG(f, int a,\n\t\tint b)\n{\n' + '\n' * 120 + '}\n'}],
    'rule_wide': [{'user/base/a.c': SPDX + 'x' * 133 + '\n'}, {'tests/a.py': '\n' + '\t' * 16 + 'xxxxx'},
                  {'include/a.h': SPDX + '/* ' + 'é' * 130 + '\n'}, {'scripts/a.sh': 'x' * 129 + '\tx'},
                  {sorted(WIDE)[0]: SPDX} if WIDE else {'scripts/a.sh': 'x' * 133}],
}
# And nothing in this may be found by any: what is named in comments and strings, and what is allowed.
INNOCENT = {
    'Makefile': 'lib_dirs := base model launch cgroup\ndaemon_src := $(wildcard user/daemon/*.c)\n',
    'user/base/a.h': SPDX, 'user/cgroup/cg.h': SPDX, 'user/daemon/main.c': SPDX + '#include "cgroup/cg.h"\n#include "base/a.h"\n',
    'tests/a.py': 'é' * 132 + '\n' + '\t' * 16 + 'xxxx\n', 'README.md': 'x' * 1000,
    'user/base/a.c': SPDX + '#include <string.h>\n#include <sys/stat.h>\n#include "base/a.h"\n'
                     '/* not system(), not\n * sprintf() */\n'
                     'int f(void) { return my_sleep(1) + puts("sleep(1)"); }\n',
    'user/launch/b.c': SPDX + '#include <systemd/sd-event.h>\n#include "base/a.h"\n#include "cgroup/cg.h"\n'
                       '#include "engine/port_launch.h"\n'
                       'int g(void)\n{\n' + '\n' * 90 + '}\n',
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
        missed = [p for p in PLANTED[rule.__name__] if not list(rule(p))]
        wrong = list(rule(INNOCENT))
        if missed or wrong:
            print(f'not ok {name} - does not find what was planted: {missed}; finds what is none: {wrong}')
            bad = 1
            continue
        found = list(rule(files))
        for f, n, what in found:
            print(f'{f}:{n}: {what}')
        print(f'not ok {name} - {len(found)} findings' if found else f'ok {name}')
        bad |= bool(found)
    sys.exit(bad)


main()
