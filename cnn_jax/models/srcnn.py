"""SRCNN: three convolutions sharpen an enlarged image. Dong, Loy, He and Tang 2014, arXiv:1501.00092."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import Conv2D, initializers
from cnn_jax.layers.variables import Initializer
from cnn_jax.ops import bicubic


class SRCNN(nn.Module):
    """The bicubic enlargement, then patches (9x9), a mapping (1x1 in the default 9-1-5) and the image again (5x5).

    Takes standardised images (batch, height, width, channels), returns images (batch, height * scale, width * scale,
    channels) in the same values.

    Differs from the paper: the enlargement is part of the net, and borders are padded in training too. `residual` adds
    the enlargement to the result, so that the net starts near it. With Adam take another `kernel_initializer`: its
    first steps are as long as the paper's first weights, and move all filters alike.

    Learned parameters: `9-1-5` 8,129 at 32x32x1, `9-3-5` 24,513 at 32x32x1, `9-5-5` 57,281 at 32x32x1.
    """

    scale: int = 2
    filters: tuple[int, int] = (64, 32)
    kernel_sizes: tuple[int, int, int] = (9, 1, 5)
    residual: bool = False
    kernel_initializer: Initializer = initializers.normal(0.001)  # of the first two convolutions
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        enlarged = x = bicubic(images, scale=self.scale)
        options = {'padding': 'same', 'dtype': self.dtype}
        inner = {'activation': nn.relu, 'kernel_initializer': self.kernel_initializer, **options}
        for number, (filters, size) in enumerate(zip(self.filters, self.kernel_sizes[:2], strict=True), 1):
            x = Conv2D(filters, size, name=f'conv{number}', **inner)(x)
        last = initializers.normal(0.001)
        x = Conv2D(images.shape[-1], self.kernel_sizes[2], kernel_initializer=last, name='conv3', **options)(x)
        x = x.astype(jnp.float32)
        return x + enlarged.astype(jnp.float32) if self.residual else x


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    '9-1-5': SRCNN,
    '9-3-5': partial(SRCNN, kernel_sizes=(9, 3, 5)),
    '9-5-5': partial(SRCNN, kernel_sizes=(9, 5, 5)),
}
