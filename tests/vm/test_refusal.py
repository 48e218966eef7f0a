# SPDX-License-Identifier: Apache-2.0
"""On a kernel below the floor the daemon refuses to start: one sentence with the kernel's release, what is missing and
what to do about it, and nothing left behind.

Runs in the guest only, and only on a kernel that has no bpf_timer: there is no daemon to be had on it.
"""
import glob, os, re, subprocess, sys
import fated
from fated import Fated, Skip, Tests, equal

FATED = os.path.join(fated.BUILD, 'fated')
FLOOR = (5, 15)


def old_kernel():
    if not os.environ.get('MATRIX_VM'):
        raise Skip('runs in the guest only (make vm)')
    release = os.uname().release
    if tuple(int(x) for x in re.match(r'(\d+)\.(\d+)', release).groups()) >= FLOOR:
        raise Skip(f'Linux {release} has what fated needs')


def groups():
    return set(glob.glob(f'{fated.cgroup2_mount()}/**/', recursive=True))


def links():
    """Every program and link there is in the kernel, whoever made it."""
    return [subprocess.run(['bpftool', what, 'show'], capture_output=True, text=True, check=True).stdout
            for what in ('prog', 'link')]


def refused(d):
    """Runs the daemon to its end; returns (exit status, the lines it said)."""
    d.spawn()
    status = d.process.wait(fated.PATIENCE)
    d.process = None
    with open(d.stderr) as f:
        return status, f.read().splitlines()


def sentence(d):
    status, lines = refused(d)
    equal(status, 1, 'exit status')
    said = [line.split(' ', 1)[1] for line in lines if 'cannot start' in line]      # without the time
    equal(len(said), 1, f'number of sentences that say so, in {lines}')
    return said[0]


def says_what_is_missing():
    with Fated(name='refusal') as d:
        said = sentence(d)
        print(f'# {said}', flush=True)
        for what in (f'kernel {os.uname().release}', 'bpf_timer', '5.15 or later', 'CONFIG_DEBUG_INFO_BTF=y', 'Debian 12'):
            if what not in said:
                raise AssertionError(f'{what!r} is not in: {said}')
        if re.search(r'(?i)errno|invalid argument|permission denied|verifier|libbpf', said):
            raise AssertionError(f'the refusal speaks in riddles: {said}')


def says_it_again():
    with Fated(name='refusal') as d:
        first = sentence(d)
        os.truncate(d.stderr, 0)
        equal(sentence(d), first, 'the second refusal')


def leaves_nothing():
    before = groups(), fated.mounts(), links()
    with Fated(name='refusal') as d:
        sentence(d)
        wrong = [f'control group {g} is left' for g in sorted(groups() - before[0])]
        wrong += [f'mount {m} is left' for m in fated.mounts() if m not in before[1]]
        wrong += [f'pin {p} is left' for p in d.pins()]
        wrong += [f'{d.socket} is left'] if os.path.exists(d.socket) else []
        if links() != before[2]:
            wrong.append('programs or links are left in the kernel')
        if wrong:
            raise AssertionError('; '.join(wrong))


def answers_what_needs_no_kernel():
    for option in ('--version', '--help', '--sample-config'):
        p = subprocess.run([FATED, option], capture_output=True, text=True)
        equal((p.returncode, p.stderr), (0, ''), f'fated {option}')
        if not p.stdout:
            raise AssertionError(f'fated {option} says nothing')


def main():
    tests = Tests()
    for test in (says_what_is_missing, says_it_again, leaves_nothing, answers_what_needs_no_kernel):
        def run(test=test):
            old_kernel()
            test()
        tests.run(f'refusal_{test.__name__}', run)
    tests.end()


if __name__ == '__main__':
    main()
