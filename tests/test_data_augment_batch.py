"""Changes of images alone as changes of a batch, and the fields of a batch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data import augment, augment_color, augment_policy
from cnn_jax.data.formats import annotations
from cnn_jax.ops.boxes import box_area

NUM = 16
KEYS = jax.random.split(jax.random.key(0), NUM)


def make_batch() -> dict[str, jax.Array]:
    random = np.random.default_rng(0)
    return {
        'image': jnp.asarray(random.integers(0, 256, (NUM, 6, 5, 3), dtype=np.uint8)),
        'mask': jnp.arange(NUM) < NUM - 1,
        'boxes': jnp.ones((NUM, 2, 4)),
        'keypoints': jnp.ones((NUM, 3, 2)),
        'visible': jnp.ones((NUM, 3), bool),
        'segmentation': jnp.ones((NUM, 6, 5), jnp.uint8),
        'question': jnp.ones((NUM, 7), jnp.int32),  # nothing that the changes know
    }


def noise(keys, images):
    return images ^ jax.vmap(lambda key: jax.random.bits(key, images.shape[1:], images.dtype))(keys)


def test_on_images_and_compose_change_places():
    batch, grey = make_batch(), partial(augment_color.random_grey, probability=0.5)

    @jax.jit
    def both(keys, batch):
        whole = augment.on_images(augment.compose(noise, grey))(keys, batch)
        return whole, augment.compose(augment.on_images(noise), augment.on_images(grey))(keys, batch)

    one, other = both(KEYS, batch)
    assert one.keys() == other.keys() == batch.keys()
    for name, array in batch.items():
        np.testing.assert_array_equal(one[name], other[name])
        if name != 'image':  # passed on
            np.testing.assert_array_equal(one[name], array)
            assert one[name].dtype == array.dtype
    is_grey = np.ptp(one['image'], -1).max((1, 2)) == 0
    assert 2 < is_grey.sum() < NUM - 2


@pytest.mark.parametrize(
    'transform',
    [
        augment.random_flip,
        augment.compose(noise, partial(augment.random_shift, max_shift=1)),
        jax.jit(augment.random_flip),
        augment_policy.trivial_augment,
        lambda keys, images: images[:, ::2],
        augment.moves_pixels(lambda keys, images: images),
    ],
)
def test_on_images_leaves_no_box_behind(transform):
    batch = make_batch()
    with pytest.raises(ValueError, match='moves pixels, and the batch has boxes, keypoints, segmentation; take'):
        jax.eval_shape(augment.on_images(transform), KEYS, batch)
    left = jax.eval_shape(augment.on_images(transform, leave_fields=True), KEYS, batch)
    assert left.keys() == batch.keys()
    classes = {'image': batch['image'], 'label': jnp.arange(NUM), 'mask': batch['mask']}
    assert jax.eval_shape(augment.on_images(transform), KEYS, classes).keys() == classes.keys()


def test_on_images_names_what_moves():
    change = augment.on_images(augment.compose(noise, partial(augment.random_shift, max_shift=1)))
    with pytest.raises(ValueError, match=r'on_images: compose\(noise, random_shift\) moves'):
        jax.eval_shape(change, KEYS, make_batch())


def test_boxes_of_shares_are_turned_and_scaled():
    boxes = annotations.boxes_of_shares(np.array([[0.25, 0.5, 0.75, 1.0]]), 40, 100)
    np.testing.assert_array_equal(boxes, np.array([[50, 10, 100, 30]], np.float32), strict=True)


def test_a_box_is_present_if_it_has_an_area():
    boxes = jnp.array([[2, 1, 5, 3], [0, 0, 0, 0], [2, 1, 2, 3], [5, 3, 2, 1]], jnp.float32)
    np.testing.assert_array_equal(annotations.present(boxes), [True, False, False, False])
    np.testing.assert_array_equal(box_area(boxes), [6, 0, 0, 0])
