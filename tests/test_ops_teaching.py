"""The written-out forms equal the operations, forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.ops.teaching import fourier, im2col, loops, pooling, winograd


def case(*, size: tuple[int, int] = (7, 6), window: int = 3, **arguments: int):
    """Returns images, a kernel, the gradient of the outputs, and the operation's outputs and gradients."""
    rng = np.random.default_rng(0)
    images, kernel = (rng.standard_normal(s).astype('float32') for s in ((2, *size, 3), (window, window, 3, 4)))
    outputs, pull = jax.vjp(lambda *a: ops.conv2d(*a, **arguments), jnp.asarray(images), jnp.asarray(kernel))
    gradient = rng.standard_normal(outputs.shape).astype('float32')
    return images, kernel, gradient, (outputs, *pull(jnp.asarray(gradient)))


def compare(form, **arguments):
    window = arguments.pop('window', 3)
    images, kernel, gradient, expected = case(window=window, **arguments)
    ours = (form.conv2d(images, kernel, **arguments), *form.conv2d_gradients(images, kernel, gradient, **arguments))
    for name, a, b in zip(('outputs', 'images', 'kernel'), ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize('form', [loops, im2col])
@pytest.mark.parametrize('arguments', [{}, {'stride': 2, 'padding': 1}, {'window': 5, 'stride': 3, 'padding': 2}])
def test_general_forms(form, arguments):
    compare(form, **arguments)


@pytest.mark.parametrize(('form', 'window'), [(fourier, 3), (fourier, 5), (winograd, 3)])
@pytest.mark.parametrize('padding', [0, 1])
def test_forms_for_stride_1(form, window, padding):
    compare(form, window=window, padding=padding)


def test_winograd_has_one_kernel_size():
    with pytest.raises(ValueError, match='the kernel is 5x5; F'):
        winograd.conv2d(jnp.ones((1, 8, 8, 1)), jnp.ones((5, 5, 1, 1)))


@pytest.mark.parametrize(('window', 'stride'), [(2, 2), (3, 2), (3, 1)])
def test_pools(window, stride):
    images = np.random.default_rng(0).integers(0, 3, (2, 7, 7, 2)).astype('float32')  # ties
    for name in ('max_pool', 'avg_pool'):
        outputs, pull = jax.vjp(
            lambda x, name=name: getattr(ops, name)(x, window=window, stride=stride), jnp.asarray(images)
        )
        gradient = np.random.default_rng(1).standard_normal(outputs.shape).astype('float32')
        loop = getattr(pooling, name)(images, window=window, stride=stride)
        np.testing.assert_allclose(loop, outputs, rtol=1e-6)
        back = getattr(pooling, f'{name}_gradient')(images, gradient, window=window, stride=stride)
        np.testing.assert_allclose(back, pull(jnp.asarray(gradient))[0], rtol=1e-5, atol=1e-6)
