"""The cells that a sentence tells of, or that a question is asked about: what a trunk sees, and where each cell is."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers.pyramid import Pyramid


def seen_by(
    maps: Sequence[jax.Array],
    *,
    finest: int | None,
    train: bool,
    shrink: bool = True,
    dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
    """A map (batch, rows, columns, channels) of a trunk's maps, the finest first; called where layers are made.

    Args:
        finest: the number of the map at whose size a pyramid of 64 filters ends; None: the coarsest map alone, no
            pyramid. The pyramid is named as that of a detection net, whose weights it starts from (`weights.trunk`).
        shrink: whether what the pyramid found is as large as the coarsest map, by maxima of its places.
    """
    if finest is None:
        return maps[-1]
    fine = Pyramid(64, finest, dtype=dtype, name='pyramid')(maps, train=train)
    if not shrink:
        return fine
    window = (-(-fine.shape[1] // maps[-1].shape[1]), -(-fine.shape[2] // maps[-1].shape[2]))
    return nn.max_pool(fine, window, window, 'SAME')


def with_places(grid: jax.Array) -> jax.Array:
    """A map (batch, rows, columns, channels) with two more channels: x and y of each cell, from -1 to 1."""
    batch, rows, columns, _ = grid.shape
    x, y = (2 * (jnp.arange(count) + 0.5) / count - 1 for count in (columns, rows))
    places = jnp.stack(jnp.meshgrid(x, y), -1)[None].astype(grid.dtype)
    return jnp.concatenate([grid, jnp.broadcast_to(places, (batch, rows, columns, 2))], -1)
