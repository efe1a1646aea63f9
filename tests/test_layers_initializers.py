"""Kernels drawn as matrices have the numbers of kernels drawn as they are."""

import jax
import numpy as np
import pytest

from cnn_jax.layers import initializers

KEY = jax.random.key(3)
REFERENCE = jax.nn.initializers


@pytest.mark.parametrize('shape', [(3, 2, 4, 5), (7, 3)])
@pytest.mark.parametrize(
    ('ours', 'reference'),
    [
        (initializers.lecun_normal(), REFERENCE.lecun_normal()),
        (initializers.he_normal(), REFERENCE.he_normal()),
        (initializers.glorot_uniform(), REFERENCE.glorot_uniform()),
        (initializers.normal(0.01), REFERENCE.normal(0.01)),
        (initializers.variance_scaling(2.0, 'fan_out', 'normal'), REFERENCE.variance_scaling(2.0, 'fan_out', 'normal')),
        (initializers.variance_scaling(0.3, 'fan_in', 'uniform'), REFERENCE.variance_scaling(0.3, 'fan_in', 'uniform')),
    ],
)
def test_the_numbers_are_those_of_jax(ours, reference, shape):
    np.testing.assert_allclose(ours(KEY, shape), reference(KEY, shape), rtol=2e-7)
