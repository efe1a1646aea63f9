"""Pooling as loops, forward and backward.

A pool has no multiply-adds to speak of: F^2 comparisons or additions for each of B H^2 C outputs. The maximum passes
its gradient to one pixel, the first maximum in row order; the mean gradient / F^2 to every pixel of the window.
"""

import numpy as np


def max_pool(images: np.ndarray, *, window: int, stride: int) -> np.ndarray:
    """Returns the largest value of each window, (batch, out_height, out_width, channels)."""
    rows, columns = ((size - window) // stride + 1 for size in images.shape[1:3])
    outputs = np.zeros((images.shape[0], rows, columns, images.shape[3]), images.dtype)
    for y in range(rows):
        for x in range(columns):
            part = images[:, y * stride : y * stride + window, x * stride : x * stride + window]
            outputs[:, y, x] = part.max(axis=(1, 2))
    return outputs


def max_pool_gradient(images: np.ndarray, gradient: np.ndarray, *, window: int, stride: int) -> np.ndarray:
    """Returns the gradient with respect to the images: each output's goes to the first maximum of its window."""
    result = np.zeros_like(images)
    batch, rows, columns, channels = gradient.shape
    for n, y, x, c in np.ndindex(batch, rows, columns, channels):
        part = images[n, y * stride : y * stride + window, x * stride : x * stride + window, c]
        i, j = np.unravel_index(np.argmax(part), part.shape)  # argmax gives the first
        result[n, y * stride + i, x * stride + j, c] += gradient[n, y, x, c]
    return result


def avg_pool(images: np.ndarray, *, window: int, stride: int) -> np.ndarray:
    """Returns the mean of each window, (batch, out_height, out_width, channels)."""
    rows, columns = ((size - window) // stride + 1 for size in images.shape[1:3])
    outputs = np.zeros((images.shape[0], rows, columns, images.shape[3]), images.dtype)
    for y in range(rows):
        for x in range(columns):
            part = images[:, y * stride : y * stride + window, x * stride : x * stride + window]
            outputs[:, y, x] = part.mean(axis=(1, 2))
    return outputs


def avg_pool_gradient(images: np.ndarray, gradient: np.ndarray, *, window: int, stride: int) -> np.ndarray:
    """Returns the gradient with respect to the images: every pixel of a window gets its share."""
    result = np.zeros_like(images)
    for y in range(gradient.shape[1]):
        for x in range(gradient.shape[2]):
            share = gradient[:, y, x][:, None, None] / window**2  # (batch, 1, 1, channels)
            result[:, y * stride : y * stride + window, x * stride : x * stride + window] += share
    return result
