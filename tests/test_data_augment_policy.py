"""Each operation against Pillow, pixel by pixel; the policies: what they draw, and from which key."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from small_imagenet import cut

from cnn_jax.data import augment_policy as policy

IMAGE = np.asarray(cut(3, width=31, height=24))


def apply(name: str, amount: float, image: np.ndarray = IMAGE) -> np.ndarray:
    operation = jnp.asarray(policy.NAMES.index(name))
    return np.asarray(APPLY(jnp.asarray(image, jnp.float32), operation, jnp.asarray(amount, jnp.float32)))


APPLY = jax.jit(policy.apply)


def pillow(name: str, amount: float, image: np.ndarray) -> np.ndarray:
    source = Image.fromarray(image)
    height, width = image.shape[:2]

    def warp(*matrix):
        return source.transform((width, height), Image.Transform.AFFINE, matrix)

    return np.asarray(
        {
            'identity': lambda: source,
            'shear_x': lambda: warp(1, amount, 0, 0, 1, 0),
            'shear_y': lambda: warp(1, 0, 0, amount, 1, 0),
            'translate_x': lambda: warp(1, 0, amount, 0, 1, 0),
            'translate_y': lambda: warp(1, 0, 0, 0, 1, amount),
            'rotate': lambda: source.rotate(amount),
            'brightness': lambda: ImageEnhance.Brightness(source).enhance(amount),
            'color': lambda: ImageEnhance.Color(source).enhance(amount),
            'contrast': lambda: ImageEnhance.Contrast(source).enhance(amount),
            'sharpness': lambda: ImageEnhance.Sharpness(source).enhance(amount),
            'posterize': lambda: ImageOps.posterize(source, round(amount)),
            'solarize': lambda: ImageOps.solarize(source, int(amount)),
            'autocontrast': lambda: ImageOps.autocontrast(source),
            'equalize': lambda: ImageOps.equalize(source),
        }[name]()
    ).astype(int)


AMOUNTS = {
    'identity': [0.0],
    'shear_x': [0.3, -0.17],
    'shear_y': [0.99, -0.3],
    'translate_x': [4.0, -7.5, 40.0],
    'translate_y': [3.0, -2.25],
    'rotate': [30.0, -11.0, 135.0],
    'brightness': [0.1, 1.3, 1.9],
    'color': [0.0, 0.5, 1.9],
    'contrast': [0.1, 1.7],
    'sharpness': [0.1, 1.9],
    'posterize': [8.0, 5.0, 2.0],
    'solarize': [255.0, 128.0, 0.0],
    'autocontrast': [0.0],
    'equalize': [0.0],
}


@pytest.mark.parametrize('name', policy.NAMES)
def test_operations_are_pillows(name):
    dull = (60 + IMAGE // 3).astype(np.uint8)
    for image in (IMAGE, dull):
        for amount in AMOUNTS[name]:
            ours, theirs = apply(name, amount, image), pillow(name, amount, image)
            if name == 'autocontrast':
                # Pillow cuts 255 / span * (level - low) in float64: 119.99999999999999 is 119. Where the exact value is
                # a whole number ours is that number, so there, and nowhere else, ours may be the one above.
                low, high = image.min((0, 1)).astype(int), image.max((0, 1)).astype(int)
                whole = 255 * (image - low) % (high - low) == 0
                assert set(np.unique((ours - theirs)[whole])) <= {0, 1}
                ours = np.where(whole, theirs, ours)
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('name', ['autocontrast', 'equalize'])
def test_one_colour_stays(name):
    flat = np.full_like(IMAGE, 77)
    np.testing.assert_array_equal(apply(name, 0.0, flat), flat)


def test_ranges_are_torchvisions():
    one, plus, minus = (jnp.asarray(value) for value in (1.0, 1.0, -1.0))
    largest = dict(zip(policy.NAMES, np.asarray(policy._amounts(331, 662, one, plus, wide=False)), strict=True))
    assert largest == pytest.approx(
        {
            'identity': 0,
            'shear_x': 0.3,
            'shear_y': 0.3,
            'translate_x': 300,
            'translate_y': 150,
            'rotate': 30,
            'brightness': 1.9,
            'color': 1.9,
            'contrast': 1.9,
            'sharpness': 1.9,
            'posterize': 4,
            'solarize': 0,
            'autocontrast': 0,
            'equalize': 0,
        }
    )
    widest = dict(zip(policy.NAMES, np.asarray(policy._amounts(331, 662, one, minus, wide=True)), strict=True))
    assert widest == pytest.approx(
        {
            'identity': 0,
            'shear_x': -0.99,
            'shear_y': -0.99,
            'translate_x': -32,
            'translate_y': -32,
            'rotate': -135,
            'brightness': 0.01,
            'color': 0.01,
            'contrast': 0.01,
            'sharpness': 0.01,
            'posterize': 2,
            'solarize': 0,
            'autocontrast': 0,
            'equalize': 0,
        },
        abs=1e-6,
    )


POLICIES = {
    'rand_augment': jax.jit(policy.rand_augment, static_argnames=('num_operations', 'names')),
    'trivial_augment': jax.jit(policy.trivial_augment),
    'aug_mix': jax.jit(policy.aug_mix, static_argnames=('width', 'depth')),
}
IMAGES = jnp.asarray(np.stack([IMAGE] * 12))


@pytest.mark.parametrize('name', POLICIES)
def test_policies_change_each_image_by_its_own_key(name):
    keys = jax.random.split(jax.random.key(0), 12)
    change = functools.partial(POLICIES[name], **({'severity': 3} if name == 'aug_mix' else {}))
    changed = change(keys, IMAGES)
    assert changed.dtype == jnp.uint8
    assert changed.shape == IMAGES.shape
    assert len(np.unique(np.asarray(changed).reshape(12, -1), axis=0)) > 6
    order = np.r_[np.arange(11, -1, -1)]
    np.testing.assert_array_equal(change(keys[order], IMAGES), changed[order])


def test_all_operations_are_drawn():
    """Of 14 with one image that each changes in its own way: every one within 400 draws."""
    strong = jnp.asarray(1.0)
    keys = jax.random.split(jax.random.key(1), 400)
    draw = jax.jit(
        jax.vmap(
            lambda key: policy._random_operation(
                key, jnp.asarray(IMAGE, jnp.float32), strong, wide=False, names=policy.NAMES
            )
        )
    )
    drawn = {one.tobytes() for one in np.asarray(draw(keys)).astype(np.uint8)}
    assert len(drawn) == 14 + 9  # nine of them have two directions


def test_magnitude_0_and_allowed_names():
    keys = jax.random.split(jax.random.key(2), 12)
    names = ('identity', 'rotate', 'brightness', 'posterize')
    np.testing.assert_array_equal(POLICIES['rand_augment'](keys, IMAGES, magnitude=0, names=names), IMAGES)


def test_aug_mix_weights_add_up_to_1():
    keys = jax.random.split(jax.random.key(2), 12)
    grey = jnp.full_like(IMAGES, 90)
    np.testing.assert_array_equal(POLICIES['aug_mix'](keys, grey, severity=0), grey)
    assert np.abs(np.asarray(POLICIES['aug_mix'](keys, IMAGES, severity=3)).astype(int) - IMAGE[None]).max() > 3
