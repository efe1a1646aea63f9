"""A program of ours starts once more for large pages: only where they help, and as it was started."""

import os
import subprocess
import sys

import pytest

from cnn_jax.devices import large_pages

linux = pytest.mark.skipif(large_pages.glibc_version() < large_pages.OLDEST_GLIBC, reason='no glibc with the setting')
PROGRAM = """
import os, sys
from cnn_jax.devices import large_pages
large_pages.kernel_waits = lambda: True  # whatever this machine's kernel does
print('started', flush=True)
large_pages.start_again()
print(os.getpid(), sys.argv[1:], large_pages.are_in_use(os.environ), sys.stdin.read())
"""


def started(environment):
    """What the program prints, and its process number; each start prints a line."""
    bare = {name: value for name, value in os.environ.items() if name != large_pages.TUNABLES}
    process = subprocess.Popen(
        [sys.executable, '-c', PROGRAM, 'an argument', '--flag'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**bare, **environment},
    )  # fmt: skip
    return process.communicate('typed')[0].splitlines(), process.pid


@linux
def test_a_process_starts_once_more_with_its_number_arguments_and_input():
    lines, pid = started({})
    assert lines == ['started', 'started', f"{pid} ['an argument', '--flag'] True typed"]


@linux
@pytest.mark.parametrize(
    'chosen', [{'CNN_JAX_LARGE_PAGES': '0'}, {'GLIBC_TUNABLES': 'glibc.malloc.check=1'}, {'LD_PRELOAD': 'libc.so.6'}]
)
def test_what_the_user_has_chosen_stays(chosen):
    lines, pid = started(chosen)
    assert lines == ['started', f"{pid} ['an argument', '--flag'] False typed"]


@pytest.mark.parametrize(
    ('text', 'waits'), [('always [madvise] never', True), ('[always] madvise never', False), ('[never]', False)]
)
def test_only_a_kernel_that_waits_to_be_asked(tmp_path, text, waits):
    path = tmp_path / 'enabled'
    path.write_text(text)
    assert large_pages.kernel_waits(path) is waits
    assert not large_pages.kernel_waits(tmp_path / 'nothing')


def test_importing_changes_nothing():
    code = 'import os, cnn_jax, cnn_jax.main; print(os.environ.get("GLIBC_TUNABLES"))'
    bare = {name: value for name, value in os.environ.items() if name != large_pages.TUNABLES}
    assert subprocess.check_output([sys.executable, '-c', code], text=True, env=bare).strip() == 'None'
