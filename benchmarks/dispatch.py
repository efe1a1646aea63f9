"""Several training steps in one dispatch, against the loop that starts one after the other, on one core.

    python -m benchmarks.dispatch

The set is on the device. `one by one` is what training does: rows are gathered, then a step is started, and Python runs
ahead of the device. The other ways gather within the jitted program and take 1, 4 or 8 steps in it, written out one
after the other or as `lax.scan`. All take the same steps; the ways take turns, and a row is the median of a step, in
wall time and in process CPU time. Writes benchmarks/results/dispatch.json.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import timing

EXPERIMENTS = {'lenet_digits': (80, 3), 'resnet_digits': (16, 3)}  # steps in a turn, rounds: eight minutes in all
WAYS = (('one by one', 0), ('together', 1), ('together', 4), ('together', 8), ('scan', 4), ('scan', 8))

Turn = Callable[[Any, int], tuple[Any, Any]]  # (state, first step) -> (state, metrics of the last), on their way


def make_turns(name: str, data_dir: Path, num_steps: int) -> tuple[dict[str, Turn], Callable[[], Any]]:
    """The ways to take `num_steps` steps of an experiment, and what gives a new first state."""
    from cnn_jax import experiment
    from cnn_jax.data import pipeline
    from cnn_jax.devices import mapping
    from cnn_jax.devices.feed import ResidentFeed
    from cnn_jax.training import states

    made, mesh = experiment.load(name, {}).experiment, mapping.make_mesh(1)
    feed = ResidentFeed(made.data, data_dir=data_dir, seed=0, mesh=mesh)
    arrays = pipeline.load_arrays(feed.source('train'))
    arrays = mapping.replicate(mesh, {name: arrays[name] for name in ('image', 'label')})
    step = made.train_step()
    mapped = mapping.map_step(step, mesh)

    def one_by_one(state: Any, first: int) -> tuple[Any, Any]:
        for number in range(first, first + num_steps):
            state, metrics = mapped(state, feed.train(number))
        return state, metrics

    def together(count: int, scan: bool) -> Turn:
        several = _several(step, mesh, scan=scan)

        def turn(state: Any, first: int) -> tuple[Any, Any]:
            for number in range(first, first + num_steps, count):
                where = _where(len(arrays['label']), made.data.batch_size, range(number, number + count))
                state, metrics = several(state, arrays, mapping.replicate(mesh, where))
            return state, metrics

        return turn

    turns = {f'{way}, {count}' if count else way: together(count, way == 'scan') for way, count in WAYS}
    like = states.abstract_state(made, mesh)
    return {**turns, 'one by one': one_by_one}, lambda: states.initial_state(made, like, seed=0)


def _several(step: Callable, mesh: Any, *, scan: bool) -> Callable:
    """`(state, arrays, where) -> (state, metrics of the last step)`; `where` is of several batches, (steps, batch)."""
    import jax
    from jax.sharding import PartitionSpec as P

    def one(state: Any, arrays: Any, rows: Any) -> tuple[Any, Any]:
        return step(state, {**jax.tree.map(lambda array: array[rows['index']], arrays), **rows})

    def several(state: Any, arrays: Any, where: Any) -> tuple[Any, Any]:
        if scan:
            state, metrics = jax.lax.scan(lambda state, rows: one(state, arrays, rows), state, where)
            return state, jax.tree.map(lambda values: values[-1], metrics)
        for number in range(len(where['index'])):
            state, metrics = one(state, arrays, {name: rows[number] for name, rows in where.items()})
        return state, metrics

    specs = (P(), P(), P(None, 'data'))
    return jax.jit(jax.shard_map(several, mesh=mesh, in_specs=specs, out_specs=(P(), P())), donate_argnums=0)


def _where(num_rows: int, batch_size: int, steps: range) -> dict[str, Any]:
    import numpy as np

    from cnn_jax.data import order

    found = [order.rows(num_rows, 0, step, batch_size) for step in steps]
    index, epoch = (np.stack([rows[part] for rows in found]) for part in (0, 1))
    return {'index': index, 'epoch': epoch, 'mask': np.ones(index.shape, bool)}


def measure(name: str, data_dir: Path, num_steps: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each way: milliseconds of a step, seconds of the first turn (compilation), the loss at its end."""
    import jax

    turns, start = make_turns(name, data_dir, num_steps)
    states, losses, compiling = {}, {}, {}
    for way, turn in turns.items():
        begin = time.perf_counter()
        states[way], metrics = jax.block_until_ready(turn(start(), 0))
        compiling[way], losses[way] = time.perf_counter() - begin, float(metrics['loss'])
    wall, cpu = ({way: [] for way in turns} for _ in range(2))
    for number in range(1, rounds + 1):
        for way in turns if number % 2 else reversed(turns):
            begin, used = time.perf_counter(), time.process_time()
            states[way], _ = jax.block_until_ready(turns[way](states[way], number * num_steps))
            wall[way].append((time.perf_counter() - begin) / num_steps * 1e3)
            cpu[way].append((time.process_time() - used) / num_steps * 1e3)
    for way in turns:
        numbers = {'wall': statistics.median(wall[way]), 'cpu': statistics.median(cpu[way])}
        first = {'first_turn': compiling[way], 'loss': losses[way]}
        yield {'experiment': name, 'way': way, **numbers, **first, 'date': time.strftime('%Y-%m-%d')}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    timing.pin_one_core()
    rows = []
    print(f'{"":<28}{"wall ms":>10}{"CPU ms":>10}{"of one by one":>15}{"first turn s":>14}{"loss":>10}')
    with tempfile.TemporaryDirectory() as folder:
        for name, (num_steps, rounds) in EXPERIMENTS.items():
            found = list(measure(name, Path(folder), num_steps, rounds))
            base = next(row['cpu'] for row in found if row['way'] == 'one by one')
            print(name)
            for row in found:
                print(
                    f'  {row["way"]:<26}{row["wall"]:>10.2f}{row["cpu"]:>10.2f}{row["cpu"] / base:>15.3f}'
                    f'{row["first_turn"]:>14.1f}{row["loss"]:>10.5f}'
                )
            rows += found
    print(f'written to {timing.write("dispatch", rows)}')


if __name__ == '__main__':
    main()
