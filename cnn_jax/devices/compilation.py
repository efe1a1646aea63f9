"""JAX and its company, as the command line wants them: a cache of what was compiled, and no pages on the console."""

import contextlib
import ctypes
import functools
import gc
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

MAPS, MOST_MAPS = Path('/proc/self/maps'), Path('/proc/sys/vm/max_map_count')
COMPILED = '/jax/core/compile/backend_compile_duration'  # the name of JAX's event
LONG_SECONDS = 1.0  # a compilation after which giving back is worth its 20 to 90 ms


def set_up() -> None:
    """The compilation cache, before JAX compiles anything; quiet libraries; memory that goes back."""
    import absl.logging
    import jax

    give_memory_back()
    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax says there, in pages, what it also raises
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)
    folder = Path(os.environ.get('JAX_COMPILATION_CACHE_DIR') or '~/.cache/cnn_jax/jax').expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f'cnn_jax: warning: no compilation cache: {folder}: {error.strerror}', file=sys.stderr)
        return
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


@functools.cache
def give_memory_back() -> None:
    """From now on what the compiler frees in a long compilation goes back to the system, before the program runs.

    malloc (glibc's) keeps it otherwise: 830 MB after the step of ResNet-50, so that its training took 1.4 times torch's
    memory at the peak.
    """
    import jax

    jax.monitoring.register_event_duration_secs_listener(_trim)


def _trim(event: str, duration_secs: float, **details: Any) -> None:
    del details
    if event == COMPILED and duration_secs >= LONG_SECONDS:
        give_back()


def give_back() -> None:
    """What malloc keeps though it is free goes back to the system; without effect on musl, macOS and Windows."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def collect_seldom() -> None:
    """Lets Python look for cycles in memory less often: tracing makes many objects, which are in few of them.

    `lenet_digits` takes 8.6 s of CPU time instead of 9.8, with everything in the cache. For a program of ours alone.
    """
    gc.set_threshold(20_000, 20, 50)


def hush() -> None:
    """Keeps back the pages of what a failed save or load leaves behind: Orbax's event loops, and what they waited for.

    Python finds them when it collects garbage, behind the one line about the error. For a program of ours alone.
    """
    warnings.filterwarnings('ignore', 'coroutine .* was never awaited', RuntimeWarning)
    sys.unraisablehook = without_event_loops


def without_event_loops(unraisable: Any) -> None:
    """Prints what Python cannot raise, as Python does, but for errors of event loops that are closed or half made."""
    owner = getattr(unraisable.object, '__qualname__', '')
    if str(unraisable.exc_value) != 'Event loop is closed' and owner != 'BaseEventLoop.__del__':
        sys.__unraisablehook__(unraisable)


def forget_if_many() -> None:
    """Forgets what was compiled once it takes up half of the memory maps that the kernel (Linux) gives a process.

    Each program of XLA:CPU takes some; without, a process of a few hundred nets dies. A program that is needed again is
    read from the cache.
    """
    import jax

    with contextlib.suppress(OSError, ValueError):  # another system
        most = int(MOST_MAPS.read_text(encoding='utf-8'))
        with MAPS.open('rb') as maps:
            if sum(1 for _ in maps) > most / 2:
                jax.clear_caches()
                gc.collect()
