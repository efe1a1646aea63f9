"""RandAugment, TrivialAugment and AugMix on the device: `(keys, images) -> images`, RGB pixels 0 .. 255, type kept.

The operations are Pillow's, pixel by pixel as it rounds (tested), with the ranges of torchvision's classes. Every
operation is computed for every image and one is kept, which is what a device does best: some 12 cheap passes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.data.augment import moves_pixels, to_dtype
from cnn_jax.streams import numbered, stream

NAMES = (
    *('identity', 'shear_x', 'shear_y', 'translate_x', 'translate_y', 'rotate'),
    *('brightness', 'color', 'contrast', 'sharpness', 'posterize', 'solarize', 'autocontrast', 'equalize'),
)
NUM_GEOMETRIC = 6  # the first ones, with identity, are one warp
SIGNED = NAMES[1:10]  # what has a direction, or goes both ways from 1
BINS = 31  # magnitudes


def warp(image: Array, matrix: Array) -> Array:
    """Pixel (x, y) of the result is the one at matrix (2, 3) times (x, y, 1): nearest, black outside, as Pillow."""
    height, width = image.shape[:2]
    rows, columns = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing='ij')
    across = jnp.floor(matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]).astype(jnp.int32)
    down = jnp.floor(matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]).astype(jnp.int32)
    inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    picked = image[jnp.clip(down, 0, height - 1), jnp.clip(across, 0, width - 1)]
    return jnp.where(inside[..., None], picked, 0)


def geometric_matrix(operation: Array, amount: Array, height: int, width: int) -> Array:
    """The matrix (2, 3) of the operation of that number; of the identity for those that move nothing."""
    one, zero = jnp.ones_like(amount), jnp.zeros_like(amount)
    angle = jnp.deg2rad(amount)
    cosine, sine, x, y = jnp.cos(angle), jnp.sin(angle), width / 2, height / 2
    rows = [
        [one, zero, zero, zero, one, zero],
        [one, amount, zero, zero, one, zero],
        [one, zero, zero, amount, one, zero],
        [one, zero, amount, zero, one, zero],
        [one, zero, zero, zero, one, amount],
        # about the centre, counter-clockwise by degrees
        [cosine, -sine, x - x * cosine + y * sine, sine, cosine, y - x * sine - y * cosine],
    ]
    table = jnp.stack([jnp.stack(row) for row in rows])  # (6, 6)
    return table[jnp.where(operation < NUM_GEOMETRIC, operation, 0)].reshape(2, 3)


def _blend(first: Array, image: Array, factor: Array) -> Array:
    return jnp.floor(jnp.clip(first + factor * (image - first), 0, 255))


def _grey(image: Array) -> Array:
    # By channel: a constant array in a branch of a switch is refused under shard_map (jax 0.10).
    red, green, blue = (image[..., channel : channel + 1].astype(jnp.int32) for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(jnp.float32)


def brightness(image: Array, factor: Array) -> Array:
    """0 gives black, 1 the image."""
    return _blend(jnp.zeros_like(image), image, factor)


def color(image: Array, factor: Array) -> Array:
    """0 gives a grey image, 1 the image."""
    return _blend(jnp.broadcast_to(_grey(image), image.shape), image, factor)


def contrast(image: Array, factor: Array) -> Array:
    """0 gives the mean of its grey image, 1 the image."""
    return _blend(jnp.broadcast_to(jnp.floor(jnp.mean(_grey(image)) + 0.5), image.shape), image, factor)


def sharpness(image: Array, factor: Array) -> Array:
    """0 gives a smooth image, 1 the image, more a sharper one; the outermost pixels stay."""
    height, width = image.shape[:2]
    if min(height, width) < 3:
        return image
    windows = [image[row : height - 2 + row, column : width - 2 + column] for row in range(3) for column in range(3)]
    smooth = jnp.floor((sum(windows) + 4 * windows[4]) / 13 + 0.5)
    return _blend(image.at[1:-1, 1:-1].set(smooth), image, factor)


def posterize(image: Array, bits: Array) -> Array:
    """Keeps the `bits` highest bits."""
    step = 2.0 ** (8 - jnp.round(bits))
    return jnp.floor(image / step) * step


def solarize(image: Array, threshold: Array) -> Array:
    """Inverts what is `threshold` or brighter."""
    return jnp.where(image < threshold, image, 255 - image)


def autocontrast(image: Array, unused: Array) -> Array:
    """Stretches each channel over 0 .. 255."""
    del unused
    low, high = jnp.min(image, (0, 1), keepdims=True), jnp.max(image, (0, 1), keepdims=True)
    scale = 255 / jnp.maximum(high - low, 1)
    return jnp.where(high > low, jnp.clip(jnp.floor(image * scale - low * scale + 1e-3), 0, 255), image)


def equalize(image: Array, unused: Array) -> Array:
    """Makes the values of each channel about equally frequent."""
    del unused

    def channel(values: Array) -> Array:
        levels = values.astype(jnp.int32)
        counts = jnp.bincount(levels.ravel(), length=256)
        step = (levels.size - counts[jnp.max(levels)]) // 255
        before = jnp.cumsum(counts) - counts
        table = jnp.minimum((step // 2 + before) // jnp.maximum(step, 1), 255)
        return jnp.where(step > 0, table[levels].astype(values.dtype), values)

    return jnp.stack([channel(image[..., number]) for number in range(image.shape[-1])], -1)


def apply(image: Array, operation: Array, amount: Array) -> Array:
    """The operation of that number in `NAMES` on one float image of whole numbers 0 .. 255."""
    moved = warp(image, geometric_matrix(operation, amount, *image.shape[:2]))
    return jax.lax.switch(jnp.maximum(operation - NUM_GEOMETRIC + 1, 0), BRANCHES, moved, amount)


def identity(image: Array, unused: Array) -> Array:
    """The image."""
    del unused
    return image


BRANCHES: tuple[Callable[[Array, Array], Array], ...] = (
    *(identity, brightness, color, contrast, sharpness, posterize, solarize, autocontrast, equalize),
)


def _largest(height: int, width: int, wide: bool) -> dict[str, tuple[float, float]]:
    """(amount at magnitude 0, at the largest) of each operation; `wide`: those of TrivialAugment."""
    factor, shear, angle = (0.99, 0.99, 135.0) if wide else (0.9, 0.3, 30.0)
    shift_x, shift_y = (32.0, 32.0) if wide else (150 / 331 * width, 150 / 331 * height)
    signed = dict(zip(SIGNED, (shear, shear, shift_x, shift_y, angle, factor, factor, factor, factor), strict=True))
    return {
        'identity': (0.0, 0.0),
        **{name: (0.0, value) for name, value in signed.items()},
        'posterize': (8.0, 2.0 if wide else 4.0),
        'solarize': (255.0, 0.0),
        'autocontrast': (0.0, 0.0),
        'equalize': (0.0, 0.0),
    }


def _amounts(height: int, width: int, magnitude: Array, sign: Array, *, wide: bool) -> Array:
    """The amount for each operation at a magnitude 0 .. 1, (14,)."""
    ranges = _largest(height, width, wide)
    low, high = (jnp.array([ranges[name][end] for name in NAMES]) for end in (0, 1))
    value = low + magnitude * (high - low)
    value = jnp.where(jnp.array([name in SIGNED for name in NAMES]), sign * value, value)
    factors = jnp.array([name in ('brightness', 'color', 'contrast', 'sharpness') for name in NAMES])
    return jnp.where(factors, 1 + value, value)


def _random_operation(key: Array, image: Array, magnitude: Array, *, wide: bool, names: tuple[str, ...]) -> Array:
    which, direction = (stream(key, f'augment/operation/{name}') for name in ('which', 'direction'))
    allowed = jnp.array([NAMES.index(name) for name in names])
    operation: Array = allowed[jax.random.randint(which, (), 0, len(names))]
    sign = jnp.where(jax.random.bernoulli(direction), 1.0, -1.0)
    return apply(image, operation, _amounts(*image.shape[:2], magnitude, sign, wide=wide)[operation])  # pyright: ignore[reportCallIssue]


@moves_pixels
def rand_augment(
    keys: Array,
    images: Array,
    *,
    num_operations: int = 2,
    magnitude: float = 9,
    magnitude_std: float = 0.0,
    probability: float = 1.0,
    names: tuple[str, ...] = NAMES,
) -> Array:
    """So many random operations one after the other, all of one magnitude 0 .. 30: Cubuk et al. 2019, arXiv:1909.13719.

    As torchvision's RandAugment: 14 operations, each direction at random. As timm's with `probability` 0.5, that an
    operation is done at all, and magnitudes from N(magnitude, magnitude_std^2), held within 0 .. 30; timm counts to 10
    and has two operations more, invert and an added solarize.
    """

    def change(key: Array, image: Array) -> Array:
        turns = stream(key, 'augment/rand_augment')

        def step(number: Array, image: Array) -> Array:
            own = numbered(turns, number)
            noise, chance = (stream(own, f'augment/rand_augment/{name}') for name in ('magnitude', 'chance'))
            drawn = magnitude + magnitude_std * jax.random.normal(noise) if magnitude_std else jnp.float32(magnitude)
            strength = jnp.clip(drawn / (BINS - 1), 0, 1)
            changed = _random_operation(own, image, strength, wide=False, names=names)
            return jnp.where(jax.random.bernoulli(chance, probability), changed, image) if probability < 1 else changed

        return jax.lax.fori_loop(0, num_operations, step, image)  # a loop, so that it is compiled once

    return to_dtype(jax.vmap(change)(keys, images.astype(jnp.float32)), images.dtype)


@moves_pixels
def trivial_augment(keys: Array, images: Array, *, names: tuple[str, ...] = NAMES) -> Array:
    """One random operation of a random magnitude, from wide ranges: Mueller and Hutter 2021, arXiv:2103.10158."""

    def change(key: Array, image: Array) -> Array:
        own = stream(key, 'augment/trivial_augment')
        magnitude = jax.random.randint(stream(own, 'augment/trivial_augment/magnitude'), (), 0, BINS) / (BINS - 1)
        return _random_operation(own, image, magnitude, wide=True, names=names)

    return to_dtype(jax.vmap(change)(keys, images.astype(jnp.float32)), images.dtype)


AUGMIX_NAMES = tuple(name for name in NAMES[1:] if name not in ('brightness', 'color', 'contrast', 'sharpness'))


@moves_pixels
def aug_mix(keys: Array, images: Array, *, severity: int = 3, width: int = 3, depth: int = 3) -> Array:
    """A random mean of the image and of `width` chains of 1 to `depth` operations: Hendrycks et al. 2019, 1912.02781.

    The nine operations of the paper's code, which leaves out those of the test corruptions, with RandAugment's ranges
    (posterize to 4 bits at most, the paper to none); magnitudes are uniform up to `severity` tenths. Without the
    paper's consistency loss.
    """

    def mix(key: Array, image: Array) -> Array:
        weights_key, share_key, chains = (
            stream(key, f'augment/aug_mix/{name}') for name in ('weights', 'share', 'chains')
        )
        weights = jax.random.exponential(weights_key, (width,))
        weights = weights / jnp.sum(weights)  # Dirichlet(1, ..., 1)
        share = jax.random.uniform(share_key)  # Beta(1, 1)

        def add(number: Array, total: Array) -> Array:
            return total + weights[number] * _chain(numbered(chains, number), image, depth, severity)

        return (1 - share) * image + share * jax.lax.fori_loop(0, width, add, 0 * image)

    return to_dtype(jax.vmap(mix)(keys, images.astype(jnp.float32)), images.dtype)


def _chain(key: Array, image: Array, depth: int, severity: int) -> Array:
    """1 to `depth` random operations, as a loop, so that it is compiled once."""
    length = jax.random.randint(stream(key, 'augment/aug_mix/length'), (), 1, depth + 1)
    turns = stream(key, 'augment/aug_mix/operations')

    def step(number: Array, image: Array) -> Array:
        own = numbered(turns, number)
        magnitude = jax.random.uniform(stream(own, 'augment/aug_mix/magnitude'), maxval=severity / 10)
        changed = _random_operation(own, image, magnitude, wide=False, names=AUGMIX_NAMES)
        return jnp.where(number < length, changed, image)

    return jax.lax.fori_loop(0, depth, step, image)
