"""What the command line sets up around the compiler."""

import ctypes
import subprocess
import sys

import jax
import pytest

from cnn_jax.devices import compilation

GLIBC = sys.platform == 'linux' and hasattr(ctypes.CDLL(None), 'malloc_trim')

# Frees 99 of 100 blocks, so that the heap cannot shrink by itself; prints the KB that go back at each event.
PROGRAM = """
import ctypes, re
from pathlib import Path
import jax
from cnn_jax.devices import compilation
compilation.give_memory_back()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
blocks = [libc.malloc(100_000) for _ in range(1000)]
for number, block in enumerate(blocks):
    ctypes.memset(block, 1, 100_000)
for number, block in enumerate(blocks):
    if number % 100 != 99:
        libc.free(block)
def resident():
    return int(re.search(r'VmRSS:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])
for event, seconds in (('/another/event', 9.0), (compilation.COMPILED, 0.5), (compilation.COMPILED, 2.0)):
    before = resident()
    jax.monitoring.record_event_duration_secs(event, seconds)
    print(before - resident())
"""


@pytest.mark.skipif(not GLIBC, reason='malloc is not that of glibc')
def test_what_a_long_compilation_frees_goes_back():
    done = subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True, text=True, check=True)
    other, short, long = map(int, done.stdout.split())
    assert max(other, short) < 10_000
    assert long > 60_000


def test_the_event_has_its_name_in_this_jax():
    """Under another one nothing would go back, and nobody would notice."""
    heard = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, duration_secs, **_: heard.append(event))
    jax.jit(lambda x: x + 3.25)(1.0)
    assert compilation.COMPILED in heard
