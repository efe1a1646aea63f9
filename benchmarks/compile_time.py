"""How long a net takes until its first gradient: initialisation, tracing and compiling, cold and with the cache.

    python -m benchmarks.compile_time                                    # ResNet-152
    python -m benchmarks.compile_time --models all

Each figure is of a process of its own, imports aside: the first one finds an empty compilation cache, the second finds
what the first has left. Initialisation is `cnn_jax.initialize`, values included; the gradient is that of the usual loss
on 8 images with respect to all parameters, traced and compiled but not run. Wall seconds, and CPU seconds, which other
work on the machine disturbs less. Writes benchmarks/results/compile_time.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks import timing
from benchmarks.lenet_digits import ROOT, machine

BATCH, SIZE = 8, 224
NETS = {
    'alexnet': ('alexnet', '2012'),
    'vgg16': ('vgg', 'D'),
    'vgg19': ('vgg', 'E'),
    'googlenet': ('googlenet', 'paper'),
    'resnet18': ('resnet', 'resnet18'),
    'resnet34': ('resnet', 'resnet34'),
    'resnet50': ('resnet', 'resnet50'),
    'resnet101': ('resnet', 'resnet101'),
    'resnet152': ('resnet', 'resnet152'),
}
# Wall seconds of ResNet-152 on two cores, all stages together, as the project's issue on the classic nets has them.
TARGETS = {'cold': 60, 'warm': 10}
STAGES = ('initialise', 'trace', 'compile')


def stages(name: str, size: int = SIZE, **fields: Any) -> dict[str, dict[str, float]]:
    """Wall and CPU seconds of each stage of a net, in this process; `fields` are of the model."""
    import importlib

    import jax
    import jax.numpy as jnp
    import optax

    from cnn_jax.losses import with_auxiliary_heads
    from cnn_jax.steps.initialize import initialize

    family, variant = NETS[name]
    model = importlib.import_module(f'cnn_jax.models.{family}').VARIANTS[variant](**fields)
    images, labels = jnp.zeros((BATCH, size, size, 3)), jnp.zeros(BATCH, jnp.int32)
    loss_of = with_auxiliary_heads(optax.softmax_cross_entropy_with_integer_labels)

    def loss(params: Any, others: Any, key: jax.Array) -> Any:
        variables, rngs = {'params': params, **others}, {'dropout': key}
        scores, changed = model.apply(variables, images, train=True, rngs=rngs, mutable=['batch_stats'])
        return loss_of(scores, labels).mean(), changed

    key = jax.block_until_ready(jax.random.key(0))
    seconds: dict[str, dict[str, float]] = {}
    init = timed(seconds, 'initialise', lambda: jax.block_until_ready(initialize(model, key, images, train=False)))
    others = {collection: tree for collection, tree in init.items() if collection != 'params'}
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    lowered = timed(seconds, 'trace', lambda: gradient.lower(init['params'], others, key))
    timed(seconds, 'compile', lowered.compile)
    return seconds


def timed(seconds: dict[str, dict[str, float]], stage: str, action: Callable[[], Any]) -> Any:
    """The result of an action, whose seconds are noted."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    seconds[stage] = {
        'wall': round(time.perf_counter() - wall, 2),
        'cpu': round(time.process_time() - cpu, 2),
    }
    return result


def measure(name: str) -> dict[str, Any]:
    """The stages of a net in two processes, `cold` and `warm`."""
    row: dict[str, Any] = {'model': name, 'date': time.strftime('%Y-%m-%d')}
    with tempfile.TemporaryDirectory() as cache:
        settings = {
            'JAX_COMPILATION_CACHE_DIR': cache,
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
            'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
        }
        for kind in TARGETS:
            command = [sys.executable, '-m', 'benchmarks.compile_time', '--stages', name]
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, **settings}, check=True, stdout=subprocess.PIPE, text=True
            )
            row[kind] = json.loads(done.stdout.splitlines()[-1])
    return row


def text(row: dict[str, Any]) -> str:
    """A row of the Markdown table: wall seconds, the CPU seconds of all in brackets."""
    cells = []
    for kind in TARGETS:
        found = row[kind]
        total, cpu = (sum(found[stage][clock] for stage in STAGES) for clock in ('wall', 'cpu'))
        cells += [*(f'{found[stage]["wall"]:.1f}' for stage in STAGES), f'{total:.1f} ({cpu:.1f})']
    return f'| {row["model"]} | ' + ' | '.join(cells) + ' |'


def write(rows: list[dict[str, Any]]) -> None:
    """Writes the rows; those of nets that were not measured now stay."""
    path = timing.RESULTS / 'compile_time.json'
    old = json.loads(path.read_text())['rows'] if path.exists() else []
    measured = {row['model'] for row in rows}
    rows = [row for row in old if row['model'] not in measured] + rows
    path.write_text(json.dumps({'machine': machine(), 'rows': rows}, indent=1) + '\n')
    print(f'written to {path}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', nargs='+', choices=[*NETS, 'all'], default=['resnet152'])
    parser.add_argument('--stages', choices=NETS, help=argparse.SUPPRESS)  # a process that measures one net
    options = parser.parse_args()
    if options.stages:
        print(json.dumps(stages(options.stages)))
        return
    print(f'{machine()}; wall seconds, in brackets CPU seconds')
    print('| net | ' + ' | '.join(f'{kind}: {stage}' for kind in TARGETS for stage in (*STAGES, 'all')) + ' |')
    print('|---' * 9 + '|')
    rows = []
    for name in NETS if 'all' in options.models else options.models:
        rows.append(measure(name))
        print(text(rows[-1]), flush=True)
    write(rows)


if __name__ == '__main__':
    main()
