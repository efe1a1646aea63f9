"""Mixup and CutMix: images and labels mixed by the same amounts, on any number of devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from cnn_jax.data import augment_mix as mix

BATCH, CLASSES = 16, 20
OPTIONS = ('num_classes', 'alpha', 'axis_name')
MIXUP, CUTMIX = (jax.jit(function, static_argnames=OPTIONS) for function in (mix.mixup, mix.cutmix))
EITHER = jax.jit(
    functools.partial(mix.mixup_or_cutmix, num_classes=CLASSES, mixup_alpha=1.0)
)  # the uniform: quick to compile
LABELS = jnp.arange(BATCH, dtype=jnp.int32)


def keys_of(num: int = BATCH) -> jax.Array:
    return jax.random.split(jax.random.key(0), num)


def flat_images(num: int = BATCH) -> jax.Array:
    """Image i has the value 10 i everywhere."""
    return jnp.broadcast_to((10.0 * jnp.arange(num))[:, None, None, None], (num, 12, 8, 3))


def test_mixup_mixes_images_and_labels_alike():
    images, targets = MIXUP(keys_of(), flat_images(), LABELS, num_classes=CLASSES)
    weights = np.asarray(targets)[np.arange(BATCH), np.arange(BATCH)]
    for row in range(BATCH):
        following = (row + 1) % BATCH
        assert targets[row, following] == pytest.approx(1 - weights[row], abs=1e-6)
        expected = weights[row] * 10 * row + (1 - weights[row]) * 10 * following
        np.testing.assert_allclose(images[row], expected, rtol=1e-5)
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    assert len(np.unique(weights)) > 8  # each its own


def test_mixup_weights_are_beta():
    num = 4000
    draw = jax.jit(jax.vmap(functools.partial(mix.symmetric_beta, alpha=0.5)))
    weights = np.sort(np.asarray(draw(keys_of(num))))
    arcsine = 2 / np.pi * np.arcsin(np.sqrt(weights))  # the distribution function of Beta(1/2, 1/2)
    assert np.abs(arcsine - np.linspace(0, 1, num)).max() < 0.031
    uniform = np.sort([float(mix.symmetric_beta(key, 1.0)) for key in keys_of(200)])
    assert np.abs(uniform - np.linspace(0, 1, 200)).max() < 0.14


def test_cutmix_counts_its_pixels():
    images, targets = CUTMIX(keys_of(), flat_images(), LABELS, num_classes=CLASSES)
    shares = []
    for row in range(BATCH):
        pixels = np.asarray(images[row])[..., 0]
        following = (row + 1) % BATCH
        assert {*np.unique(pixels)} <= {10.0 * row, 10.0 * following}
        put = pixels == 10.0 * following
        rows, columns = np.flatnonzero(put.any(1)), np.flatnonzero(put.any(0))
        assert put.sum() == len(rows) * len(columns)  # a box
        assert targets[row, row] == pytest.approx(1 - put.mean(), abs=1e-6)
        assert targets[row, following] == pytest.approx(put.mean(), abs=1e-6)
        shares.append(put.mean())
    assert max(shares) > 0.3


def test_cutmix_box_has_the_share_it_drew():
    """Boxes in a large image that are not cut by its edge: their share is 1 - lambda, uniform for alpha 1."""
    num = 600
    labels = jnp.arange(num, dtype=jnp.int32) % 2
    images = (jnp.arange(num) % 2)[:, None, None, None] * jnp.ones((1, 64, 64, 1))
    mixed, _ = CUTMIX(keys_of(num), images, labels, num_classes=2)
    put = np.asarray(mixed)[..., 0] != np.asarray(images)[..., 0]
    inside = ~(put[:, 0].any(1) | put[:, -1].any(1) | put[:, :, 0].any(1) | put[:, :, -1].any(1))
    shares = put[inside].mean((1, 2))
    sides = np.sqrt(shares)
    assert sides.max() < 1
    # P(not cut | side s) is (1 - s)^2, and the side has the density 2 s: a mean share of 0.2 for Beta(1, 1)
    assert abs(shares.mean() - 0.2) < 0.06


def test_either_takes_both():
    images, targets = EITHER(keys_of(), flat_images(), LABELS)
    kinds = [len(np.unique(np.asarray(image))) for image in images]
    assert 1 in kinds
    assert 2 in kinds
    for row in range(BATCH):
        mean = float(jnp.mean(images[row]))
        expected = sum(float(targets[row, label]) * 10 * label for label in range(BATCH))
        assert mean == pytest.approx(expected, abs=1e-3)


def test_the_same_split_over_devices():
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (BATCH, 6, 6, 3), np.uint8))
    mixed = functools.partial(mix.mixup_or_cutmix, num_classes=CLASSES, mixup_alpha=1.0)
    split = jax.shard_map(
        functools.partial(mixed, axis_name='data'),
        mesh=mesh,
        in_specs=P('data'),
        out_specs=P('data'),
        check_vma=True,
    )
    for one, other in zip(jax.jit(split)(keys_of(), images, LABELS), EITHER(keys_of(), images, LABELS), strict=True):
        np.testing.assert_allclose(one.astype(jnp.float32), other.astype(jnp.float32), atol=1e-6)
        assert one.dtype == other.dtype


def test_next_of_batch():
    np.testing.assert_array_equal(mix.next_of_batch(jnp.arange(4)), [1, 2, 3, 0])
