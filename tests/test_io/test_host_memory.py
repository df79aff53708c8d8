"""Freed memory is used again without a page fault, unless the user has set malloc up."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / 'allinone/io/host_memory.py'
# In its own process, since the setting holds for a whole process and cannot be taken back.
PROGRAM = """
import resource, runpy, sys

def fill():
    return [b'x' * (8 << 20) for _ in range(8)]

print(runpy.run_path(sys.argv[1])['keep_freed_memory']())
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(**environment) -> tuple[bool, int]:
    """Whether it was set, and the page faults of using 64 MiB again."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith('MALLOC_')}
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, str(MODULE)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    was_set, faults = done.stdout.split()
    return was_set == 'True', int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='glibc only')
def test_no_page_faults_after_the_first_use():
    was_set, faults = run()
    assert was_set
    assert faults < 16


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='glibc only')
def test_a_setting_of_the_user_is_left_alone():
    was_set, faults = run(MALLOC_MMAP_THRESHOLD_='1048576')
    assert not was_set
    assert faults >= 16
