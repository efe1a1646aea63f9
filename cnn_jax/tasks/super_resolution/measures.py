"""PSNR and SSIM of `quality` on the devices, a number for each image: what evaluation adds up.

Each is of its own image alone. float32 is within 1e-3 dB and 1e-5 of scikit-image's float64.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.tasks.super_resolution.quality import BLACK, LUMINANCE, WINDOW

SIGMA = 1.5  # of the weights of SSIM, in pixels
STEADY = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)  # what keeps its two ratios steady where images are flat
MIDDLE = 128.0  # is taken off first: squares of smaller numbers have smaller rounding errors


def to_pixels(images: jax.Array) -> jax.Array:
    """Images of 0 .. 1 as whole numbers 0 .. 255, float32; what is no number stays none."""
    return jnp.clip(jnp.round(255 * images.astype(jnp.float32)), 0, 255)


def luma(pixels: jax.Array) -> jax.Array:
    """Y of pixels (..., 3) of 0 .. 255, (...); one channel is taken as Y itself."""
    return _weighed(pixels) + (BLACK if pixels.shape[-1] == 3 else 0.0)


def _weighed(values: jax.Array) -> jax.Array:
    """Y of the channels as a sum, without what black has: of differences the difference of Y."""
    if values.shape[-1] == 1:
        return values[..., 0]
    return jnp.sum(values * jnp.asarray(LUMINANCE, values.dtype).reshape(*(1,) * (values.ndim - 1), 3), -1)


def measure(answers: jax.Array, truths: jax.Array, *, scale: int) -> tuple[jax.Array, jax.Array]:
    """PSNR in dB and SSIM on Y, (batch,) each, without `scale` pixels of each border: see `quality.quality`.

    answers, truths: whole numbers 0 .. 255, floating point (batch, height, width, 1 or 3). Where an answer has a pixel
    that is no number, neither are its two.

    Raises:
        ValueError: too small images.
    """
    if min(truths.shape[1:3]) < WINDOW + 2 * scale:
        raise ValueError(
            f'truths: {truths.shape[1:3]} pixels given; without {scale} of each border, {WINDOW} a side are needed'
        )

    def one(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        # Barriers, and an image at a time: one program whatever stands around it, so the same number to the last bit.
        answer, truth = jax.lax.optimization_barrier(pair)
        return jax.lax.optimization_barrier(_measure(answer, truth, slice(scale, -scale) if scale else slice(None)))

    return jax.lax.map(one, (answers, truths))


def _measure(answer: jax.Array, truth: jax.Array, inner: slice) -> tuple[jax.Array, jax.Array]:
    """PSNR and SSIM, scalars, of one image (height, width, channels); `inner` is what counts of each axis."""
    # Equal pixels have the difference 0 exactly: their PSNR is infinite, as it should be.
    error = jnp.mean(jnp.mean(jnp.square(_weighed(answer - truth)[inner, inner]), -1), -1)
    ours, right = (luma(pixels)[inner, inner] - MIDDLE for pixels in (answer, truth))
    return 10 * jnp.log10(255**2 / error), _similarity(ours, right)


def _similarity(ours: jax.Array, right: jax.Array) -> jax.Array:
    """The mean SSIM of Y less `MIDDLE`, (height, width) each, of every place where a whole window lies."""
    means = [_smooth(values) for values in (ours, right)]
    spreads = [_smooth(values**2) - mean**2 for values, mean in zip((ours, right), means, strict=True)]
    together = _smooth(ours * right) - means[0] * means[1]
    first, second = (mean + MIDDLE for mean in means)
    light = (2 * first * second + STEADY[0]) / (first**2 + second**2 + STEADY[0])
    texture = (2 * together + STEADY[1]) / (spreads[0] + spreads[1] + STEADY[1])
    return jnp.mean(jnp.mean(light * texture, -1), -1)


def _smooth(values: jax.Array) -> jax.Array:
    """The weighted mean of every window of (height, width): (height - 10, width - 10)."""
    weights = np.exp(-0.5 * (np.arange(WINDOW) - WINDOW // 2) ** 2 / SIGMA**2)
    for axis in (0, 1):
        length = values.shape[axis] - WINDOW + 1
        parts = [jax.lax.slice_in_dim(values, start, start + length, axis=axis) for start in range(WINDOW)]
        weighed = [float(weight) * part for weight, part in zip(weights / weights.sum(), parts, strict=True)]
        values = functools.reduce(jax.lax.add, weighed)
    return values
