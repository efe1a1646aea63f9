"""The maps of a trunk joined: what each place is, from the coarse ones, and where, from the fine ones."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from cnn_jax.layers.conv import Conv2D
from cnn_jax.layers.conv_norm import ConvNorm
from cnn_jax.layers.initializers import variance_scaling


class Pyramid(nn.Module):
    """From the coarsest map up: 1x1 convolutions to `filters`, enlarged by nearest neighbour and added, then a 3x3.

    Takes maps (batch, height, width, channels), the finest first, each half as large as the one before it or as large;
    returns (batch, height, width, filters) at the size of the map `finest`.

    The top-down path of Lin et al. 2016, arXiv:1612.03144. Differs: the finest map alone leaves it, normalised.
    """

    filters: int = 64
    finest: int = 0  # the number of the map at whose size it ends; negative from the coarsest
    batch_norm: str = 'global'
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array], *, train: bool) -> jax.Array:
        chosen = _from(maps, self.finest)
        options = {'kernel_initializer': variance_scaling(2.0, 'fan_in', 'normal'), 'dtype': self.dtype}
        sides = [Conv2D(self.filters, 1, name=f'lateral{place}', **options)(one) for place, one in enumerate(chosen)]
        x = sides.pop()
        for side in reversed(sides):
            x = side + enlarged(x, (side.shape[1], side.shape[2]))
        options |= {'padding': 1, 'batch_norm': self.batch_norm}
        return ConvNorm(self.filters, 3, activation=nn.relu, name='smooth', **options)(x, train=train)


def enlarged(maps: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Maps (batch, height, width, channels) at `size`, each place repeated; cut where `size` is no multiple."""
    for axis, wanted in zip((1, 2), size, strict=True):
        times = -(-wanted // maps.shape[axis])
        maps = maps.repeat(times, axis) if times > 1 else maps
    return maps[:, : size[0], : size[1]]


class FeaturePyramid(nn.Module):
    """The maps of a trunk, each with what the coarser ones know, and `extra` coarser ones after them.

    Takes maps as `Pyramid` does; returns a list of (batch, height, width, filters), the finest first, from the map
    `finest` on; each extra one is a 3x3 convolution of stride 2 of the one before, after a ReLU.

    Lin et al. 2016, arXiv:1612.03144; extra maps as in Lin et al. 2017, arXiv:1708.02002, made of the pyramid's last.
    """

    filters: int = 256
    finest: int = 0
    extra: int = 2
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array]) -> list[jax.Array]:
        options = {'kernel_initializer': variance_scaling(1.0, 'fan_in', 'uniform'), 'dtype': self.dtype}
        found: list[jax.Array] = []
        for place, one in reversed(list(enumerate(_from(maps, self.finest)))):
            side = Conv2D(self.filters, 1, name=f'lateral{place}', **options)(one)
            found.insert(0, side + enlarged(found[0], (side.shape[1], side.shape[2])) if found else side)
        found = [Conv2D(self.filters, 3, padding=1, name=f'smooth{at}', **options)(x) for at, x in enumerate(found)]
        for place in range(self.extra):
            x = nn.relu(found[-1]) if place else found[-1]
            found.append(Conv2D(self.filters, 3, strides=2, padding=1, name=f'extra{place}', **options)(x))
        return found


def _from(maps: Sequence[jax.Array], finest: int) -> list[jax.Array]:
    """The maps from the number `finest` on, which may count from the coarsest."""
    if not -len(maps) <= finest < len(maps):
        raise ValueError(f'finest: got {finest}; the trunk has the maps 0 to {len(maps) - 1}, 0 the finest')
    return list(maps)[finest % len(maps) :]
