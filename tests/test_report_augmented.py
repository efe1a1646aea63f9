"""The contact sheet: the images of the first step, as training changes them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from cnn_jax import experiment
from cnn_jax.data import augment, augment_mix
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.devices.mapping import AXIS
from cnn_jax.report import augmented
from cnn_jax.steps.inputs import image_keys
from cnn_jax.streams import stream
from cnn_jax.tasks.classification import words

TINY = 'tests/tiny_experiment.py'


def test_it_shows_what_the_step_sees(tmp_path):
    made = experiment.load(TINY, {}).experiment
    mix = augment_mix.on_classes(functools.partial(augment_mix.mixup, num_classes=10, alpha=1.0, axis_name=AXIS))
    made = dataclasses.replace(made, mix=mix, preprocess=augment.on_images(augment.to_unit_range))
    feed = open_feed(made.data, data_dir=tmp_path, seed=3, mesh=mapping.make_mesh(1))
    path = augmented.write(made, made.train_step(), feed.source('train'), tmp_path / 'figures', seed=3)
    with np.load(path.with_suffix('.npz')) as arrays:
        found = dict(arrays)
    batch = jax.device_get(feed.train(0))
    keys = image_keys(jax.random.split(jax.random.key(3))[1], batch)
    assert made.augment is not None
    images = made.preprocess(keys, made.augment(stream(keys, 'augment'), jax.tree.map(jnp.asarray, batch)))['image']
    alone = functools.partial(augment_mix.mixup, num_classes=10, alpha=1.0)
    inputs, targets = jax.jit(alone)(stream(keys, 'mix'), images, batch['label'])
    np.testing.assert_allclose(found['inputs'], inputs, atol=1e-6)
    np.testing.assert_allclose(found['targets'], targets, atol=1e-6)
    np.testing.assert_allclose(found['pixels'], 255 * inputs, atol=0.51)
    np.testing.assert_array_equal(found['index'], batch['index'])
    with Image.open(path) as picture:
        assert picture.size == (8 * 116 + 4, 2 * 130 + 4)
    assert 'data:image/png;base64,' in augmented.section(tmp_path)
    assert augmented.section(tmp_path / 'nothing') == ''


def test_scaling_is_undone_pixel_by_pixel():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 3, 3, 3))
    mean, scale = rng.random((1, 1, 1, 3)), rng.random((1, 3, 3, 1)) + 0.1
    scale[0, 0, 0] = 0  # a border that preprocessing adds

    def preprocess(values):
        return ((values / 255 - mean) * scale).astype(np.float32)

    found = augmented.to_pixels(preprocess(pixels), preprocess(0 * pixels), preprocess(0 * pixels + 255))
    pixels[:, 0, 0] = 0
    np.testing.assert_array_equal(found, pixels)


def test_captions():
    names = ('cat', 'dog', 'eel')
    assert words.caption(np.array([0, 1.0, 0]), names) == 'dog'
    assert words.caption(np.array([0.63, 0, 0.37]), names) == '63 % cat, 37 % eel'
    sheet = augmented.sheet(np.zeros((1, 40, 20, 1), np.uint8), ['a very long name that does not fit'])
    assert sheet.size == (56 + 8, 112 + 14 + 8)
