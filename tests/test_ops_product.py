"""The product of a fully connected layer: a computation of its own where XLA would make a slow fusion."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from cnn_jax import ops
from cnn_jax.layers import Dense
from cnn_jax.ops import product as products
from cnn_jax.visualize import gradient, guided_backprop

ROWS, MATRIX = (8, 4 * 4 * 64), (4 * 4 * 64, 128)


@pytest.fixture
def small(monkeypatch):
    """The size from which a matrix is large is that of the test."""
    monkeypatch.setattr(products, 'LARGE', 2**13)


def arrays():
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), 'float32') for shape in (ROWS, MATRIX)]


@pytest.mark.usefixtures('small')
def test_values_and_derivatives_are_those_of_the_product():
    rows, matrix = arrays()
    assert 'cond' in str(jax.make_jaxpr(products.product)(rows, matrix))
    np.testing.assert_allclose(products.product(rows, matrix), rows @ matrix, rtol=1e-5, atol=1e-5)
    check_grads(products.product, (rows, matrix), order=2, modes=('fwd', 'rev'), rtol=1e-2)


@pytest.mark.parametrize(('count', 'choice'), [(1, 'auto'), (17, 'auto'), (8, 'lax')])
@pytest.mark.usefixtures('small')
def test_one_row_many_rows_and_xlas_own_choice_are_a_plain_product(count, choice):
    shapes = [jax.ShapeDtypeStruct(shape, 'float32') for shape in ((count, ROWS[1]), MATRIX)]
    with ops.implementation(choice):
        assert 'cond' not in str(jax.make_jaxpr(products.product)(*shapes))


class Head(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        return Dense(10)(Dense(128, activation='relu')(images.reshape(len(images), -1)))


@pytest.mark.usefixtures('small')
@pytest.mark.parametrize('method', [gradient, guided_backprop])
def test_explanations_see_through_it(method):
    images = jnp.asarray(np.random.default_rng(0).standard_normal((8, 8, 8, 1)), 'float32')
    variables = jax.jit(lambda images: Head().init(jax.random.key(0), images, train=False))(images)
    assert 'cond' in str(jax.make_jaxpr(lambda images: Head().apply(variables, images, train=False))(images))
    found = method.attribute(Head(), variables, images)
    with ops.implementation('lax'):
        np.testing.assert_allclose(found, method.attribute(Head(), variables, images), rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures('optimised', 'small')
@pytest.mark.parametrize('pool', [ops.max_pool, ops.avg_pool])
def test_a_pool_shares_no_fusion_with_the_products_that_follow(pool):
    """With VGG's sizes that takes forty times as long: XLA's loops read the matrices again and again."""

    def head(images, first, second):
        rows = pool(images, window=2).reshape(len(images), -1)
        return products.product(jax.nn.relu(products.product(rows, first)), second)

    shapes = [jax.ShapeDtypeStruct(shape, 'float32') for shape in ((8, 8, 8, 64), MATRIX, (128, 64))]
    text = jax.jit(head).lower(*shapes).compile().as_text()
    assert text is not None
    parts = [part for part in text.split('\n\n') if ' dot(' in part]
    assert len(parts) >= 2, text
    assert not any('reduce-window(' in part for part in parts)
