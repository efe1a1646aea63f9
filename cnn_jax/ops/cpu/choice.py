"""Chooses among formulations of the convolution by static shape, from times on one core of an AVX-512 CPU.

`python -m benchmarks.primitives` measures them again, and compares every output and gradient.
"""

import os
from typing import Any

import jax.numpy as jnp

from cnn_jax.ops.arguments import Pads, dilated
from cnn_jax.ops.cpu import batch_minor, batch_minor_pool, dense, grouped, winograd
from cnn_jax.ops.maxima import Sizes
from cnn_jax.ops.windows import Forms, Geometry, Shape, output_sizes

POINTWISE = Forms(dense.pointwise, dense.pointwise_images_gradient, dense.pointwise_kernel_gradient)
ONE_WINDOW = Forms(dense.one_window, dense.one_window_images_gradient, dense.one_window_kernel_gradient)
WINOGRAD = Forms(winograd.forward, winograd.images_gradient, winograd.kernel_gradient)
BATCH_MINOR = Forms(batch_minor.forward, batch_minor.images_gradient, batch_minor.kernel_gradient)

# For Winograd, and for what is computed row by row: XLA divides products over cores, and not what stands between them,
# but a convolution whole.
MOST_CORES = 4
NUM_CORES = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1

LEAST_TAP_CHANNELS = 16  # of a kernel whose gradient is one product per tap: the fewest that were measured at 3x3

# Sums over taps, slow when XLA fuses them with their neighbours.
SUMS = (
    dense.shifted_products,
    dense.tap_products,
    dense.tap_products_images_gradient,
    dense.columns_images_gradient,
    grouped.depthwise,
    grouped.depthwise_images_gradient,
)
# What multiplies by zero pixels that an output does not see: see `cnn_jax.ops.finite`.
SPREADING = (*WINOGRAD, grouped.blocks, grouped.blocks_images_gradient)
WITH_SCALAR = (batch_minor.kernel_gradient,)  # sets a part of itself apart, and is given no kernel


def choose(images: Shape, kernel: Shape, geometry: Geometry, dtype: Any) -> Forms:
    """Returns the fastest known formulations for these shapes; the type is that of the images."""
    if geometry.groups > 1:
        return _choose_grouped(images, kernel, geometry)
    outputs = output_sizes(images, kernel, geometry)
    if kernel[:2] == (1, 1) and geometry.pads == ((0, 0), (0, 0)):
        return POINTWISE
    if outputs == (1, 1) and dense.is_on_the_image(images, kernel, geometry):
        return ONE_WINDOW
    if NUM_CORES <= MOST_CORES and dtype == jnp.float32 and winograd.pays(outputs, kernel, geometry):
        return WINOGRAD
    if NUM_CORES <= MOST_CORES and batch_minor.pays(images, kernel, geometry):
        return BATCH_MINOR
    covered = tuple(dilated(k, d) for k, d in zip(kernel[:2], geometry.dilation, strict=True))
    num_taps = kernel[0] * kernel[1]
    forward = images_gradient = kernel_gradient = None
    if kernel[2] == 1 and kernel[3] <= 16 and num_taps <= 25:
        forward = dense.shifted_products  # XLA: 3 GFLOP/s below about 20 output channels
    elif num_taps <= 25 and _is_smaller(images[1:3], covered, equal=num_taps <= 9):
        forward = dense.tap_products  # XLA: a scalar loop, 1 GFLOP/s, when the kernel is larger than the map
    if num_taps <= 25 and _is_smaller(outputs, covered, equal=num_taps <= 9):
        images_gradient = dense.tap_products_images_gradient
    elif kernel[2] < 8 and 16 <= num_taps <= 25 and geometry.stride == geometry.dilation == (1, 1):
        images_gradient = dense.columns_images_gradient
    if NUM_CORES <= MOST_CORES and dtype == jnp.float32 and winograd.pays_in_kernel_gradient(outputs, kernel, geometry):
        kernel_gradient = winograd.kernel_gradient
    elif max(geometry.stride) > 1 and num_taps <= 9 and kernel[2] >= LEAST_TAP_CHANNELS:
        kernel_gradient = dense.tap_products_kernel_gradient
    return Forms(forward, images_gradient, kernel_gradient)


def is_batch_minor_pool(images: Shape, window: Sizes, stride: Sizes, pads: Pads) -> bool:
    """Returns whether `batch_minor_pool` is the fastest known form of a pool."""
    return NUM_CORES <= MOST_CORES and batch_minor_pool.pays(images, window, stride, pads)


def _is_smaller(sizes: Shape, covered: Shape, *, equal: bool) -> bool:
    return any(size < c + equal for size, c in zip(sizes, covered, strict=True))


def _choose_grouped(images: Shape, kernel: Shape, geometry: Geometry) -> Forms:
    num_taps = kernel[0] * kernel[1]
    if kernel[2] == 1 and num_taps <= 49:
        height, width = output_sizes(images, kernel, geometry)
        if num_taps > 9:
            return Forms(grouped.depthwise, grouped.depthwise_images_gradient, grouped.blocks_kernel_gradient)
        small = height * width <= 1024  # the nine reductions of a large map cost more than XLA's one convolution
        return Forms(
            grouped.depthwise, grouped.depthwise_images_gradient, grouped.depthwise_kernel_gradient if small else None
        )
    merged = grouped.groups_per_block(kernel, geometry.groups)
    if merged == 1 or merged * kernel[2] <= 64:
        return Forms(grouped.blocks, grouped.blocks_images_gradient, grouped.blocks_kernel_gradient)
    return Forms(kernel_gradient=grouped.blocks_kernel_gradient)  # XLA's own takes 2 s, its forward is good
