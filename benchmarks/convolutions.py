"""One convolution in every form: time on one core, multiply-adds, memory.

    python -m benchmarks.convolutions [--size=28 --channels=32 --window=3 --batch=4]

Process CPU time, medians, alternating, one pinned core. Multiply-adds are those of the method, without additions alone;
memory is what the compiled program needs beside its inputs and outputs, by XLA's account.
"""

import argparse
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from cnn_jax import ops
from cnn_jax.ops.teaching import fourier, im2col, winograd


def lax(images: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns XLA's own convolution."""
    with ops.implementation('lax'):
        return ops.conv2d(images, kernel)


def forms(batch: int, size: int, channels: int, window: int) -> dict[str, tuple[Callable[..., jax.Array], int]]:
    """Returns the forms and their multiply-adds; as many channels go in as come out, valid padding."""
    outputs = size - window + 1
    direct = batch * outputs**2 * window**2 * channels**2
    table: dict[str, tuple[Callable[..., jax.Array], int]] = {
        'XLA': (lax, direct),
        'cnn_jax.ops': (ops.conv2d, direct),
        'im2col': (im2col.conv2d, direct),
    }
    circle = (size + window - 1) * ((size + window - 1) // 2 + 1)  # numbers in half a spectrum
    transforms = (batch * channels * 2 + channels**2) * 2.5 * 2 * circle * math.log2(size + window - 1)
    table['FFT'] = (fourier.conv2d, round(3 * batch * circle * channels**2 + transforms))
    if window == 3:
        table['Winograd F(2x2,3x3)'] = (winograd.conv2d, batch * math.ceil(outputs / 2) ** 2 * 16 * channels**2)
    return table


def main() -> None:
    """Prints the table and writes benchmarks/results/convolutions.json."""
    timing.pin_one_core()
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (('batch', 4), ('size', 28), ('channels', 32), ('window', 3)):
        parser.add_argument(f'--{name}', type=int, default=default)
    settings = vars(parser.parse_args())
    batch, size, channels, window = (settings[n] for n in ('batch', 'size', 'channels', 'window'))
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((batch, size, size, channels)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((window, window, channels, channels)), jnp.float32)
    table = forms(**settings)
    times, _, difference = timing.alternately([f for f, _ in table.values()], [images, kernel])
    rows: list[dict[str, Any]] = []
    print(f'{batch}x{size}x{size}x{channels} by {window}x{window}, {channels} out; largest difference {difference:.0e}')
    print(f'{"form":24}{"time":>10}{"multiply-adds":>16}{"memory":>12}')
    for (name, (function, macs)), milliseconds in zip(table.items(), times, strict=True):
        analysis = jax.jit(function).lower(images, kernel).compile().memory_analysis()
        memory = getattr(analysis, 'temp_size_in_bytes', 0)
        rows.append({'form': name, 'ms': round(milliseconds, 3), 'macs': macs, 'bytes': memory, **settings})
        print(f'{name:24}{milliseconds:7.2f} ms{macs / 1e6:14.1f} M{memory / 1e6:9.2f} MB')
    print(f'written to {timing.write("convolutions", rows)}')


if __name__ == '__main__':
    main()
