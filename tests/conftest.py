"""Eight virtual CPU devices, strict ranks, a compilation cache that lasts from one run of the suite to the next.

Compiling is most of the suite's time. Optimised code takes twice as long to compile as plain code, and XLA's fusion
emitters, which go through MLIR, three times as long as the older ones; so the tests compile plain code with the older
emitters, and so do the processes that they start. Modules that ask for `optimised` have the optimisations back.
"""

import contextlib
import gc
import os
import resource
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before JAX is imported anywhere.
QUICK = '--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1'  # a jaxlib without them says so
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {QUICK} --xla_force_host_platform_device_count=8'
os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = '1'
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ.pop('PYTHONDONTWRITEBYTECODE', None)  # dozens of processes import the package
CACHE = Path(os.environ.get('JAX_COMPILATION_CACHE_DIR') or Path.home() / '.cache' / 'cnn_jax' / 'tests')
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(CACHE)

import hypothesis
import jax
import pytest
from jax._src import lru_cache  # the writer of the cache, which JAX has no public name for
from jax._src.interpreters import mlir

from cnn_jax.devices import compilation, stop

MOST_BYTES = 3e9
collect_ignore = ['data']  # files to be copied by test_contributing.py, tests among them

hypothesis.settings.register_profile('untimed', deadline=None)  # a first call compiles, on a machine that may be busy
hypothesis.settings.load_profile('untimed')
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_compilation_cache_dir', str(CACHE))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def put_whole(self: lru_cache.LRUCache, key: str, value: bytes) -> None:
    """An entry of the compilation cache in one move: JAX writes in place, and another worker may read half of it."""
    path = Path(self.path) / f'{key}{lru_cache._CACHE_SUFFIX}'
    if not path.exists():
        part = path.with_name(f'{path.name}.{os.getpid()}.{threading.get_ident()}')
        part.write_bytes(value)
        part.replace(path)


lru_cache.LRUCache.put = put_whole

_contexts = threading.local()
make_context = mlir.make_ir_context


def shared_context() -> Any:
    """MLIR's context of a thread, for 50 programs: it takes as long to make as most programs of the tests to lower.

    It keeps the constants of its programs, hence the limit.
    """
    _contexts.uses = getattr(_contexts, 'uses', -1) + 1
    if _contexts.uses % 50 == 0:
        _contexts.one = make_context()
    return _contexts.one


mlir.make_ir_context = shared_context


def pytest_configure() -> None:
    """What `nohup` or a shell's `&` ignores is heard again: the processes that are told to stop here inherit it."""
    for name, handler in (('SIGINT', signal.default_int_handler), ('SIGHUP', signal.SIG_DFL)):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope='session', autouse=True)
def pictures_where_asked() -> Iterator[None]:
    """No run draws pictures, however long it is; a test that looks at them asks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('cnn_jax.training.run.PICTURES_FROM', float('inf'))
        patch.setattr('cnn_jax.workdir.progress.SAY_AFTER_SECONDS', 1e6)  # nor does it say that something takes long
        yield


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their page, whose figures cost more than the training of a small net."""
    monkeypatch.setattr('cnn_jax.training.run._write_report', lambda *arguments, **options: None)


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """A folder of prepared data sets, shared by all tests of this machine; the digits are written there once."""
    folder = Path(tempfile.gettempdir()) / f'cnn_jax_test_data_{os.getuid()}'
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope='module')
def signal_handlers() -> Iterator[None]:
    """`main` takes over some signals; the test process gets its own back."""
    kept = {number: signal.getsignal(number) for number in stop.numbers()}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not go through it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait for processes and locks."""
    return (os.cpu_count() or 1) + 1


def resident_bytes() -> float:
    """What this process has in memory now; where the system does not tell, the most that it had."""
    with contextlib.suppress(OSError):
        return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture(scope='module', autouse=True)
def bounded_memory() -> Iterator[None]:
    """Forgets compiled programs between modules once they fill some GB, or the kernel's maps; they are in the cache."""
    yield
    if resident_bytes() > MOST_BYTES:
        jax.clear_caches()
        compilation.give_back()
    compilation.forget_if_many()


@pytest.fixture(scope='module')
def optimised() -> Iterator[None]:
    """For modules that compute much: code compiled as users have it."""
    jax.config.update('jax_disable_most_optimizations', False)
    yield
    jax.config.update('jax_disable_most_optimizations', True)
