"""Pairs for super-resolution: both pictures move together, by chance of each image alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data import augment, augment_geometry, augment_pairs
from cnn_jax.data.formats.shrunk import HIGH

SCALE, SIDE, NUM = 3, 8, 64


def numbered() -> dict[str, jax.Array]:
    """Images whose pixels are all different, and the same with each pixel as a square."""
    low = np.arange(NUM * SIDE * SIDE * 3, dtype=np.int32).reshape(NUM, SIDE, SIDE, 3)
    return {
        'image': jnp.asarray(low),
        HIGH: jnp.asarray(low.repeat(SCALE, 1).repeat(SCALE, 2)),
        'index': jnp.arange(NUM),
    }


def keys() -> jax.Array:
    return jax.random.split(jax.random.key(0), NUM)


@pytest.mark.parametrize(
    'change', [lambda keys, batch: augment_pairs.random_crop(keys, batch, size=5), augment_pairs.random_turn]
)
def test_both_pictures_move_together(change):
    batch = numbered()
    moved = jax.jit(change)(keys(), batch)
    np.testing.assert_array_equal(moved[HIGH], np.asarray(moved['image']).repeat(SCALE, 1).repeat(SCALE, 2))
    np.testing.assert_array_equal(moved['index'], batch['index'])
    assert all((np.asarray(moved['image'][row]) // (SIDE * SIDE * 3) == row).all() for row in range(NUM))
    places = {tuple(np.asarray(one).ravel()[:3] % (SIDE * SIDE * 3)) for one in moved['image']}
    assert len(places) > 3  # by chance
    alone = change(keys()[7:8], {name: values[7:8] for name, values in batch.items()})
    np.testing.assert_array_equal(alone['image'][0], moved['image'][7])


def test_all_eight_ways_to_lay_a_square_come():
    image = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    ways = {np.rot90(one, turns).tobytes() for one in (image, image.T) for turns in range(4)}
    batch = {'image': jnp.broadcast_to(image[None, ..., None], (NUM, SIDE, SIDE, 1))}
    batch[HIGH] = batch['image']
    moved = np.asarray(augment_pairs.random_turn(keys(), batch)['image'])[..., 0].astype(image.dtype)
    assert {one.tobytes() for one in moved} == ways


def test_crops_reach_every_border():
    moved = augment_pairs.random_crop(keys(), numbered(), size=SIDE - 1)
    first = np.asarray(moved['image'])[:, 0, 0, 0] % (SIDE * SIDE * 3)
    assert {*first.tolist()} == {0, 3, SIDE * 3, SIDE * 3 + 3}


def test_what_would_leave_one_picture_behind_is_refused():
    batch = numbered()
    with pytest.raises(ValueError, match=r'take a transform of cnn_jax\.data\.augment_pairs'):
        augment_geometry.random_flip(keys(), batch)
    with pytest.raises(ValueError, match=r'cnn_jax\.data\.augment_pairs, or leave_fields=True'):
        augment.on_images(augment.random_flip)(keys(), batch)
    with pytest.raises(ValueError, match='size: got 9; the images are 8 x 8'):
        augment_pairs.random_crop(keys(), batch, size=9)
    with pytest.raises(ValueError, match="the batch has no 'high_resolution'"):
        augment_pairs.random_turn(keys(), {'image': batch['image']})
    with pytest.raises(ValueError, match='both sides are larger by one whole number'):
        augment_pairs.random_turn(keys(), {**batch, HIGH: batch[HIGH][:, 1:]})
    with pytest.raises(ValueError, match='squares alone'):
        augment_pairs.random_turn(keys(), {'image': batch['image'][:, 1:], HIGH: batch[HIGH][:, SCALE:]})
