"""Convolutions with groups, each equal to `lax.conv_general_dilated`; XLA's own takes seconds for the kernel gradient.

Arguments of the three kinds of function: see `cnn_jax.ops.cpu.dense`.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.arguments import dilated
from cnn_jax.ops.implementation import accumulator
from cnn_jax.ops.windows import (
    Geometry,
    Shape,
    onto_images,
    output_sizes,
    padded_copy,
    plain,
    seen,
    stretched,
    taps,
    total,
)

BLOCK_CHANNELS = 32  # fewer leave the matrix product's registers empty, more multiply more zeros
MAX_BLOCKS = 8  # each is a convolution to compile


# Depthwise: one input channel per group. Shifted images times taps.


def _repeated(images: jax.Array, kernel: Shape) -> jax.Array:
    """Returns the images with each channel as often as it has outputs."""
    multiplier = kernel[3] // images.shape[3]
    return images if multiplier == 1 else jnp.repeat(images, multiplier, axis=3)


def depthwise(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution with one input channel per group."""
    wide = accumulator(images.dtype)
    outputs = output_sizes(images.shape, kernel.shape, geometry)
    padded = padded_copy(_repeated(images, kernel.shape), geometry)
    inside = geometry._replace(pads=((0, 0), (0, 0)))
    parts = [
        seen(padded, rows, columns, geometry.stride).astype(wide) * kernel[i, j, 0].astype(wide).reshape(1, 1, 1, -1)
        for i, j, rows, columns in taps(padded.shape, kernel.shape, inside)
    ]
    return total(parts, images, (images.shape[0], *outputs, kernel.shape[3]))


def depthwise_images_gradient(gradient: jax.Array, kernel: jax.Array, images: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient of `depthwise` with respect to the images."""
    multiplier = kernel.shape[3] // images[3]
    if geometry.stride == (1, 1):  # the correlation with the flipped kernel
        pads = tuple(
            ((k - 1) * d - before, (k - 1) * d - after)
            for k, d, (before, after) in zip(kernel.shape[:2], geometry.dilation, geometry.pads, strict=True)
        )
        flipped = Geometry((1, 1), (pads[0], pads[1]), geometry.dilation, geometry.groups)
        full = depthwise(gradient, kernel[::-1, ::-1], flipped)
    else:
        wide = accumulator(gradient.dtype)
        gradient = lax.optimization_barrier(gradient)
        parts = []
        for i, j, rows, columns in taps(images, kernel.shape, geometry):
            part = gradient[:, rows.first : rows.last, columns.first : columns.last].astype(wide)
            part = part * kernel[i, j, 0].astype(wide).reshape(1, 1, 1, -1)
            parts.append(onto_images(part, rows, columns, images, geometry.stride))
        full = total(parts, gradient, (*images[:3], kernel.shape[3]))
    return full if multiplier == 1 else full.reshape(*images, multiplier).sum(-1)


def depthwise_kernel_gradient(images: jax.Array, gradient: jax.Array, kernel: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient of `depthwise` with respect to the kernel: one reduction per tap."""
    wide = accumulator(images.dtype)
    padded = padded_copy(_repeated(images, kernel), geometry)
    inside = geometry._replace(pads=((0, 0), (0, 0)))
    sums = [
        jnp.sum(seen(padded, rows, columns, geometry.stride).astype(wide) * gradient.astype(wide), (0, 1, 2))
        for _, _, rows, columns in taps(padded.shape, kernel, inside)
    ]
    return jnp.stack(sums).reshape(kernel).astype(images.dtype)


# Blocks: a few groups at a time as one convolution with a block-diagonal kernel.


def groups_per_block(kernel: Shape, groups: int) -> int:
    """Returns how many groups are merged: the fewest that make 32 channels and at most 8 blocks."""
    divisors = (m for m in range(1, groups + 1) if groups % m == 0)
    return next(m for m in divisors if m == groups or (m * kernel[2] >= BLOCK_CHANNELS and groups // m <= MAX_BLOCKS))


def _block_diagonal(kernel: jax.Array, merged: int) -> jax.Array:
    """Returns the (height, width, merged * in, out) kernel of `merged` groups, zero between groups."""
    height, width, channels, filters = kernel.shape
    by_group = kernel.reshape(height, width, 1, channels, merged, filters // merged)
    groups = lax.iota(jnp.int32, merged)
    same = groups.reshape(1, 1, -1, 1, 1, 1) == groups.reshape(1, 1, 1, 1, -1, 1)
    whole = jnp.where(same, by_group, jnp.zeros_like(by_group))  # a product would make NaN of a kernel's infinities
    return whole.reshape(height, width, merged * channels, filters)


def blocks(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the grouped convolution, block by block."""
    merged = groups_per_block(kernel.shape, geometry.groups)
    count = geometry.groups // merged
    dense = geometry._replace(groups=1)
    parts = [
        plain(x, _block_diagonal(k, merged), dense)
        for x, k in zip(jnp.split(images, count, 3), jnp.split(kernel, count, 3), strict=True)
    ]
    return jnp.concatenate(parts, 3)


def blocks_images_gradient(gradient: jax.Array, kernel: jax.Array, images: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient of `blocks` with respect to the images.

    JAX's own transpose leaves it to XLA to put the kernel's axes in order, which it does not do inside a conditional;
    there it runs 30 times slower.
    """
    merged = groups_per_block(kernel.shape, geometry.groups)
    count = geometry.groups // merged
    pads = [
        (dilated(kernel.shape[a], d) - 1 - before, images[1 + a] + before - (gradient.shape[1 + a] - 1) * s - 1)
        for a, ((before, _), s, d) in enumerate(zip(geometry.pads, geometry.stride, geometry.dilation, strict=True))
    ]
    parts = [
        stretched(
            g,
            _block_diagonal(k, merged)[::-1, ::-1].transpose(0, 1, 3, 2),
            (pads[0], pads[1]),
            geometry.stride,
            geometry.dilation,
        )
        for g, k in zip(jnp.split(gradient, count, 3), jnp.split(kernel, count, 3), strict=True)
    ]
    return jnp.concatenate(parts, 3)


def blocks_kernel_gradient(images: jax.Array, gradient: jax.Array, kernel: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient of `blocks` with respect to the kernel."""
    like = jnp.zeros_like(gradient, shape=kernel)
    return jax.linear_transpose(lambda k: blocks(images, k, geometry), like)(gradient)[0]
