"""Named filters of image processing, and true convolution beside the cross-correlation that networks use."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.ops import arguments
from cnn_jax.ops.arguments import Padding
from cnn_jax.ops.conv import conv2d
from cnn_jax.ops.implementation import accumulator
from cnn_jax.ops.lengths import length

# Sobel's Gx answers to brightness that grows to the right, Gy (its transpose) to brightness that grows downwards.
SOBEL_X = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
SOBEL_Y = SOBEL_X.T
LAPLACIAN = np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
SHARPEN = np.array([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]])


def box(size: int) -> np.ndarray:
    """Returns the (size, size) mean filter.

    Raises: ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError(f'size is {size}; it must be at least 1')
    return np.full((size, size), 1 / size**2)


def gaussian(size: int, *, sigma: float) -> np.ndarray:
    """Returns the (size, size) Gaussian of width `sigma` pixels, cut off at the window and scaled to sum to one.

    Raises: ValueError for an even size or a sigma of 0 or less.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f'size is {size}; it must be odd and at least 1')
    if sigma <= 0:
        raise ValueError(f'sigma is {sigma}; it must be above 0')
    profile = np.exp(-0.5 * (np.arange(size) - size // 2) ** 2 / sigma**2)
    window = np.outer(profile, profile)
    return window / window.sum()


def gabor_bank(
    size: int,
    *,
    num_angles: int = 4,
    wavelengths: tuple[float, ...] = (4.0,),
    phases: tuple[float, ...] = (0.0, 0.25),
    aspect: float = 0.5,
) -> np.ndarray:
    """Returns Gabor filters, (len(wavelengths) * num_angles * len(phases), size, size), in that order of nesting.

    wavelengths: in pixels. Angles are i / num_angles of half a turn, 0 a wave along the width. phases: fractions of a
    wave; 0 is the even filter, 0.25 the odd one. aspect: width of the Gaussian across the wave over its length. The
    Gaussian's sigma is 0.56 wavelengths, one octave of bandwidth. Each filter has mean 0 and unit norm.

    Raises: ValueError for an even size.
    Source: Petkov 1995, "Biologically motivated computationally intensive approaches to image pattern recognition".
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f'size is {size}; it must be odd and at least 1')
    y, x = np.mgrid[:size, :size] - size // 2
    filters = []
    for wavelength in wavelengths:
        for angle in np.pi * np.arange(num_angles) / num_angles:
            along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
            envelope = np.exp(-(along**2 + (aspect * across) ** 2) / (2 * (0.56 * wavelength) ** 2))
            for phase in phases:
                wave = envelope * np.cos(2 * np.pi * (along / wavelength - phase))
                wave -= wave.mean()
                filters.append(wave / np.linalg.norm(wave))
    return np.stack(filters)


def correlate2d(images: jax.Array, window: jax.Array | np.ndarray, *, padding: Padding = 'same') -> jax.Array:
    """Returns every channel's cross-correlation with one window, (batch, out_height, out_width, channels).

    out[y, x] = sum over (i, j) of image[y + i, x + j] * window[i, j]: what deep learning calls a convolution.
    images: (batch, height, width, channels), floating point; window: (height, width); padding as for `conv2d`. Windows
    and sums are float32 or wider.

    Raises: ValueError for a window that has not 2 axes, and as `conv2d`.
    """
    images = arguments.check_images('images', images)
    wide = accumulator(images.dtype)
    window = jnp.asarray(window, wide)
    if window.ndim != 2:
        raise ValueError(f'window has shape {window.shape}; give 2 axes (height, width)')
    channels = images.shape[3]
    kernel = jnp.broadcast_to(window[:, :, None, None], (*window.shape, 1, channels))
    return conv2d(images.astype(wide), kernel, padding=padding, groups=channels).astype(images.dtype)


def convolve2d(images: jax.Array, window: jax.Array | np.ndarray, *, padding: Padding = 'same') -> jax.Array:
    """Returns every channel's true convolution: the cross-correlation with the window turned by half a turn.

    out[y, x] = sum over (i, j) of image[y - i, x - j] * window[i, j]. For Sobel's windows that changes the sign.

    Arguments and errors as for `correlate2d`.
    """
    return correlate2d(images, jnp.flip(jnp.asarray(window)), padding=padding)


def sobel(images: jax.Array, *, padding: Padding = 'same') -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns (gx, gy, magnitude) of every channel, by cross-correlation: gx > 0 where it gets brighter to the right.

    images: (batch, height, width, channels), floating point. The magnitude sqrt(gx^2 + gy^2) has gradient 0 at 0.

    Raises: ValueError as `conv2d`.
    """
    images = arguments.check_images('images', images)
    wide = images.astype(accumulator(images.dtype))
    across, down = (correlate2d(wide, window, padding=padding) for window in (SOBEL_X, SOBEL_Y))
    magnitude = length(jnp.stack([across, down]), 0)[0]
    return across.astype(images.dtype), down.astype(images.dtype), magnitude.astype(images.dtype)
