"""EDSR: residual blocks without normalisation make an image larger. Lim et al. 2017, arXiv:1707.02921."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import Conv2D, initializers
from cnn_jax.ops import bicubic, pixel_shuffle


class EDSR(nn.Module):
    """A convolution, residual blocks at the size that is given, and a pixel shuffle; the defaults are EDSR-baseline.

    Takes standardised images (batch, height, width, channels), returns images (batch, height * scale, width * scale,
    channels) in the same values. A scale of 2, 4 or 8 is one shuffle for each 2; another is one shuffle.

    Differs from the paper: biases start from 0. `residual` adds the bicubic enlargement to the result and starts the
    last convolution from 0, so that an untrained net is bicubic interpolation: for little data.

    Learned parameters: `baseline_x2` 1,369,859 at 24x24x3, `baseline_x3` 1,554,499 at 24x24x3,
    `baseline_x4` 1,517,571 at 24x24x3, `edsr_x2` 40,729,603 at 24x24x3.
    """

    scale: int = 2
    filters: int = 64
    blocks: int = 16
    residual_scale: float = 1.0  # of a block's result before it is added; 0.1 keeps wide nets stable
    residual: bool = False
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        first = x = self._conv(self.filters, 'head')(images)
        for number in range(1, self.blocks + 1):
            inner = nn.relu(self._conv(self.filters, f'block{number}_1')(x))
            x = x + self.residual_scale * self._conv(self.filters, f'block{number}_2')(inner)
        x = first + self._conv(self.filters, 'body')(x)
        for number, factor in enumerate(_factors(self.scale), 1):
            x = pixel_shuffle(self._conv(self.filters * factor**2, f'upscale{number}')(x), scale=factor)
        x = self._conv(images.shape[-1], 'tail', starts_at_zero=self.residual)(x).astype(jnp.float32)
        return x + bicubic(images, scale=self.scale).astype(jnp.float32) if self.residual else x

    def _conv(self, filters: int, name: str, *, starts_at_zero: bool = False) -> Conv2D:
        uniform = initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')  # torch's default, which the authors use
        initializer = nn.initializers.zeros_init() if starts_at_zero else uniform
        return Conv2D(filters, 3, padding=1, kernel_initializer=initializer, dtype=self.dtype, name=name)


def _factors(scale: int) -> list[int]:
    """A power of 2 as twos, another scale as it is."""
    powers = scale.bit_length() - 1
    return [2] * powers if scale == 2**powers else [scale]


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'baseline_x{scale}': partial(EDSR, scale=scale) for scale in (2, 3, 4)},
    **{f'edsr_x{scale}': partial(EDSR, scale=scale, filters=256, blocks=32, residual_scale=0.1) for scale in (2, 3, 4)},
}
