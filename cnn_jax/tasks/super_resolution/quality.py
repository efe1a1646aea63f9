"""How near an enlarged image is to the truth, as papers on super-resolution have it.

The convention alone moves the numbers by 1 to 2 dB, so it has one home. Images have 8 bits. Y of MATLAB's `rgb2ycbcr`
is compared, 16 to 235, not rounded again. `scale` pixels of each border are left out. The range is 255.
"""

from typing import Any, NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError

LUMINANCE = np.array([65.481, 128.553, 24.966]) / 255  # of R, G and B: ITU-R BT.601
BLACK = 16.0
WINDOW = 11  # pixels a side, of the Gaussian weights of SSIM


class Quality(NamedTuple):
    """Of one image.

    Attributes:
        psnr: in dB; infinite where no pixel differs.
        ssim: at most 1, the mean over the image.
    """

    psnr: float
    ssim: float


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Values 0 .. 1 as uint8, rounded and held within; what is no number is 0. On the devices: `measures.to_pixels`."""
    return np.nan_to_num(np.clip(np.round(255 * np.asarray(values, np.float32)), 0, 255)).astype(np.uint8)


def luma(pixels: np.ndarray) -> np.ndarray:
    """Y, float64 (height, width), from 16 to 235, of uint8 (height, width, 3); one channel is taken as Y itself.

    Raises:
        CnnJaxError: other pixels.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise CnnJaxError(f'pixels: {pixels.dtype} {pixels.shape} given; needed is uint8 (height, width, 1 or 3)')
    return pixels[..., 0].astype(np.float64) if pixels.shape[2] == 1 else BLACK + pixels @ LUMINANCE


def quality(answer: np.ndarray, truth: np.ndarray, *, scale: int) -> Quality:
    """PSNR, and SSIM with the Gaussian weights of Wang et al. 2004, on Y without the borders.

    answer, truth: uint8 (height, width, 1 or 3). scale: how much larger the answer is than what it was made of, and so
    how many pixels of each border do not count.

    Raises:
        CnnJaxError: images of different shapes, or too small for a window.
    """
    from skimage.metrics import structural_similarity

    if answer.shape != truth.shape:
        raise CnnJaxError(f'answer: {answer.shape} given; the truth is {truth.shape}')
    if min(truth.shape[:2]) < WINDOW + 2 * scale:
        raise CnnJaxError(
            f'truth: {truth.shape} given; without {scale} pixels of each border, {WINDOW} a side are needed at least'
        )
    inner = slice(scale, -scale) if scale else slice(None)
    ours, right = luma(answer)[inner, inner], luma(truth)[inner, inner]
    error = float(np.mean((ours - right) ** 2))
    psnr = 10 * np.log10(255**2 / error) if error else np.inf
    weights = {'gaussian_weights': True, 'sigma': 1.5, 'use_sample_covariance': False}
    ssim: Any = structural_similarity(ours, right, data_range=255, **weights)  # with no gradient and no map: a number
    return Quality(float(psnr), float(ssim))
