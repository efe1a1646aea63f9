"""Winograd's form: exact in float64, its rounding in float32, how it divides its work, where it is chosen."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.ops.cpu import choice, winograd
from cnn_jax.ops.windows import Geometry, plain

# (images, filters, pads, CACHED_BYTES): odd sizes, every padding, parts of several images and of a few rows.
CASES = {
    'images': ((5, 9, 6, 2), 3, ((0, 2), (2, 1)), 12000),
    'rows': ((2, 9, 6, 2), 3, ((0, 2), (2, 1)), 1000),
    'one_image': ((1, 21, 5, 2), 3, ((1, 1), (1, 1)), winograd.CACHED_BYTES),
}


def everything(images, kernel, weights, geometry, form):
    """The outputs and both gradients of sum(weights * outputs)."""
    if form is None:
        outputs, pull = jax.vjp(functools.partial(plain, geometry=geometry), images, kernel)
        return outputs, *pull(weights)
    return (
        form.forward(images, kernel, geometry),
        form.images_gradient(weights, kernel, images.shape, geometry),
        form.kernel_gradient(images, weights, kernel.shape, geometry),
    )


def both_forms(images_shape, filters, pads, dtype):
    """What XLA's form and Winograd's give."""
    geometry = Geometry((1, 1), pads, (1, 1), 1)
    rng = np.random.default_rng(0)
    kernel_shape = (3, 3, images_shape[3], filters)
    sizes = [images_shape[1 + a] + sum(pads[a]) - 2 for a in (0, 1)]
    shapes = images_shape, kernel_shape, (images_shape[0], *sizes, filters)
    given = [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    run = [jax.jit(functools.partial(everything, geometry=geometry, form=form)) for form in (None, choice.WINOGRAD)]
    return run[0](*given), run[1](*given)


@pytest.mark.parametrize('name', CASES)
def test_is_exact_in_float64(name, monkeypatch):
    images_shape, filters, pads, cached_bytes = CASES[name]
    monkeypatch.setattr(winograd, 'CACHED_BYTES', cached_bytes)
    with jax.enable_x64(True):
        expected, ours = both_forms(images_shape, filters, pads, 'float64')
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_rounds_little_in_float32():
    expected, ours = both_forms((4, 16, 16, 64), 64, ((1, 1), (1, 1)), 'float32')
    for a, b in zip(ours, expected, strict=True):
        assert jnp.abs(a - b).max() < 4e-6 * jnp.abs(b).max()


def test_an_image_gives_the_same_alone_and_among_others():
    rng = np.random.default_rng(0)
    images, kernel = (jnp.asarray(rng.standard_normal(shape), 'float32') for shape in ((3, 14, 14, 32), (3, 3, 32, 32)))
    convolve = jax.jit(lambda images: winograd.forward(images, kernel, Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)))
    together, alone = convolve(images), convolve(images[2:])
    assert jnp.abs(together[2:] - alone).max() < 1e-6 * jnp.abs(together).max()


@pytest.mark.parametrize('cached_bytes', [1000, winograd.CACHED_BYTES])
def test_a_batch_that_is_only_a_name(cached_bytes, monkeypatch):
    """As in an exported program: of few images one after another, of many some together, of large maps a few rows."""
    monkeypatch.setattr(winograd, 'CACHED_BYTES', cached_bytes)
    geometry, rng = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1), np.random.default_rng(0)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 2, 3)), 'float32')
    (batch,) = jax.export.symbolic_shape('batch')
    form = jax.jit(lambda images: winograd.forward(images, kernel, geometry))
    named = jax.export.export(form)(jax.ShapeDtypeStruct((batch, 9, 6, 2), np.float32))
    for count in (1, 3, 2 * winograd.TOGETHER, 2 * winograd.TOGETHER + 1):
        images = jnp.asarray(rng.standard_normal((count, 9, 6, 2)), 'float32')
        assert jnp.abs(named.call(images) - plain(images, kernel, geometry)).max() < 1e-4


@pytest.mark.parametrize('batch', [1, 2, 3, 7, 32, 47])
@pytest.mark.parametrize('sizes', [(4, 4), (14, 13), (56, 56), (224, 224), (500, 20)])
@pytest.mark.parametrize('channels', [24, 64, 512])
def test_the_parts_cover_the_batch(batch, sizes, channels):
    plan = winograd.make_plan(batch, sizes, (3, 3, channels, channels))
    down, right = (-(-size // winograd.TILE) for size in sizes)
    assert plan.columns == right
    assert plan.batch * plan.images >= batch > (plan.batch - 1) * plan.images
    assert plan.strips * plan.rows >= down
    assert plan.images == 1 or plan.strips == 1
    assert plan.parts * plan.images * plan.rows * right <= 1.5 * batch * down * right
    assert plan.parts > 1 or batch * down == 1


@pytest.mark.parametrize(
    ('size', 'channels', 'better'),
    [
        (224, 64, True),
        (28, 512, True),
        (14, 256, True),
        (8, 128, True),
        (14, 512, False),  # of one image, the kernel's transform would cost more
        (7, 512, False),
        (6, 256, False),
        (56, 16, False),
        (16, 32, False),
    ],
)
@pytest.mark.parametrize('batch', [1, 32])
def test_is_chosen_where_it_is_faster_whatever_the_batch(batch, size, channels, better, monkeypatch):
    monkeypatch.setattr(choice, 'NUM_CORES', 2)
    images, kernel = (batch, size, size, channels), (3, 3, channels, channels)
    geometry = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    assert (choice.choose(images, kernel, geometry, jnp.dtype('float32')) == choice.WINOGRAD) == better
    for other in (
        geometry._replace(stride=(2, 1)),
        geometry._replace(dilation=(2, 2)),
        geometry._replace(pads=((3, 1), (1, 1))),
    ):
        assert choice.choose(images, kernel, other, jnp.dtype('float32')) != choice.WINOGRAD
    for dtype in ('float64', 'bfloat16'):
        assert choice.choose(images, kernel, geometry, jnp.dtype(dtype)) != choice.WINOGRAD
    monkeypatch.setattr(choice, 'NUM_CORES', 64)
    assert choice.choose(images, kernel, geometry, jnp.dtype('float32')) != choice.WINOGRAD


def test_a_gradient_that_is_zero_is_found_to_be():
    """Rounding would make the receptive field of a unit a whole tile."""
    kernel = jnp.ones((3, 3, 24, 24))
    field = ops.gradient_support(lambda images: ops.conv2d(images, kernel, padding=1), (28, 28, 24), num_tries=1)
    assert field == ((13, 16), (13, 16))
