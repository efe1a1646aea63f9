"""Convolutions without groups as matrix products, each equal to `lax.conv_general_dilated`.

Forward forms take (images, kernel, geometry); gradients of the images (gradient, kernel, shape of the images,
geometry); gradients of the kernel (images, gradient, shape of the kernel, geometry).
"""

import itertools

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax.ops.implementation import accumulator
from cnn_jax.ops.windows import (
    ALL,
    Geometry,
    Overlap,
    Shape,
    onto_images,
    onto_outputs,
    output_sizes,
    padded_copy,
    product,
    seen,
    sliced,
    taps,
    total,
    zero,
)

# One matrix product: a 1x1 kernel. XLA's own kernel gradient is 2 to 4 times slower.


def pointwise(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution with a 1x1 kernel: pixels by a matrix."""
    pixels = sliced(images, ALL, *(slice(None, None, stride) for stride in geometry.stride))
    result = product(pixels.reshape(-1, kernel.shape[2]), kernel[0, 0])
    return result.astype(images.dtype).reshape(*pixels.shape[:3], kernel.shape[3])


def pointwise_images_gradient(gradient: jax.Array, kernel: jax.Array, images: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient of `pointwise` with respect to the images."""
    result = product(gradient.reshape(-1, kernel.shape[3]), kernel[0, 0], (1, 1)).astype(gradient.dtype)
    result = result.reshape(*gradient.shape[:3], kernel.shape[2])
    rows, columns = (Overlap(0, gradient.shape[a], 0) for a in (1, 2))
    return onto_images(result, rows, columns, images, geometry.stride)


def pointwise_kernel_gradient(images: jax.Array, gradient: jax.Array, kernel: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient of `pointwise` with respect to the kernel."""
    pixels = images[:, :: geometry.stride[0], :: geometry.stride[1]].reshape(-1, kernel[2])
    return product(pixels, gradient.reshape(-1, kernel[3]), (0, 0)).astype(images.dtype).reshape(kernel)


# One window: the output is 1x1, so the pixels under the window times the kernel is one matrix product.


def _window_cut(images: Shape, kernel: Shape, geometry: Geometry) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Returns what the window covers: (rows, columns) of the images and (rows, columns) of the kernel."""
    of_images, of_kernel = [], []
    for axis in (0, 1):
        offset, dilation = geometry.pads[axis][0], geometry.dilation[axis]
        first = -(-offset // dilation)  # the first tap that lies inside the image
        last = min(kernel[axis] - 1, (images[1 + axis] - 1 + offset) // dilation)
        start = first * dilation - offset
        of_images.append(slice(start, start + (last - first) * dilation + 1, dilation))
        of_kernel.append(slice(first, last + 1))
    return (of_images[0], of_images[1]), (of_kernel[0], of_kernel[1])


def is_on_the_image(images: Shape, kernel: Shape, geometry: Geometry) -> bool:
    """Returns whether a tap of the only window meets the image: with dilation all may lie in the padding."""
    return all(cut.stop > cut.start for cut in _window_cut(images, kernel, geometry)[1])


def one_window(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution whose output is 1x1."""
    (rows, columns), of_kernel = _window_cut(images.shape, kernel.shape, geometry)
    pixels = sliced(images, ALL, rows, columns).reshape(images.shape[0], -1)
    result = product(pixels, kernel[of_kernel].reshape(-1, kernel.shape[3]))
    return result.astype(images.dtype)[:, None, None, :]


def one_window_images_gradient(gradient: jax.Array, kernel: jax.Array, images: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient of `one_window` with respect to the images."""
    (rows, columns), of_kernel = _window_cut(images, kernel.shape, geometry)
    cut = kernel[of_kernel]  # (rows, columns, in, out)
    pixels = product(gradient[:, 0, 0], cut.reshape(-1, kernel.shape[3]), (1, 1)).astype(gradient.dtype)
    pads = [(o.start, size - o.stop, o.step - 1) for o, size in zip((rows, columns), images[1:3], strict=True)]
    return lax.pad(pixels.reshape(-1, *cut.shape[:3]), zero(pixels), ((0, 0, 0), *pads, (0, 0, 0)))


def one_window_kernel_gradient(images: jax.Array, gradient: jax.Array, kernel: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient of `one_window` with respect to the kernel."""
    (rows, columns), of_kernel = _window_cut(images.shape, kernel, geometry)
    pixels = images[:, rows, columns]
    result = product(pixels.reshape(images.shape[0], -1), gradient[:, 0, 0], (0, 0)).astype(images.dtype)
    pads = [(o.start, size - o.stop, 0) for o, size in zip(of_kernel, kernel[:2], strict=True)]
    return lax.pad(result.reshape(*pixels.shape[1:], kernel[3]), zero(result), (*pads, (0, 0, 0), (0, 0, 0)))


# One product per kernel tap, of the pixels that the tap really meets: on a 2x2 map with padding 1 that is 16 products
# of pixel by matrix instead of 36. XLA's own falls to a scalar loop there.


def tap_products(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution as a sum of matrix products, one per tap."""
    outputs = output_sizes(images.shape, kernel.shape, geometry)
    images = lax.optimization_barrier(images)  # else XLA computes what made them once per tap
    parts = []
    for i, j, rows, columns in taps(images.shape, kernel.shape, geometry):
        pixels = seen(images, rows, columns, geometry.stride)
        part = product(pixels.reshape(-1, kernel.shape[2]), kernel[i, j]).reshape(*pixels.shape[:3], kernel.shape[3])
        parts.append(onto_outputs(part, rows, columns, outputs))
    return total(parts, images, (images.shape[0], *outputs, kernel.shape[3]))


def tap_products_images_gradient(
    gradient: jax.Array, kernel: jax.Array, images: Shape, geometry: Geometry
) -> jax.Array:
    """Returns the gradient of the convolution with respect to the images, one matrix product per tap."""
    gradient = lax.optimization_barrier(gradient)
    parts = []
    for i, j, rows, columns in taps(images, kernel.shape, geometry):
        part = gradient[:, rows.first : rows.last, columns.first : columns.last]
        back = product(part.reshape(-1, kernel.shape[3]), kernel[i, j], (1, 1)).reshape(
            *part.shape[:3], kernel.shape[2]
        )
        parts.append(onto_images(back, rows, columns, images, geometry.stride))
    return total(parts, gradient, images)


def tap_products_kernel_gradient(
    images: jax.Array, gradient: jax.Array, kernel: Shape, geometry: Geometry
) -> jax.Array:
    """Returns the gradient of the convolution with respect to the kernel, one matrix product per tap.

    With a stride, XLA moves the whole images to an order with the batch last. This takes half to four fifths of that in
    seven of eight shapes (`benchmarks/NOTES.md`).
    """
    images = lax.optimization_barrier(images)  # else XLA computes what made them once per tap
    parts = {}
    for i, j, rows, columns in taps(images.shape, kernel, geometry):
        pixels = seen(images, rows, columns, geometry.stride).reshape(-1, kernel[2])
        part = gradient[:, rows.first : rows.last, columns.first : columns.last].reshape(-1, kernel[3])
        parts[i, j] = product(pixels, part, (0, 0)).astype(gradient.dtype)
    unmet = jnp.zeros_like(gradient, shape=kernel[2:])
    every = [parts.get(tap, unmet) for tap in itertools.product(*map(range, kernel[:2]))]
    return jnp.stack(every).reshape(kernel)


# Few channels: a matrix product would have one column or a handful.


def shifted_products(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution of one-channel images: the sum over taps of shifted image times tap."""
    outputs = output_sizes(images.shape, kernel.shape, geometry)
    padded = padded_copy(images, geometry)
    wide = accumulator(images.dtype)
    parts = []
    for i, j, rows, columns in taps(padded.shape, kernel.shape, geometry._replace(pads=((0, 0), (0, 0)))):
        pixels = seen(padded, rows, columns, geometry.stride).astype(wide)
        parts.append(pixels * kernel[i, j].astype(wide).reshape(1, 1, 1, -1))  # (batch, rows, columns, out)
    return total(parts, images, (images.shape[0], *outputs, kernel.shape[3]))


def columns_images_gradient(gradient: jax.Array, kernel: jax.Array, images: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient with respect to the images, for stride 1 and no dilation, as one product and shifted sums.

    The product makes, for every window, the column of pixels that it read. Those are added up with the batch and the
    pixels as the last axes, for the channels are few; first along each row, then down.
    """
    height, width, channels, filters = kernel.shape
    batch, outputs = gradient.shape[0], gradient.shape[1:3]
    made = product(kernel.reshape(-1, filters), gradient.reshape(-1, filters), (1, 1))
    made = made.reshape(height, width, channels, batch, *outputs)
    none = ((0, 0, 0), (0, 0, 0))  # (channels, batch)

    def across(i: int, j: int) -> jax.Array:
        return lax.pad(made[i, j], zero(made), (*none, (0, 0, 0), (j, width - 1 - j, 0)))

    rows = jnp.stack([sum((across(i, j) for j in range(1, width)), across(i, 0)) for i in range(height)])
    rows = lax.optimization_barrier(rows)  # else the first sums are made once per row of the kernel
    parts = [lax.pad(rows[i], zero(rows), (*none, (i, height - 1 - i, 0), (0, 0, 0))) for i in range(height)]
    (top, _), (left, _) = geometry.pads
    whole = sum(parts[1:], parts[0])[:, :, top : top + images[1], left : left + images[2]]
    return jnp.moveaxis(whole, 0, -1).astype(gradient.dtype)
