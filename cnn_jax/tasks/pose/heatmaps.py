"""Key points as heat-maps and back: the maps that are right for some places, and the places that maps answer."""

import jax
import jax.numpy as jnp


def places_on_map(keypoints: jax.Array, image_size: tuple[int, int], map_size: tuple[int, int]) -> jax.Array:
    """Points (..., 2), (x, y) in pixels of an image (height, width), in places of a map (rows, columns).

    The centre of the place in row 0 and column 0 is (0, 0).
    """
    pixels_a_place = jnp.array([image_size[1] / map_size[1], image_size[0] / map_size[0]], jnp.float32)
    return keypoints / pixels_a_place.reshape((1,) * (keypoints.ndim - 1) + (2,)) - 0.5


def bumps(places: jax.Array, size: tuple[int, int], sigma: float) -> jax.Array:
    """Gaussian bumps of height 1 around places (batch, joints, 2) of a map: (batch, rows, columns, joints)."""
    return jnp.exp(-_exponents(places, size, sigma))


def shares(places: jax.Array, size: tuple[int, int], sigma: float) -> jax.Array:
    """The same bumps as shares of each map, which sum to 1: (batch, rows, columns, joints)."""
    return jax.nn.softmax(-_exponents(places, size, sigma), axis=(1, 2))


def _exponents(places: jax.Array, size: tuple[int, int], sigma: float) -> jax.Array:
    across = jnp.arange(size[1])[None, None, :, None] - places[:, None, None, :, 0]
    down = jnp.arange(size[0])[None, :, None, None] - places[:, None, None, :, 1]
    return (across**2 + down**2) / (2 * sigma**2)


def decode_maps(maps: jax.Array, *, as_shares: bool) -> dict[str, jax.Array]:
    """Where each heat-map (batch, rows, columns, joints) is highest, and how sure that is.

    The highest place, the first of equals, then a quarter of a place towards the higher of its two neighbours, across
    and down each by itself; there is no such step at the border, nor where both are as high. As published (Xiao et al.
    2018, arXiv:1804.06208), whose code steps neither way where one side is at the border.

    as_shares: whether a map says the logarithm of shares. Then the score is the share of the 3x3 places around the
        highest; else it is the height there, from 0 to 1.

    Returns:
        `place` (batch, joints, 2), (x, y) as shares of the sides, and `score` (batch, joints), 0 .. 1. Of a map with a
        value that is not finite the place is not a number, and the score is 0.
    """
    _, rows, columns, joints = maps.shape
    flat = maps.reshape(-1, rows * columns, joints)
    # Sums over the one place that is the highest: without an index, a remainder or a gather, for every export.
    highest = (jnp.arange(rows * columns)[None, :, None] == jnp.argmax(flat, 1)[:, None, :]).reshape(maps.shape)
    row = jnp.sum(jnp.where(highest, jnp.arange(rows)[None, :, None, None], 0), (1, 2))  # (batch, joints)
    column = jnp.sum(jnp.where(highest, jnp.arange(columns)[None, None, :, None], 0), (1, 2))
    framed = jnp.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)

    def near(down: int, across: int) -> jax.Array:
        """A neighbour of each highest place, (batch, joints); minus infinity beyond the border."""
        moved = framed[:, 1 + down : 1 + down + rows, 1 + across : 1 + across + columns]
        return jnp.max(jnp.where(highest, moved, -jnp.inf), (1, 2))

    x = (column + 0.5 + _quarter(near(0, -1), near(0, 1))) / columns
    y = (row + 0.5 + _quarter(near(-1, 0), near(1, 0))) / rows
    if as_shares:
        around = jnp.stack([near(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)])
        score = jnp.exp(jax.nn.logsumexp(around, 0) - jax.nn.logsumexp(flat, 1))
    else:
        score = jnp.max(flat, 1)
    known = jnp.isfinite(flat).all(1)
    place = jnp.where(known[..., None], jnp.stack([x, y], -1), jnp.nan)
    return {'place': place, 'score': jnp.where(known, jnp.clip(score, 0, 1), 0)}


def _quarter(before: jax.Array, after: jax.Array) -> jax.Array:
    """A quarter towards the higher of two neighbours; 0 where one of them is beyond the border."""
    inside = jnp.isfinite(before) & jnp.isfinite(after)
    return jnp.where(inside, 0.25 * jnp.sign(jnp.where(inside, after - before, 0)), 0)
