"""Convolutions and pools of random shapes and arguments, each against its definition in float64, gradients included.

    python -m benchmarks.fuzz_ops [--cases=500 --seed=0]

Prints every case that is off, and ends with code 1 if there is one. The suite tries a few cases of the same kinds.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import ops

Draw = Callable[[int, int], int]  # an integer between two, both included
Arrays = tuple[np.ndarray, ...]
MOST = 2e-5  # relative to the largest number of an array: sums of float32 over a few hundred terms


class Case(NamedTuple):
    """One function of arrays of these shapes, and its definition in numpy.

    Attributes:
        text: what was drawn.
        choice: of the implementation.
        has_ties: few distinct values.
        forward: arrays to outputs.
        gradients: the gradient of the outputs and the arrays, to the gradients of the arrays.
    """

    text: str
    choice: str
    function: Callable[..., jax.Array]
    shapes: tuple[tuple[int, ...], ...]
    has_ties: bool
    forward: Callable[..., np.ndarray]
    gradients: Callable[..., Arrays]


# A convolution reads a large array, its padded images, at places `stride` apart, and makes a small one. Its gradients
# and its transpose are sums over the same taps.


class Taps(NamedTuple):
    """How the small array, of these (rows, columns), lies on the large one."""

    window: tuple[int, int]
    sizes: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def places(self) -> Any:
        """Yields each tap and what it reads of the large array."""
        for tap in itertools.product(*map(range, self.window)):
            starts = [t * d for t, d in zip(tap, self.dilation, strict=True)]
            yield (
                tap,
                tuple(
                    slice(start, start + (n - 1) * s + 1, s)
                    for start, n, s in zip(starts, self.sizes, self.stride, strict=True)
                ),
            )

    def split(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(*array.shape[:-1], self.groups, -1)

    def gather(self, large: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Returns the convolution of the large array."""
        small = np.zeros((len(large), *self.sizes, self.groups, kernel.shape[3] // self.groups))
        for tap, place in self.places():
            small += np.einsum('byxgc,cgo->byxgo', self.split(large[:, *place]), self.split(kernel[tap]))
        return small.reshape(*small.shape[:3], -1)

    def scatter(self, small: np.ndarray, kernel: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
        """Returns the large array, of these (rows, columns), of the transposed convolution."""
        large = np.zeros((len(small), *sizes, kernel.shape[2] * self.groups))
        for tap, place in self.places():
            part = np.einsum('byxgo,cgo->byxgc', self.split(small), self.split(kernel[tap]))
            large[:, *place] += part.reshape(*part.shape[:3], -1)
        return large

    def of_kernel(self, large: np.ndarray, small: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Returns the gradient of the kernel."""
        parts = [
            np.einsum('byxgc,byxgo->cgo', self.split(large[:, *place]), self.split(small)) for _, place in self.places()
        ]
        return np.stack(parts).reshape(shape)


def convolution(draw: Draw) -> Case:
    """Returns a convolution of any arguments that fit."""
    groups, per_group = draw(1, 3), draw(1, 2)
    window, stride, dilation = pair(draw, 1, 3), pair(draw, 1, 3), pair(draw, 1, 3)
    sizes, pads = pair(draw, 1, 5), [list(pair(draw, 0, 5)) for _ in (0, 1)]
    covered = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    for size, pad, c in zip(sizes, pads, covered, strict=True):
        pad[1] += max(0, c - size - sum(pad))
    whole = [size + sum(pad) for size, pad in zip(sizes, pads, strict=True)]
    outputs = [(w - c) // s + 1 for w, c, s in zip(whole, covered, stride, strict=True)]
    taps = Taps(window, (outputs[0], outputs[1]), stride, dilation, groups)
    shapes = (draw(1, 2), *sizes, groups * per_group), (*window, per_group, groups * draw(1, 3))
    settings: dict[str, Any] = {'stride': stride, 'padding': pads, 'dilation': dilation, 'groups': groups}
    margins = ((0, 0), *map(tuple, pads), (0, 0))
    inside = tuple(slice(pad[0], pad[0] + size) for pad, size in zip(pads, sizes, strict=True))

    def gradients(weights: np.ndarray, images: np.ndarray, kernel: np.ndarray) -> Arrays:
        of_images = taps.scatter(weights, kernel, whole)[:, *inside]
        return of_images, taps.of_kernel(np.pad(images, margins), weights, kernel.shape)

    return Case(
        f'conv2d {shapes} {settings}',
        choice(draw),
        lambda x, k: ops.conv2d(x, k, **settings),
        shapes,
        False,
        lambda x, k: taps.gather(np.pad(x, margins), k),
        gradients,
    )


def transposed(draw: Draw) -> Case:
    """Returns a transposed convolution that leaves an output."""
    groups, per_group = draw(1, 2), draw(1, 2)
    window, stride, dilation = pair(draw, 1, 3), pair(draw, 1, 3), pair(draw, 1, 2)
    sizes = pair(draw, 1, 4)
    extra = tuple(draw(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    full = [
        (n - 1) * s + (w - 1) * d + 1 + e for n, s, w, d, e in zip(sizes, stride, window, dilation, extra, strict=True)
    ]
    before = [draw(0, min(5, f - 1)) for f in full]
    pads = [(b, draw(0, min(5, f - 1 - b))) for b, f in zip(before, full, strict=True)]
    taps = Taps(window, sizes, stride, dilation, groups)
    shapes = (draw(1, 2), *sizes, groups * per_group), (*window, draw(1, 3), groups * per_group)
    settings: dict[str, Any] = {
        'stride': stride,
        'padding': pads,
        'dilation': dilation,
        'groups': groups,
        'output_padding': extra,
    }
    inside = tuple(slice(pad[0], f - pad[1]) for pad, f in zip(pads, full, strict=True))

    def gradients(weights: np.ndarray, images: np.ndarray, kernel: np.ndarray) -> Arrays:
        large = np.pad(weights, ((0, 0), *pads, (0, 0)))
        return taps.gather(large, kernel), taps.of_kernel(large, images, kernel.shape)

    return Case(
        f'conv2d_transpose {shapes} {settings}',
        choice(draw),
        lambda x, k: ops.conv2d_transpose(x, k, **settings),
        shapes,
        False,
        lambda x, k: taps.scatter(x, k, full)[:, *inside],
        gradients,
    )


# A pool, by a loop over its windows.


def pool(draw: Draw) -> Case:
    """Returns a pool of one of the three kinds."""
    kind = ('max_pool', 'avg_pool', 'l2_pool')[draw(0, 2)]
    window, stride = pair(draw, 1, 4), pair(draw, 1, 3)
    pads = [pair(draw, 0, w - 1) for w in window]
    sizes = tuple(draw(max(1, w - sum(pad)), 6) for w, pad in zip(window, pads, strict=True))
    settings: dict[str, Any] = {'window': window, 'stride': stride, 'padding': pads}
    if kind != 'l2_pool':
        settings['ceil_mode'] = bool(draw(0, 1))
    if kind == 'avg_pool':
        settings['count_padding'] = bool(draw(0, 1))
    axes = [spans(*row, ceil=settings.get('ceil_mode', False)) for row in zip(sizes, window, stride, pads, strict=True)]

    def windows(images: np.ndarray) -> Any:
        for (y, (rows, tall)), (x, (columns, wide)) in itertools.product(*map(enumerate, axes)):
            count = tall * wide if settings.get('count_padding') else math.prod(map(len, (rows, columns)))
            place = (slice(None), slice(rows.start, rows.stop), slice(columns.start, columns.stop))
            yield (slice(None), y, x), place, images[place], count

    def forward(images: np.ndarray) -> np.ndarray:
        outputs = np.zeros((len(images), len(axes[0]), len(axes[1]), images.shape[3]))
        for at, _, part, count in windows(images):
            outputs[at] = reduced(kind, part, count)
        return outputs

    def gradients(weights: np.ndarray, images: np.ndarray) -> Arrays:
        result = np.zeros_like(images)
        for at, place, part, count in windows(images):
            result[place] += weights[at][:, None, None] * shares(kind, part, count)
        return (result,)

    shape = (draw(1, 2), *sizes, draw(1, 8))
    function = getattr(ops, kind)
    return Case(
        f'{kind} {shape} {settings}',
        choice(draw),
        lambda x: function(x, **settings),
        (shape,),
        kind == 'max_pool',
        forward,
        gradients,
    )


def spans(size: int, window: int, stride: int, pad: tuple[int, int], *, ceil: bool) -> list[tuple[range, int]]:
    """Returns the pixels of each window on one axis, and how many places it has with padding that was asked for."""
    room = size + sum(pad) - window
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + pad[0]:
        count -= 1  # torch's rule
    starts = [i * stride - pad[0] for i in range(count)]
    return [
        (range(max(0, start), min(size, start + window)), min(start + window, size + pad[1]) - start)
        for start in starts
    ]


def reduced(kind: str, part: np.ndarray, count: int) -> np.ndarray:
    """Returns what a pool makes of a window, (batch, channels)."""
    if kind == 'max_pool':
        return part.max((1, 2))
    return part.sum((1, 2)) / count if kind == 'avg_pool' else np.sqrt((part**2).sum((1, 2)))


def shares(kind: str, part: np.ndarray, count: int) -> np.ndarray:
    """Returns the derivative of `reduced` with respect to each pixel of the window."""
    if kind == 'avg_pool':
        return np.full_like(part, 1 / count)
    if kind == 'l2_pool':
        return part / np.sqrt((part**2).sum((1, 2), keepdims=True))
    flat = part.reshape(len(part), -1, part.shape[3])
    first = flat.argmax(1)[:, None] == np.arange(flat.shape[1])[None, :, None]
    return first.reshape(part.shape).astype(part.dtype)


def pair(draw: Draw, low: int, high: int) -> tuple[int, int]:
    return draw(low, high), draw(low, high)


def choice(draw: Draw) -> str:
    return ('auto', 'lax')[draw(0, 1)]


KINDS = (convolution, transposed, pool)


def differences(case: Case, seed: int = 0) -> list[float]:
    """Returns how far the outputs and each gradient are from the definition, relative to their largest number.

    NaN counts as infinitely far; so does another shape.
    """
    rng = np.random.default_rng(seed)
    make = (lambda s: rng.integers(-2, 3, s)) if case.has_ties else rng.standard_normal
    arrays = [np.float32(make(shape)) for shape in case.shapes]
    doubles = [np.float64(array) for array in arrays]
    outputs = case.forward(*doubles)
    weights = np.float32(rng.standard_normal(outputs.shape))
    expected = [outputs, *case.gradients(np.float64(weights), *doubles)]

    def everything(weights: jax.Array, *arrays: jax.Array) -> Any:
        outputs, pull = jax.vjp(case.function, *arrays)
        return outputs, *pull(weights)

    with ops.implementation(case.choice):
        found = jax.jit(everything)(jnp.asarray(weights), *map(jnp.asarray, arrays))
    return [_apart(np.asarray(a, np.float64), b) for a, b in zip(found, expected, strict=True)]


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape or not np.isfinite(found).all():
        return math.inf
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1))


def main() -> None:
    """Tries random cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', type=int, default=500)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    off = 0
    for number in range(options.cases):
        case = KINDS[number % len(KINDS)](lambda low, high: int(rng.integers(low, high + 1)))
        found = differences(case, seed=number)
        if max(found) > MOST:
            off += 1
            print(f'{case.text} [{case.choice}]: {", ".join(f"{d:.0e}" for d in found)}', flush=True)
        if number % 200 == 199:
            jax.clear_caches()
    print(f'{off} of {options.cases} cases are off by more than {MOST}')
    sys.exit(off > 0)


if __name__ == '__main__':
    main()
