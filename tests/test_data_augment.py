"""Augmentation and preprocessing: values against a loop, a change that depends on the image's own key alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from cnn_jax.data import augment, augment_color, augment_policy
from cnn_jax.streams import stream


def make_images(num: int = 5, shape: tuple[int, ...] = (9, 7, 2)) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (num, *shape), dtype=np.uint8)  # no zeros: those come from outside


def make_keys(num: int, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), num)


def shifts_of(before: np.ndarray, after: np.ndarray, max_shift: int) -> list[tuple[int, int]]:
    """All (down, right) for which `after` is `before` moved, by a loop over rows and columns."""
    height, width = before.shape[:2]
    found = []
    for down in range(-max_shift, max_shift + 1):
        for right in range(-max_shift, max_shift + 1):
            moved = np.zeros_like(before)
            for row in range(height):
                for column in range(width):
                    if 0 <= row + down < height and 0 <= column + right < width:
                        moved[row + down, column + right] = before[row, column]
            if np.array_equal(moved, after):
                found.append((down, right))
    return found


def test_random_shift_moves_each_image_and_fills_with_zeros():
    images = make_images(12)
    shifted = np.asarray(augment.random_shift(make_keys(12), jnp.asarray(images), max_shift=2))
    assert shifted.dtype == np.uint8
    assert shifted.shape == images.shape
    found = [shifts_of(before, after, 2) for before, after in zip(images, shifted, strict=True)]
    assert all(len(shifts) == 1 for shifts in found)
    assert len({shifts[0] for shifts in found}) > 5  # images move on their own


def test_random_shift_reaches_every_offset_equally():
    # Where the one lit pixel lands in 7 x 7 offsets; 48 degrees of freedom, 84.0 is the 0.1 % point of chi-squared.
    num = 9800
    image = jnp.zeros((num, 9, 9, 1), jnp.uint8).at[:, 4, 4].set(255)
    shifted = np.asarray(augment.random_shift(make_keys(num), image))
    places = np.asarray([np.argmax(one) for one in shifted.reshape(num, -1)])
    rows, columns = np.divmod(places, 9)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 7, 1, 7)
    counts = np.bincount((rows - 1) * 7 + columns - 1, minlength=49)
    assert np.sum((counts - num / 49) ** 2 / (num / 49)) < 84.0


def test_random_shift_depends_on_the_own_key_only():
    images, keys = jnp.asarray(make_images(8)), make_keys(8)
    together = augment.random_shift(keys, images)
    order = jnp.array([6, 1, 3])
    np.testing.assert_array_equal(augment.random_shift(keys[order], images[order]), together[order])
    np.testing.assert_array_equal(jax.jit(augment.random_shift)(keys, images), together)


def test_random_shift_of_nothing_and_of_floats():
    images = jnp.asarray(make_images(3))
    np.testing.assert_array_equal(augment.random_shift(make_keys(3), images, max_shift=0), images)
    floats = augment.random_shift(make_keys(3), images.astype(jnp.float32))
    assert floats.dtype == jnp.float32
    np.testing.assert_array_equal(floats, augment.random_shift(make_keys(3), images).astype(jnp.float32))


def test_random_shift_is_the_same_split_over_devices():
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    images, keys = jnp.asarray(make_images(16)), make_keys(16)
    split = jax.shard_map(augment.random_shift, mesh=mesh, in_specs=P('data'), out_specs=P('data'), check_vma=True)
    np.testing.assert_array_equal(jax.jit(split)(keys, images), augment.random_shift(keys, images))


@pytest.mark.parametrize(
    ('preprocess', 'low', 'high'),
    [
        (augment.to_unit_range, 0.0, 1.0),
        (partial(augment.to_range, low=-0.1, high=1.175), -0.1, 1.175),  # LeNet-5, 1998
        (partial(augment.standardise, mean=(0.5,), std=(0.25,)), -2.0, 2.0),
    ],
)
def test_ranges(preprocess, low, high):
    images = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
    scaled = preprocess(make_keys(1), images)
    assert scaled.dtype == jnp.float32
    np.testing.assert_allclose(np.ravel(scaled), np.linspace(low, high, 256), atol=1e-6)


def test_standardise_is_per_channel():
    images = make_images(4, (5, 5, 3))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scaled = augment.standardise(make_keys(4), jnp.asarray(images), mean=mean, std=std)
    for channel in range(3):
        expected = (images[..., channel] / 255 - mean[channel]) / std[channel]
        np.testing.assert_allclose(scaled[..., channel], expected, atol=1e-6)


# Crops, flips and erasing


def test_compose_gives_each_its_own_keys():
    images, keys = jnp.zeros((4, 2, 2, 1)), make_keys(4)

    def noise(keys, images):
        return images + jax.vmap(lambda key: jax.random.normal(key, (2, 2, 1)))(keys)

    twice = augment.compose(noise, noise)(keys, images)
    first, second = (noise(stream(keys, f'augment/compose/{number}'), images) for number in (0, 1))
    np.testing.assert_allclose(twice, first + second, rtol=1e-6)
    assert np.abs(first - second).min() > 0
    np.testing.assert_array_equal(augment.compose()(keys, images), images)


def test_random_flip():
    images = jnp.asarray(make_images(400))
    flipped = np.asarray(augment.random_flip(make_keys(400), images, probability=0.25))
    mirrored = np.asarray(images)[:, :, ::-1]
    turned = (flipped == mirrored).all((1, 2, 3))
    assert 70 < turned.sum() < 130
    np.testing.assert_array_equal(flipped[~turned], np.asarray(images)[~turned])


@pytest.mark.parametrize('reflect', [False, True])
def test_random_crop_is_a_piece_of_the_padded_image(reflect):
    images = make_images(40, (6, 6, 2))
    cropped = np.asarray(augment.random_crop(make_keys(40), jnp.asarray(images), size=6, padding=2, reflect=reflect))
    places = set()
    for before, after in zip(images, cropped, strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)), mode='reflect' if reflect else 'constant')
        found = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if (padded[row : row + 6, column : column + 6] == after).all()
        ]
        assert len(found) == 1
        places.update(found)
    assert len(places) > 15
    with pytest.raises(ValueError, match='size: got 11; images of 10 x 10 with their padding are smaller'):
        augment.random_crop(make_keys(40), jnp.asarray(images), size=11, padding=2)


def test_centre_crop_is_torchvisions():
    images = jnp.asarray(make_images(2, (9, 12, 1)))
    np.testing.assert_array_equal(augment.centre_crop(make_keys(2), images, size=6), images[:, 2:8, 3:9])  # round(1.5)
    with pytest.raises(ValueError, match='size: got 10; the images are 9 x 12'):
        augment.centre_crop(make_keys(2), images, size=10)


def test_random_resized_crop():
    ramp = jnp.broadcast_to(jnp.arange(40.0)[None, :, None] * 6, (40, 40, 1))
    images = jnp.broadcast_to(ramp, (64, 40, 40, 1))
    crop = jax.jit(partial(augment.random_resized_crop, size=10))
    cropped = np.asarray(crop(make_keys(64), images))
    assert cropped.shape == (64, 10, 10, 1)
    np.testing.assert_allclose(cropped, np.broadcast_to(cropped[:, :1], cropped.shape), atol=1e-3)
    width = (cropped[:, 0, 8, 0] - cropped[:, 0, 1, 0]) / 7 / 6 * 10  # pixels across of each box
    assert 40 * np.sqrt(0.08 * 0.75) - 0.1 < width.min() < 20
    assert 36 < width.max() < 40.1
    whole = augment.random_resized_crop(make_keys(64), images, size=40, area=(1.0, 1.0), ratio=(1.0, 1.0))
    np.testing.assert_allclose(whole, images, atol=1e-3)


def test_random_erasing():
    images = jnp.asarray(make_images(300, (20, 30, 3)))
    erased = np.asarray(augment.random_erasing(make_keys(300), images, probability=0.5, value=0))
    boxes = (erased == 0).all(-1)
    changed = boxes.any((1, 2))
    assert 110 < changed.sum() < 190
    np.testing.assert_array_equal(erased[~boxes], np.asarray(images)[~boxes])
    shares = boxes[changed].mean((1, 2))
    assert 0.01 < shares.min() < 0.05
    assert 0.25 < shares.max() < 0.36
    for box in boxes[changed]:
        assert box.sum() == box.any(0).sum() * box.any(1).sum()


def test_cutout():
    images = jnp.asarray(make_images(200, (16, 16, 3)))
    boxes = (np.asarray(augment.cutout(make_keys(200), images, size=6)) == 0).all(-1)
    assert boxes.sum((1, 2)).max() == 36
    assert boxes.sum((1, 2)).min() < 20  # cut at the edge
    assert boxes.any(0).all()  # everywhere


def test_new_changes_are_the_same_split_over_devices():
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    images, keys = jnp.asarray(make_images(16, (12, 12, 3))), make_keys(16)
    recipe = augment.compose(
        partial(augment.random_crop, size=12, padding=2),
        augment.random_flip,
        augment.random_erasing,
        partial(augment.cutout, size=4),
        augment_color.pca_lighting,
        augment_color.color_jitter,
        augment_policy.trivial_augment,
    )
    split = jax.shard_map(recipe, mesh=mesh, in_specs=P('data'), out_specs=P('data'), check_vma=True)
    one, other = np.asarray(jax.jit(split)(keys, images)), np.asarray(jax.jit(recipe)(keys, images))
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, other)
