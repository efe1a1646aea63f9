"""What a training step of an experiment costs here: time, memory, arithmetic, and how it scales over the devices.

FLOP counts are those of the papers: two for each multiply-add of a layer with a kernel, and twice as much again for the
backward pass. Utilisation is their rate over that of one large float32 matrix product, measured here.
"""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

from cnn_jax import describe
from cnn_jax.devices import mapping, processes
from cnn_jax.devices.feed import Feed
from cnn_jax.drawing.words import duration
from cnn_jax.errors import StorageError
from cnn_jax.experiment import Experiment, Loaded
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.log import Log

WARM_UP_STEPS = 3
SECONDS = 5.0  # of steps that are timed, on each number of devices
MOST_STEPS = 200
PEAK_SIZE = 2048  # rows and columns of the matrix product
PASSES = 3  # forward, and backward for the images and the kernels
MEBIBYTE = 2**20


class Memory(NamedTuple):
    """Bytes on one device, by the compiler's account.

    Attributes:
        state: parameters, optimizer and statistics; the step donates them, so they count once.
        batch: the images and what goes with them.
        activations: what the step holds beside: activations, gradients, workspace.
        available: what the device has; with virtual devices their share of the machine.
    """

    state: int
    batch: int
    activations: int
    available: int | None

    @property
    def peak(self) -> int:
        return self.state + self.batch + self.activations

    @property
    def fits(self) -> bool:
        return self.available is None or self.peak <= self.available


class Row(NamedTuple):
    """A number of devices: what the compiler says, and what was measured; no times where the step does not fit."""

    devices: int
    compile_seconds: float
    memory: Memory | None
    step_seconds: float = math.nan
    data_wait: float = math.nan
    images_per_second: float = math.nan
    efficiency: float = math.nan
    utilisation: float = math.nan


def benchmark(
    loaded: Loaded, *, seed: int, data_dir: Path, parallel: mapping.Parallel, workdir: Path | None, log: Log
) -> None:
    """Measures the training step on 1, 2, 4, 8, ... devices and prints a table; with `workdir`, JSON there as well."""
    experiment = loaded.experiment
    layers = [layer for layer in describe.layer_table(experiment.model, experiment.input_shape) if layer.depth == 1]
    macs, kept = sum(layer.macs for layer in layers), sum(layer.activation_bytes for layer in layers)
    with log.working('timing a matrix product'):
        peak = matrix_product_rate()
    log.say(f'{loaded.name}: {type(experiment.model).__name__} on {experiment.data.name}, --parallel={parallel}')
    log.say(processes.describe_devices())
    log.say(f'batch          {experiment.data.batch_size} images in all, {macs:,} MACs forward for each')
    log.say(f'activations    {kept * experiment.data.batch_size / MEBIBYTE:,.1f} MiB of all layers together')
    log.say(f'matrix product {peak / 1e9:,.0f} GFLOP/s on one device, float32, {PEAK_SIZE} x {PEAK_SIZE}')
    rows = []
    for devices in device_counts(experiment.data.batch_size):
        with log.working(f'compiling and timing on {devices} device{"s" * (devices > 1)}'):
            row = _measure(experiment, devices, seed=seed, data_dir=data_dir, parallel=parallel, log=log)
        first = rows[0] if rows else row
        flops = 2 * PASSES * macs * row.images_per_second / devices
        rows.append(
            row._replace(
                efficiency=row.images_per_second / first.images_per_second * first.devices / devices,
                utilisation=flops / peak,
            )
        )
    for line in table(rows):
        log.say(line)
    if jax.devices()[0].platform == 'cpu' and len(rows) > 1:
        log.say('the devices of a CPU share its cores: the efficiency says what splitting costs, not what it gains')
    if workdir is not None and processes.is_main_process():
        found = {'experiment': loaded.name, 'options': loaded.options, 'parallel': parallel, 'macs': macs}
        _write(workdir / 'benchmark.json', {**found, 'peak_flops': peak, 'rows': [_plain(row) for row in rows]})
        log.say(f'written to {workdir / "benchmark.json"}')


def device_counts(batch_size: int) -> list[int]:
    """1, 2, 4, ... and all devices, those that a batch divides over; several processes: all."""
    available = jax.device_count()
    powers = [2**power for power in range(available.bit_length())]
    counts = sorted({count for count in (*powers, available) if count <= available and batch_size % count == 0})
    if jax.process_count() > 1:
        counts = [count for count in counts if count == available]
    if not counts:
        mapping.check_divides(batch_size, mapping.make_mesh())
    return counts


def matrix_product_rate(size: int = PEAK_SIZE, *, rounds: int = 5) -> float:
    """FLOP/s of a float32 matrix product on the first device, the best of some rounds."""
    multiply = jax.jit(lambda a, b: a @ b)
    a = jax.device_put(jnp.ones((size, size)), jax.local_devices()[0])
    multiply(a, a).block_until_ready()
    best = min(_seconds(lambda: multiply(a, a).block_until_ready()) for _ in range(rounds))
    return 2 * size**3 / best


def table(rows: list[Row]) -> list[str]:
    """The rows in words, one line each."""
    names = ['devices', 'compile', 'step', 'images/s', 'data wait', 'state', 'activations', 'peak', 'MFU', 'efficiency']
    cells = [names] + [
        [
            str(row.devices),
            duration(row.compile_seconds),
            _or_dash(row.step_seconds, lambda value: f'{value * 1e3:,.2f} ms'),
            _or_dash(row.images_per_second, lambda value: f'{value:,.0f}'),
            _or_dash(row.data_wait, lambda value: f'{value:.1%}'),
            *(_or_dash(value, lambda value: f'{value / MEBIBYTE:,.1f} MiB') for value in _bytes(row.memory)),
            _or_dash(row.utilisation, lambda value: f'{value:.1%}'),
            _or_dash(row.efficiency, lambda value: f'{value:.0%}'),
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return ['  '.join(f'{cell:>{width}}' for cell, width in zip(line, widths, strict=True)) for line in cells]


def _measure(
    experiment: Experiment, devices: int, *, seed: int, data_dir: Path, parallel: mapping.Parallel, log: Log
) -> Row:
    setup = Setup(experiment, data_dir=data_dir, parallel=parallel, num_devices=devices)
    feed, step = setup.open_feed(seed), setup.train_step
    batch = feed.train(0)
    begin = time.perf_counter()
    memory = None
    if hasattr(step, 'lower'):
        with _without_cache():
            step = step.lower(setup.like, batch).compile()
        memory = memory_of(step, devices)
    compile_seconds = time.perf_counter() - begin
    if memory is not None and not memory.fits:
        log.say(
            f'warning: on {devices} device{"s" * (devices > 1)} a step needs {memory.peak / MEBIBYTE:,.1f} MiB on each '
            f'and there are {(memory.available or 0) / MEBIBYTE:,.1f}, so it is not run; '
            'give more devices, a smaller batch_size, or --parallel=sharded'
        )
        return Row(devices, compile_seconds, memory)
    return _time(setup, step, feed, seed, Row(devices, compile_seconds, memory))


def _time(setup: Setup, step: Callable, feed: Feed, seed: int, row: Row) -> Row:
    """Runs steps for some seconds; the batches come as in training."""
    state = setup.initial_state(seed)
    begin = time.perf_counter()
    for number in range(WARM_UP_STEPS):
        state, metrics = step(state, feed.train(number))
        jax.block_until_ready(metrics)
        if number == 0 and row.memory is None:
            row = row._replace(compile_seconds=time.perf_counter() - begin)
    number, waited, begin = WARM_UP_STEPS, 0.0, time.perf_counter()
    while number < WARM_UP_STEPS + MOST_STEPS and time.perf_counter() - begin < SECONDS:
        asked = time.perf_counter()
        batch = feed.train(number)
        waited += time.perf_counter() - asked
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        number += 1
    seconds = time.perf_counter() - begin
    steps = number - WARM_UP_STEPS
    rate = steps * setup.experiment.data.batch_size / seconds
    return row._replace(step_seconds=seconds / steps, data_wait=waited / seconds, images_per_second=rate)


def memory_of(compiled: Any, devices: int) -> Memory:
    """What a compiled step needs on a device. The batch is what it reads and does not give back."""
    counts = compiled.memory_analysis()
    return Memory(
        state=counts.alias_size_in_bytes,
        batch=counts.argument_size_in_bytes - counts.alias_size_in_bytes,
        activations=counts.temp_size_in_bytes + counts.output_size_in_bytes - counts.alias_size_in_bytes,
        available=_available(devices),
    )


def _available(devices: int) -> int | None:
    """Bytes that a device has in all."""
    device = jax.local_devices()[0]
    if device.platform == 'cpu':
        if not hasattr(os, 'sysconf'):  # Windows does not say
            return None
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // devices
    return (device.memory_stats() or {}).get('bytes_limit')


@contextlib.contextmanager
def _without_cache() -> Iterator[None]:
    """Compiles anew within the block: a program from the disk would be there at once."""
    enabled = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update('jax_enable_compilation_cache', False)
    compilation_cache.reset_cache()  # JAX remembers whether there is one
    try:
        yield
    finally:
        jax.config.update('jax_enable_compilation_cache', enabled)
        compilation_cache.reset_cache()


def _seconds(action: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _bytes(memory: Memory | None) -> tuple[float, ...]:
    return (memory.state, memory.activations, memory.peak) if memory else (math.nan,) * 3


def _or_dash(value: float, say: Callable[[float], str]) -> str:
    return '-' if math.isnan(value) else say(value)


def _plain(row: Row) -> dict[str, Any]:
    """A row as JSON values; what was not measured is None."""
    values = {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row._asdict().items()
    }
    return {**values, 'memory': {**row.memory._asdict(), 'peak': row.memory.peak} if row.memory else None}


def _write(path: Path, found: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
    except OSError as error:
        raise StorageError(f'cannot write {path}: {error.strerror}; give another --workdir') from error
