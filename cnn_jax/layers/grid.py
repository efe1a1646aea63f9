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


def with_places(grid: jax.Array, *, waves: int = 0) -> jax.Array:
    """A map (batch, rows, columns, channels) with 2 + 4 `waves` more channels, which say where each cell is.

    They are x and y, from -1 to 1, and of each wave the sines, then the cosines of x and y: a half wave over the map
    first, then a whole one, and so on. Attention learns late to tell places by x and y alone.
    """
    batch, rows, columns, _ = grid.shape
    x, y = (2 * (jnp.arange(count) + 0.5) / count - 1 for count in (columns, rows))
    places = jnp.stack(jnp.meshgrid(x, y), -1)
    angles = [jnp.pi / 2 * wave * places for wave in range(1, waves + 1)]
    found = jnp.concatenate([places, *(part for angle in angles for part in (jnp.sin(angle), jnp.cos(angle)))], -1)
    found = jnp.broadcast_to(found[None].astype(grid.dtype), (batch, rows, columns, found.shape[-1]))
    return jnp.concatenate([grid, found], -1)
