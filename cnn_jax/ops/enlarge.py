"""Larger images: bicubic interpolation, and channels that become pixels."""

import jax
import jax.numpy as jnp

from cnn_jax.ops import arguments
from cnn_jax.ops.arguments import read_count


def pixel_shuffle(images: jax.Array, *, scale: int) -> jax.Array:
    """Returns each `scale` x `scale` pixels from as many channels: (batch, height * scale, width * scale, channels).

    images: (batch, height, width, channels * scale**2), floating point. Pixel (row, column) of a block of channel c is
    channel (c * scale + row) * scale + column, as in torch; TensorFlow's `depth_to_space` has c last.

    Shi et al. 2016, arXiv:1609.05158.

    Raises: ValueError for a wrong rank or type, a scale below 1, or channels that are no multiple of scale**2.
    """
    images = arguments.check_images('images', images)
    scale = read_count('scale', scale)
    batch, height, width, channels = images.shape
    if channels % scale**2:
        raise ValueError(f'images: {channels} channels given; for scale {scale} they are a multiple of {scale**2}')
    blocks = images.reshape(batch, height, width, channels // scale**2, scale, scale)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(batch, height * scale, width * scale, channels // scale**2)


def bicubic(images: jax.Array, *, scale: int) -> jax.Array:
    """Returns the images enlarged with Keys' kernel, a = -1/2: (batch, height * scale, width * scale, channels).

    images: (batch, height, width, channels), floating point. Pixels are squares, and weights beyond the border go to
    the pixels inside, as in Pillow; MATLAB's `imresize` mirrors the image there.

    Raises: ValueError for a wrong rank or type, or a scale below 1.
    """
    images = arguments.check_images('images', images)
    scale = read_count('scale', scale)
    _, height, width, channels = images.shape
    shape = (height * scale, width * scale, channels)  # of one image: an export does not know how many there are
    wide = images.astype(jnp.promote_types(images.dtype, jnp.float32))  # weights of 16 bits are several units off
    return jax.vmap(lambda one: jax.image.resize(one, shape, 'cubic'))(wide).astype(images.dtype)
