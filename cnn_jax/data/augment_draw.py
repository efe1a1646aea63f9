"""Where a change that moves pixels takes them: the random numbers of `augment` and of `augment_geometry`, drawn once.

Both take them from here, so that an image is changed alike with and without its boxes, key points and segmentation.
`keys` are typed PRNG keys (batch,). Each draws from a stream of its own name (see `streams`).
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.streams import stream


def draw_mirrored(keys: Array, probability: float) -> Array:
    """Which images are mirrored, bool (batch,)."""
    own = stream(keys, 'augment/random_flip')
    return jax.vmap(lambda key: jax.random.bernoulli(key, probability))(own)


def draw_corners(keys: Array, room: tuple[int, int], name: str) -> Array:
    """A place for the upper left corner of each image's piece, int32 (batch, 2): a row and a column below `room`.

    name: of the stream: crops and shifts have streams of their own.
    """
    own = stream(keys, name)
    return jax.vmap(lambda key: jax.random.randint(key, (2,), 0, jnp.array(room)))(own)


def centre_corner(sizes: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(top, left) of the central piece of `size` in an image of `sizes`, both (height, width), as in torchvision."""
    return round((sizes[0] - size[0]) / 2), round((sizes[1] - size[1]) / 2)


def draw_boxes(
    keys: Array, sizes: tuple[int, int], area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Array, Array]:
    """A box in each image of `sizes`, (height, width): its start and its sides, float32 (batch, 2), row and column.

    Its share of the area is uniform in `area`, its ratio of width to height log-uniform in `ratio`; a box that does not
    fit is made to, so that its share may be smaller.
    """
    height, width = sizes

    def draw(key: Array) -> tuple[Array, Array]:
        shares, shapes, places = (stream(key, f'augment/resized_crop/{name}') for name in ('area', 'ratio', 'place'))
        wanted = height * width * jax.random.uniform(shares, minval=area[0], maxval=area[1])
        shape = jnp.exp(jax.random.uniform(shapes, minval=math.log(ratio[0]), maxval=math.log(ratio[1])))
        sides = jnp.minimum(jnp.sqrt(jnp.array([wanted / shape, wanted * shape])), jnp.array([height, width]))
        return jax.random.uniform(places, (2,)) * (jnp.array([height, width]) - sides), sides

    return jax.vmap(draw)(keys)
