"""Random convolutions and pools against their definitions; any padding; hypothesis, derandomised.

The long form is `python -m benchmarks.fuzz_ops`.
"""

import functools

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import fuzz_ops
from cnn_jax import ops


def drawn(kind, data) -> fuzz_ops.Case:
    return kind(lambda low, high: data.draw(st.integers(low, high)))


@pytest.mark.parametrize('kind', fuzz_ops.KINDS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_arguments_that_fit_are_the_definition(kind, data):
    case = drawn(kind, data)
    assert max(fuzz_ops.differences(case)) <= fuzz_ops.MOST, case.text


def convolutions(jaxpr) -> list:
    """Returns every convolution of a traced program, those of its branches and calls included."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == 'conv_general_dilated':
            found.append(equation)
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, 'eqns') or hasattr(x, 'jaxpr')):
            inner = getattr(inner, 'jaxpr', inner)
            if hasattr(inner, 'eqns'):
                found += convolutions(inner)
    return found


def second_derivatives(function, *arrays):
    def slope(*arrays):
        return jax.grad(lambda *a: jnp.sum(jnp.sin(function(*a))), (0, 1))(*arrays)

    def of_slope(*arrays):
        return sum(jnp.sum(jnp.sin(part)) for part in slope(*arrays))

    return slope(*arrays), jax.grad(of_slope, (0, 1))(*arrays)


@pytest.mark.parametrize('kind', [fuzz_ops.convolution, fuzz_ops.transposed])
@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_convolution_has_negative_padding_nor_has_a_first_or_second_derivative(kind, data):
    case = drawn(kind, data)
    with ops.implementation(case.choice):
        traced = jax.make_jaxpr(functools.partial(second_derivatives, case.function))(*map(jnp.zeros, case.shapes))
    found = convolutions(traced.jaxpr)
    assert found or case.choice == 'auto'
    for equation in found:
        assert min(min(pad) for pad in equation.params['padding']) >= 0, (case.text, equation)
