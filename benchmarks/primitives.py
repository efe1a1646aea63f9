"""Each primitive as Flax or XLA has it, and ours: time on one core, ratio, largest difference.

    python -m benchmarks.primitives [--only=max_pool]

Process CPU time, medians, alternating, one pinned core. Parts: "forward", the gradient of the "images", or "both"
forward and all gradients.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks import timing
from cnn_jax import ops


class Case(NamedTuple):
    """One line of the table: the peer's function and ours, of the same arrays; target is the ratio to reach."""

    name: str
    peer: Callable[..., jax.Array]
    ours: Callable[..., jax.Array]
    shapes: tuple[tuple[int, ...], ...]
    part: str = 'both'
    target: float | None = None


def convolution(
    images: tuple[int, ...], kernel: tuple[int, ...], part: str, target: float | None = None, **arguments: Any
) -> Case:
    """Returns a convolution beside XLA's own."""

    def plain(x: jax.Array, k: jax.Array) -> jax.Array:
        with ops.implementation('lax'):
            return ops.conv2d(x, k, **arguments)

    groups = arguments.get('groups', 1)
    kind = f' g{groups}' if groups > 1 else ''
    name = f'conv {kernel[0]}x{kernel[1]}/{arguments.get("stride", 1)}{kind} {"x".join(map(str, images))}->{kernel[3]}'
    return Case(name, plain, lambda x, k: ops.conv2d(x, k, **arguments), (images, kernel), part, target)


def max_pool(images: tuple[int, ...], window: int, stride: int, padding: int, target: float | None = None) -> Case:
    """Returns a max-pool beside Flax's."""
    pads = ((padding, padding), (padding, padding))
    return Case(
        f'max_pool {window}x{window}/{stride} {"x".join(map(str, images))}',
        lambda x: nn.max_pool(x, (window, window), (stride, stride), pads),  # pyright: ignore[reportArgumentType]
        lambda x: ops.max_pool(x, window=window, stride=stride, padding=padding),
        (images,),
        'both',
        target,
    )


def batch_norm(images: tuple[int, ...], target: float | None = None) -> Case:
    """Returns training batch norm and ReLU beside Flax's."""

    def peer(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        layer = nn.BatchNorm(use_running_average=False)
        averages = {'mean': jnp.zeros_like(scale), 'var': jnp.ones_like(scale)}
        variables = {'params': {'scale': scale, 'bias': bias}, 'batch_stats': averages}
        return nn.relu(layer.apply(variables, x, mutable='batch_stats')[0])  # type: ignore[arg-type]

    def ours(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        return nn.relu(ops.batch_norm_training(x, scale, bias)[0])

    vector = (images[3],)
    return Case(f'batch_norm+relu {"x".join(map(str, images))}', peer, ours, (images, vector, vector), 'both', target)


def cases() -> Iterator[Case]:
    """Yields the rows of the table; targets are those of the project's issue on primitives."""
    yield max_pool((8, 112, 112, 64), 2, 2, 0, 10)
    yield max_pool((8, 112, 112, 64), 3, 2, 1, 10)
    yield max_pool((8, 28, 28, 192), 3, 1, 1, 5)
    yield max_pool((64, 28, 28, 6), 2, 2, 0)
    for part in ('forward', 'images'):
        yield convolution((32, 2, 2, 512), (3, 3, 512, 512), part, 30, padding=1)
        yield convolution((32, 1, 1, 512), (3, 3, 512, 512), part, 30, padding=1)
        yield convolution((32, 2, 2, 256), (3, 3, 256, 512), part, 10, padding=1, stride=2)
    yield convolution((32, 3, 3, 256), (3, 3, 256, 256), 'forward', 30, padding=1)
    yield convolution((32, 4, 4, 256), (3, 3, 256, 512), 'images', 10, padding=1, stride=2)
    yield convolution((64, 32, 32, 1), (5, 5, 1, 6), 'forward', 5)
    yield convolution((64, 28, 28, 1), (3, 3, 1, 16), 'forward', 5, padding=1)
    yield convolution((64, 14, 14, 6), (5, 5, 6, 16), 'images')
    yield convolution((64, 5, 5, 16), (5, 5, 16, 120), 'both')
    yield convolution((8, 28, 28, 128), (3, 3, 4, 128), 'both', 20, padding=1, groups=32)
    yield convolution((8, 14, 14, 256), (3, 3, 8, 256), 'both', 20, padding=1, groups=32)
    yield convolution((4, 27, 27, 96), (5, 5, 48, 256), 'both', padding=2, groups=2)
    yield convolution((8, 28, 28, 192), (3, 3, 1, 192), 'both', 5, padding=1, groups=192)
    yield convolution((8, 14, 14, 384), (3, 3, 1, 384), 'both', 5, padding=1, groups=384)
    yield convolution((8, 28, 28, 192), (3, 3, 1, 192), 'both', 5, padding=1, groups=192, stride=2)
    yield convolution((8, 112, 112, 32), (3, 3, 1, 32), 'both', 5, padding=1, groups=32)
    yield convolution((8, 14, 14, 384), (7, 7, 1, 384), 'both', padding=3, groups=384)
    yield convolution((8, 56, 56, 64), (1, 1, 64, 256), 'both')
    yield convolution((8, 14, 14, 1024), (1, 1, 1024, 256), 'both')
    yield convolution((8, 56, 56, 64), (3, 3, 64, 64), 'both', padding=1)
    yield convolution((8, 28, 28, 256), (3, 3, 256, 256), 'both', padding=1)
    yield convolution((8, 14, 14, 256), (3, 3, 256, 256), 'both', padding=1)
    yield batch_norm((8, 56, 56, 256), 2.5)
    yield batch_norm((32, 16, 16, 64), 2.5)


def timed(function: Callable[..., jax.Array], part: str) -> Callable[..., Any]:
    """Returns what is timed, of the gradient of the outputs and then the function's own arrays."""
    if part == 'forward':
        return lambda _, *arrays: function(*arrays)

    def both(weights: jax.Array, *arrays: jax.Array) -> Any:
        outputs, pull = jax.vjp(function, *arrays)
        return (outputs, pull(weights)) if part == 'both' else pull(weights)[0]

    return both


def measure(case: Case) -> dict[str, Any]:
    """Returns one row of the table."""
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in case.shapes]
    out = jax.eval_shape(case.peer, *arrays)
    weights = jnp.asarray(rng.standard_normal(out.shape), jnp.float32)
    (peer, ours), compiling, difference = timing.alternately(
        [timed(case.peer, case.part), timed(case.ours, case.part)], [weights, *arrays]
    )
    return {
        'name': case.name,
        'part': case.part,
        'peer_ms': round(peer, 3),
        'ours_ms': round(ours, 3),
        'ratio': round(peer / ours, 1),
        'target': case.target,
        'difference': float(f'{difference:.1e}'),
        'peer_compile_seconds': round(compiling[0], 2),
        'ours_compile_seconds': round(compiling[1], 2),
    }


def main() -> None:
    """Prints the table and writes benchmarks/results/primitives.json."""
    timing.pin_one_core()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', default='', help='rows whose name contains this; nothing is written then')
    only = parser.parse_args().only
    print(
        f'{"primitive":48}{"part":9}{"Flax/XLA":>10}{"ours":>10}{"ratio":>8}{"target":>8}{"difference":>12}{"compile":>14}'
    )
    rows = []
    for case in cases():
        if only in case.name:
            row = measure(case)
            rows.append(row)
            target = '' if row['target'] is None else f'{row["target"]:g}x'
            compiling = f'{row["peer_compile_seconds"]:.1f}>{row["ours_compile_seconds"]:.1f} s'
            print(
                f'{row["name"]:48}{row["part"]:9}{row["peer_ms"]:7.2f} ms{row["ours_ms"]:7.2f} ms{row["ratio"]:7.1f}x'
                f'{target:>8}{row["difference"]:12.0e}{compiling:>14}',
                flush=True,
            )
    if not only:
        print(f'written to {timing.write("primitives", rows)}')


if __name__ == '__main__':
    main()
