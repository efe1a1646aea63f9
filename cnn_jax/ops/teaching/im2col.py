"""Convolution as one matrix product: every window becomes a row of F F C numbers, the kernel a matrix (F F C, K).

Multiply-adds: B H^2 F^2 C K, as in the loops, but all in one product that a BLAS does at full speed. Memory: the rows
hold every pixel F^2 times over, B H^2 F^2 C numbers. The gradients are the two products of a matrix product's backward:
rows^T g for the kernel, g kernel^T for the rows, which are then added back to the pixels that they came from (col2im).
"""

import itertools

import jax
import jax.numpy as jnp


def windows(images: jax.Array, size: tuple[int, int], *, stride: int = 1, padding: int = 0) -> jax.Array:
    """Returns (batch, out_height, out_width, height * width * channels): each window as one row."""
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows = (padded.shape[1] - size[0]) // stride + 1
    columns = (padded.shape[2] - size[1]) // stride + 1
    taps = [
        padded[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i, j in itertools.product(range(size[0]), range(size[1]))
    ]
    return jnp.concatenate(taps, axis=-1)


def conv2d(images: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0) -> jax.Array:
    """Returns the cross-correlation, (batch, out_height, out_width, out)."""
    rows = windows(images, (kernel.shape[0], kernel.shape[1]), stride=stride, padding=padding)
    return rows @ kernel.reshape(-1, kernel.shape[3])


def conv2d_gradients(
    images: jax.Array, kernel: jax.Array, gradient: jax.Array, *, stride: int = 1, padding: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Returns the gradients with respect to the images and the kernel, from the gradient of the outputs."""
    height, width, channels, filters = kernel.shape
    rows = windows(images, (height, width), stride=stride, padding=padding)
    flat = gradient.reshape(-1, filters)
    of_kernel = (rows.reshape(flat.shape[0], -1).T @ flat).reshape(kernel.shape)

    of_rows = gradient @ kernel.reshape(-1, filters).T  # (batch, out_height, out_width, height * width * channels)
    of_rows = of_rows.reshape(*gradient.shape[:3], height, width, channels)
    batch, tall, wide = images.shape[0], images.shape[1] + 2 * padding, images.shape[2] + 2 * padding
    padded = jnp.zeros((batch, tall, wide, channels), images.dtype)
    for i, j in itertools.product(range(height), range(width)):
        down = slice(i, i + (gradient.shape[1] - 1) * stride + 1, stride)
        right = slice(j, j + (gradient.shape[2] - 1) * stride + 1, stride)
        padded = padded.at[:, down, right].add(of_rows[:, :, :, i, j])
    return padded[:, padding : padding + images.shape[1], padding : padding + images.shape[2]], of_kernel
