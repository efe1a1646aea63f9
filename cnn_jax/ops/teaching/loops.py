"""Convolution by its definition: seven nested loops, of which numpy does the last three.

Multiply-adds: B H^2 F^2 C K, forward; as many again for each of the two gradients. Memory: nothing beyond the arrays.
"""

import numpy as np


def conv2d(images: np.ndarray, kernel: np.ndarray, *, stride: int = 1, padding: int = 0) -> np.ndarray:
    """Returns the cross-correlation, (batch, out_height, out_width, out).

    images: (batch, height, width, in); kernel: (height, width, in, out).
    """
    padded = _pad(images, padding)
    rows = (padded.shape[1] - kernel.shape[0]) // stride + 1  # (N + 2P - F) / S + 1
    columns = (padded.shape[2] - kernel.shape[1]) // stride + 1
    outputs = np.zeros((images.shape[0], rows, columns, kernel.shape[3]), images.dtype)
    for n in range(images.shape[0]):
        for y in range(rows):
            for x in range(columns):
                for o in range(kernel.shape[3]):
                    window = padded[
                        n, y * stride : y * stride + kernel.shape[0], x * stride : x * stride + kernel.shape[1]
                    ]
                    outputs[n, y, x, o] = np.sum(window * kernel[:, :, :, o])
    return outputs


def conv2d_gradients(
    images: np.ndarray, kernel: np.ndarray, gradient: np.ndarray, *, stride: int = 1, padding: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the gradients with respect to the images and the kernel, from the gradient of the outputs.

    out = window * kernel summed, so d(window) = gradient * kernel and d(kernel) = gradient * window, added up over
    every window that a pixel is in and every output that a weight makes.
    """
    padded = _pad(images, padding)
    of_images, of_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    for n in range(gradient.shape[0]):
        for y in range(gradient.shape[1]):
            for x in range(gradient.shape[2]):
                rows = slice(y * stride, y * stride + kernel.shape[0])
                columns = slice(x * stride, x * stride + kernel.shape[1])
                for o in range(gradient.shape[3]):
                    of_images[n, rows, columns] += gradient[n, y, x, o] * kernel[:, :, :, o]
                    of_kernel[:, :, :, o] += gradient[n, y, x, o] * padded[n, rows, columns]
    return of_images[:, padding : padding + images.shape[1], padding : padding + images.shape[2]], of_kernel


def _pad(images: np.ndarray, padding: int) -> np.ndarray:
    return np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
