"""Changes that move pixels, of a whole batch: a drawn patch, its box, its class and its key points stay together.

Compiling the random numbers is most of the time here, so each change is compiled once and looked at in one test.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from cnn_jax.data import augment, augment_affine
from cnn_jax.data import augment_geometry as geometry
from cnn_jax.data.augment_affine import Border
from cnn_jax.data.formats import annotations

NUM, HEIGHT, WIDTH = 16, 14, 18
SWAP = ((1, 2),)
PATCH, FRAME, ABSENT = range(3)  # the boxes of a scene
EDGE = 1e-3  # pixels from a box's edge within which a pixel's centre counts as on it


def keys_of(num: int = NUM, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), num)


def scene(num: int = NUM, height: int = HEIGHT, width: int = WIDTH, seed: int = 0, side: int = 3) -> dict:
    """Grey noise below 20 with one bright patch of 200, and in it one pixel of 250, the key point 0.

    Boxes: the patch, the whole image, an absent one. The key points 1 and 2 are the patch's upper corners. Class 1 is
    the patch, 0 the rest. The last row of the batch is padding.
    """
    random = np.random.default_rng(seed)
    image = random.integers(1, 20, (num, height, width, 1), dtype=np.uint8)
    segmentation = np.zeros((num, height, width), np.uint8)
    boxes, points = np.zeros((num, 3, 4), np.float32), np.zeros((num, 3, 2), np.float32)
    mask = np.arange(num) < num - 1
    for row in range(num - 1):
        top, left = random.integers(0, (height - side + 1, width - side + 1))
        bottom, right = top + side, left + side
        image[row, top:bottom, left:right] = 200
        segmentation[row, top:bottom, left:right] = 1
        y, x = random.integers((top, left), (bottom, right))
        image[row, y, x] = 250
        boxes[row, :2] = (left, top, right, bottom), (0, 0, width, height)
        points[row] = (x + 0.5, y + 0.5), (left, top), (right, top)
    image[-1] = 0
    batch = {'image': image, 'boxes': boxes, 'keypoints': points, 'segmentation': segmentation, 'mask': mask}
    batch |= {'visible': np.repeat(mask[:, None], 3, 1), 'index': np.arange(num, dtype=np.int32)}
    return {name: jnp.asarray(array) for name, array in batch.items()}


def flip_is_closed_form(before: dict, moved: dict) -> None:
    mirrored = (moved['image'] == before['image'][:, :, ::-1]).all((1, 2, 3))[:-1]
    assert 3 < mirrored.sum() < NUM - 3
    left, right = (moved['keypoints'][:-1, number, 0] for number in (1, 2))
    assert (left < right).all()  # the left corner is still the left one
    expected = WIDTH - before['keypoints'][:-1][mirrored][:, [0, 2, 1], 0]
    np.testing.assert_array_equal(moved['keypoints'][:-1][mirrored][..., 0], expected)
    sides = before['boxes'][:-1, PATCH][mirrored][:, [2, 1, 0, 3]]
    sides[:, [0, 2]] = WIDTH - sides[:, [0, 2]]
    np.testing.assert_array_equal(moved['boxes'][:-1, PATCH][mirrored], sides)


def resize_is_closed_form(before: dict, moved: dict) -> None:
    expected = jax.image.resize(before['image'].astype(np.float32), (NUM, 21, 20, 1), 'linear')
    np.testing.assert_allclose(moved['image'], expected, atol=0.51)
    scale = np.array((20 / WIDTH, 21 / HEIGHT), np.float32)
    np.testing.assert_allclose(moved['keypoints'], before['keypoints'] * scale, rtol=1e-6)
    np.testing.assert_allclose(moved['boxes'], before['boxes'] * np.tile(scale, 2), rtol=1e-6)
    np.testing.assert_array_equal(moved['visible'], before['visible'])


def letterbox_is_closed_form(before: dict, moved: dict) -> None:
    assert before['image'].shape[1:3] == (14, 18)  # into 30 x 24: 19 x 24, 5 rows above and 6 below
    np.testing.assert_array_equal(moved['boxes'][0, FRAME], (0, 5, 24, 24))
    rows = (moved['segmentation'][0] == annotations.IGNORE).all(1)
    np.testing.assert_array_equal(rows, [*[True] * 5, *[False] * 19, *[True] * 6])
    np.testing.assert_array_equal((moved['image'][0] == 0).all((1, 2)), rows)


def something_leaves(before: dict, moved: dict) -> None:
    assert 0 < moved['visible'].sum() < before['visible'].sum()


class Case(NamedTuple):
    """A change, the function of images that it agrees with, whether it copies pixels, and what else is known of it."""

    change: augment.BatchTransform
    of_images: augment.Transform | None
    copies: bool
    check: Callable[[dict, dict], None] = something_leaves


CASES = {
    'flip': Case(partial(geometry.random_flip, swap=SWAP), augment.random_flip, True, flip_is_closed_form),
    'crop': Case(
        partial(geometry.random_crop, size=12, padding=5), partial(augment.random_crop, size=12, padding=5), True
    ),
    'centre crop': Case(partial(geometry.centre_crop, size=9), partial(augment.centre_crop, size=9), True),
    'shift': Case(partial(geometry.random_shift, max_shift=7), partial(augment.random_shift, max_shift=7), True),
    'resized crop': Case(
        partial(geometry.random_resized_crop, size=16, area=(0.2, 1.0)),
        partial(augment.random_resized_crop, size=16, area=(0.2, 1.0)),
        False,
    ),
    'resize': Case(partial(geometry.resize, size=(21, 20)), None, False, resize_is_closed_form),
    'letterbox': Case(partial(geometry.resize, size=(30, 24), letterbox=True), None, False, letterbox_is_closed_form),
    'chain': Case(
        augment.compose(
            partial(geometry.random_flip, swap=SWAP),
            partial(geometry.centre_crop, size=(11, 13)),
            partial(geometry.resize, size=(15, 14), letterbox=True),
        ),
        None,
        False,
    ),
}


def as_numpy(batch: dict) -> dict:
    return {name: np.asarray(array) for name, array in batch.items()}


def centres(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The x (1, width) and the y (height, 1) of the centres of all pixels."""
    return np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5


def covered(box: np.ndarray, height: int, width: int, spread: float) -> np.ndarray:
    """Which pixels have their centre in a box that is `spread` wider on each side."""
    (x, y), (left, top, right, bottom) = centres(height, width), box
    within = (x > left - spread) & (x < right + spread) & (y > top - spread) & (y < bottom + spread)
    return within & (right > left)


def same_batches(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
        assert array.dtype == other[name].dtype


# The fields go with the pixels


@pytest.mark.parametrize('name', CASES)
def test_fields_go_with_the_pixels(name):
    case, batch = CASES[name], scene()

    @jax.jit
    def compiled(keys, batch):
        return case.change(keys, batch), case.of_images(keys, batch['image']) if case.of_images else None

    moved, images = compiled(keys_of(), batch)
    if images is not None:
        np.testing.assert_array_equal(moved['image'], images)  # to the last bit
    before, moved = as_numpy(batch), as_numpy(moved)
    classes_are_those_of_the_boxes(moved)
    pixels_are_those_of_the_classes(moved)
    if case.copies:
        bright_pixels_are_at_their_key_points(moved)
    what_leaves_is_absent(moved)
    case.check(before, moved)
    for field in ('mask', 'index'):
        np.testing.assert_array_equal(moved[field], before[field])
    for field, array in before.items():
        assert moved[field].dtype == array.dtype


def classes_are_those_of_the_boxes(moved: dict) -> None:
    """A pixel has the class of the patch if its centre is in the patch's box, and any if it is in the image's."""
    height, width = moved['image'].shape[1:3]
    assert moved['segmentation'].shape == moved['image'].shape[:3]
    for row in range(NUM - 1):
        patch, frame = moved['boxes'][row, PATCH], moved['boxes'][row, FRAME]
        is_patch, is_old = moved['segmentation'][row] == 1, moved['segmentation'][row] != annotations.IGNORE
        for box, pixels in ((patch, is_patch), (frame, is_old)):
            assert not (covered(box, height, width, -EDGE) & ~pixels).any()
            assert not (~covered(box, height, width, EDGE) & pixels).any()


def pixels_are_those_of_the_classes(moved: dict) -> None:
    """A pixel whose nearest one is in the patch has a quarter of its light or more; one that is not, 3/4 or less."""
    image, classes = moved['image'][:-1, ..., 0], moved['segmentation'][:-1]
    assert image[classes == 1].min() >= 0.25 * 200
    assert image[classes != 1].max() <= 0.75 * 200
    np.testing.assert_array_equal(image == 0, classes == annotations.IGNORE)


def bright_pixels_are_at_their_key_points(moved: dict) -> None:
    for row in range(NUM - 1):
        places = np.argwhere(moved['image'][row, ..., 0] == 250)
        assert len(places) == moved['visible'][row, 0]
        expected = places[0, ::-1] + 0.5 if len(places) else (0, 0)
        np.testing.assert_array_equal(moved['keypoints'][row, 0], expected)


def what_leaves_is_absent(moved: dict) -> None:
    """What is there ends at the border; what is not, and the row of padding, is zero."""
    height, width = moved['image'].shape[1:3]
    boxes, points, visible = moved['boxes'], moved['keypoints'], moved['visible']
    assert (boxes >= 0).all()
    assert (boxes <= (width, height, width, height)).all()
    assert (points[visible] <= (width, height)).all()
    assert (points >= 0).all()
    np.testing.assert_array_equal(points[~visible], 0)
    np.testing.assert_array_equal(boxes[:, ABSENT], 0)
    present = np.asarray(annotations.present(boxes))
    np.testing.assert_array_equal(boxes[~present], 0)
    assert present[:-1, FRAME].all()
    for array in (boxes[-1], points[-1], visible[-1]):
        np.testing.assert_array_equal(array, 0)


def test_the_brightest_pixel_is_within_half_a_pixel_of_the_key_point():
    # One lit pixel becomes a tent around its centre, so the largest sample is the nearest one.
    random = np.random.default_rng(1)
    lit, points = np.zeros((NUM, HEIGHT, WIDTH, 1), np.float32), random.integers((3, 3), (15, 11), (NUM, 2))
    lit[np.arange(NUM), points[:, 1], points[:, 0]] = 1
    batch = {'image': lit, 'keypoints': points[:, None] + np.float32(0.5), 'visible': np.ones((NUM, 1), bool)}
    batch['boxes'] = np.concatenate([points, points + 1], 1)[:, None].astype(np.float32)
    scale, translation = random.uniform(0.7, 1.9, (NUM, 2)), random.uniform(-4, 4, (NUM, 2))
    mirror = random.random(NUM) < 0.5

    @jax.jit
    def change(batch, scale, translation, mirror):
        settings = {'scale': scale, 'translation': translation, 'mirror': mirror, 'resampled': True}
        return augment_affine.move(batch, augment_affine.make_affine(NUM, (15, 16), **settings))

    moved = as_numpy(change(batch, scale, translation, mirror))
    assert moved['image'].dtype == np.float32
    seen = np.flatnonzero(moved['visible'][:, 0])
    assert NUM // 2 < len(seen) < NUM
    for row in seen:
        image, (x, y) = moved['image'][row, ..., 0], moved['keypoints'][row, 0]
        brightest = np.array(np.unravel_index(image.argmax(), image.shape))[::-1] + 0.5
        assert np.abs(brightest - (x, y)).max() <= 0.5 + EDGE
        left, top, right, bottom = moved['boxes'][row, 0]
        assert left <= x <= right
        assert top <= y <= bottom


# Other batches, and changes that change nothing


def test_a_batch_of_images_alone():
    keys, images = keys_of(), scene()['image']

    @jax.jit
    def both(keys, images):
        return geometry.random_shift(keys, {'image': images}), augment.random_shift(keys, images)

    batch, expected = both(keys, images)
    same_batches(batch, {'image': expected})


def test_what_changes_nothing():
    batch = scene(num=4)

    @jax.jit
    def changed(keys, batch):
        turn = partial(geometry.random_flip, probability=1.0, swap=SWAP)
        return {
            'flipped twice': turn(keys, turn(keys, batch)),
            'cropped to its size': geometry.random_crop(keys, batch, size=(HEIGHT, WIDTH)),
            'its centre': geometry.centre_crop(keys, batch, size=(HEIGHT, WIDTH)),
            'a box that fits it': geometry.resize(keys, batch, size=(HEIGHT, WIDTH), letterbox=True),
        }

    for after in changed(keys_of(4), batch).values():
        same_batches(after, batch)


def test_points_of_each_box_and_points_that_nobody_counts():
    batch = scene(4)
    nested = {**batch, 'keypoints': batch['keypoints'][:, None], 'visible': batch['visible'][:, None]}  # (4, 1, 3, 2)
    uncounted = {'image': batch['image'], 'keypoints': batch['keypoints']}

    @jax.jit
    def shift(*batches):
        affine = augment_affine.make_affine(4, (HEIGHT, WIDTH), translation=(-8, 0), mirror=True)
        return [augment_affine.move(batch, affine) for batch in batches]

    moved, each, alone = shift(batch, nested, uncounted)
    np.testing.assert_array_equal(each['keypoints'][:, 0], moved['keypoints'])
    np.testing.assert_array_equal(each['visible'][:, 0], moved['visible'])
    assert alone.keys() == uncounted.keys()
    np.testing.assert_array_equal(alone['keypoints'][..., 0], WIDTH + 8 - batch['keypoints'][..., 0])
    assert (alone['keypoints'][..., 0] > WIDTH).any()  # nothing says that they left


# Which boxes stay


def test_which_boxes_stay():
    # Moved 4 to the left: whole, half, an eighth, out by its edge, absent before.
    boxes = jnp.array([[[5, 1, 9, 3], [2, 1, 6, 3], [0.5, 1, 4.5, 3], [0, 1, 4, 3], [0, 0, 0, 0]]], jnp.float32)
    cut = np.array([[1, 1, 5, 3], [0, 1, 2, 3], [0, 1, 0.5, 3], [0, 0, 0, 0], [0, 0, 0, 0]])
    stays = {
        Border(): [True, True, True, False, False],
        Border(least_share=0.25): [True, True, False, False, False],
        Border(least_share=1.0): [True, False, False, False, False],
        Border(centre_inside=True): [True, True, False, False, False],
    }

    @jax.jit
    def change(boxes):
        affine = augment_affine.make_affine(1, (8, 8), translation=(-4, 0))
        return [augment_affine.move_boxes(boxes, affine, border)[0] for border in stays]

    for moved, kept in zip(change(boxes), stays.values(), strict=True):
        np.testing.assert_array_equal(moved, np.where(np.array(kept)[:, None], cut, 0))


@pytest.mark.parametrize('new', [5, 31])
def test_a_box_that_fills_the_image_survives_any_resize(new):
    old = np.arange(3, 60, dtype=np.float32)
    whole = np.stack([0 * old, 0 * old, old, old], 1)[:, None]
    border = Border(least_share=1.0, centre_inside=True)

    @jax.jit
    def change(boxes, scale):
        return augment_affine.move_boxes(boxes, augment_affine.make_affine(len(old), (new, new), scale=scale), border)

    moved = change(whole, np.stack([new / old, new / old], 1))
    np.testing.assert_allclose(moved[:, 0], [[0, 0, new, new]] * len(old), rtol=1e-6)


# On any device, in any batch


def split_over(devices: int, change: augment.BatchTransform) -> Callable:
    mesh = jax.make_mesh((devices,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    return jax.shard_map(change, mesh=mesh, in_specs=P('data'), out_specs=P('data'), check_vma=True)


def test_a_change_depends_on_the_own_key_alone():
    batch, keys, change = scene(), keys_of(), CASES['flip'].change
    halves = jax.tree.map(lambda array: array.reshape(2, NUM // 2, *array.shape[1:]), (keys, batch))
    mapped = jax.jit(jax.vmap(change))(*halves)
    expected = jax.tree.map(lambda array: np.asarray(array).reshape(NUM, *array.shape[2:]), mapped)
    for devices in (2, 8):
        same_batches(jax.jit(split_over(devices, change))(keys, batch), expected)
    jax.eval_shape(split_over(8, CASES['resized crop'].change), keys, batch)  # resampling may be split, too


@hypothesis.given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 9), st.booleans()),
    seed=st.integers(0, 2**31 - 1),
)
@hypothesis.settings(max_examples=4)
def test_a_piece_of_any_shape(shape, seed):
    height, width, padding, reflect = shape
    size, random = min(height, width) + padding, np.random.default_rng(seed)
    batch = scene(3, height, width, seed, side=1)
    tops, lefts = (random.integers(0, length + 2 * padding - size + 1, 3) for length in (height, width))

    @jax.jit
    def crop(batch, translation):
        affine = augment_affine.make_affine(3, (size, size), translation=translation)
        return augment_affine.move(batch, affine, reflect=reflect)

    moved = as_numpy(crop(batch, padding - np.stack([lefts, tops], 1)))
    for row, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        place = np.s_[top : top + size, left : left + size]
        padded = np.pad(batch['image'][row, ..., 0], padding, mode='reflect' if reflect else 'constant')
        np.testing.assert_array_equal(moved['image'][row, ..., 0], padded[place])
        classes = np.pad(batch['segmentation'][row], padding, constant_values=annotations.IGNORE)
        np.testing.assert_array_equal(moved['segmentation'][row], classes[place])
        assert (moved['segmentation'][row] == 1).sum() == moved['visible'][row, 0]
        if moved['visible'][row, 0]:
            x, y = np.floor(moved['keypoints'][row, 0]).astype(int)
            assert moved['image'][row, y, x, 0] == 250
            np.testing.assert_array_equal(moved['boxes'][row, PATCH], (x, y, x + 1, y + 1))


# Mistakes


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (partial(geometry.random_crop, size=30, padding=2), 'size: got 30; images of 18 x 22 with their padding'),
        (partial(geometry.centre_crop, size=(4, 19)), r'size: got \(4, 19\); the images are 14 x 18'),
        (partial(geometry.resize, size=0), 'size: got 0; give pixels, 1 at least'),
        (
            partial(geometry.random_flip, swap=((1, 3),)),
            r'swap: got \(\(1, 3\),\); give pairs of the 3 key points 0 .. 2',
        ),
        (partial(geometry.random_flip, swap=((1, 2), (0, 1))), 'each at most once'),
        (partial(geometry.random_shift, border=Border(ignore=256)), 'ignore: got 256; uint8 cannot hold it'),
    ],
)
def test_mistakes_of_settings(change, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(change, keys_of(4), scene(4))


@pytest.mark.parametrize(
    ('field', 'array', 'message'),
    [
        (
            'segmentation',
            np.zeros((4, 14, 17), np.uint8),
            r'segmentation: got uint8 \(4, 14, 17\); give an integer type',
        ),
        ('segmentation', np.zeros((4, 14, 18), np.float32), 'segmentation: got float32'),
        ('boxes', np.zeros((4, 3, 4), np.int32), 'boxes: got int32'),
        (
            'boxes',
            np.zeros((4, 3, 5), np.float32),
            r"boxes: got float32 \(4, 3, 5\); give float32 \('batch', '...', 4\)",
        ),
        ('keypoints', np.zeros((4, 3, 3), np.float32), r'keypoints: got float32 \(4, 3, 3\)'),
        ('visible', np.full((4, 3), 2), 'visible: got int'),  # COCO's v
        ('visible', np.zeros((4, 2), bool), r'visible: got \(4, 2\); the key points need \(4, 3\)'),
    ],
)
def test_mistakes_of_fields(field, array, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(geometry.random_flip, keys_of(4), {**scene(4), field: jnp.asarray(array)})


def test_mistakes_of_moves():
    affine = augment_affine.make_affine(4, (5, 5), resampled=True)
    with pytest.raises(ValueError, match='reflect: got True; only pixels that are copied'):
        jax.eval_shape(lambda batch: augment_affine.move(batch, affine, reflect=True), scene(4))


def test_mistakes_of_borders():
    with pytest.raises(ValueError, match=r'least_share: got 30; give a share of the area of a box, 0 .. 1'):
        Border(least_share=30)
