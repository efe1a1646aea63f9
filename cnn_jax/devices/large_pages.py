"""Large pages for malloc, where the kernel gives them only to those who ask (Linux with glibc).

glibc gives a buffer above 32 MB back when it is free, and the kernel clears each page of the next one. In pages of 2 MB
that costs a fraction: ResNet-18 at 64 pixels trains in three quarters of the time on a core. glibc reads the setting
when a process starts, so the process starts once more. Tried beside it, in the running process: a heap of one arena
that never shrinks is as quick for large nets, and up to a tenth slower for small ones, whose threads wait for it.
"""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

SWITCH = 'CNN_JAX_LARGE_PAGES'  # 0: without
TUNABLES, SETTING = 'GLIBC_TUNABLES', 'glibc.malloc.hugetlb=1'
KERNEL = Path('/sys/kernel/mm/transparent_hugepage/enabled')
OLDEST_GLIBC = (2, 35)


def start_again() -> None:
    """Starts this process again with large pages, before it has done anything; once, and only where they help.

    Not under a debugger, which would lose it, and not where the user has chosen settings of malloc.
    """
    if sys.gettrace() is None and are_missing(os.environ):
        environment = {**os.environ, TUNABLES: SETTING}
        with contextlib.suppress(OSError):  # it goes on without
            os.execve(sys.executable, sys.orig_argv, environment)


def are_missing(environment: Mapping[str, str]) -> bool:
    """Whether the kernel has large pages for who asks, and malloc does not ask yet, but may."""
    if environment.get(SWITCH) == '0' or environment.get(TUNABLES) or environment.get('LD_PRELOAD'):
        return False
    return sys.platform == 'linux' and glibc_version() >= OLDEST_GLIBC and kernel_waits()


def are_in_use(environment: Mapping[str, str]) -> bool:
    """Whether malloc asks for large pages in this process."""
    return SETTING in environment.get(TUNABLES, '')


def glibc_version() -> tuple[int, ...]:
    """Of this process, as (2, 36); () of another library."""
    try:
        words = (os.confstr('CS_GNU_LIBC_VERSION') or '').split()
    except (ValueError, OSError):
        return ()
    return tuple(int(part) for part in words[1].split('.')) if words[:1] == ['glibc'] else ()


def kernel_waits(path: Path = KERNEL) -> bool:
    """Whether the kernel gives large pages to those who ask, and to nobody else."""
    with contextlib.suppress(OSError):
        return '[madvise]' in path.read_text(encoding='ascii')
    return False
