"""How each kind of step reads its inputs, in one table: for all units at once as fields, and element by element.

The element-wise answer is a function of all inputs, as floats, to the outputs. It is positive and linear and reads what
the step reads (kernels of ones, sums for maxima), so its transpose says which inputs an output reads.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnn_jax.tracing import field_rules as rules
from cnn_jax.tracing.fields import State

Arrays = list[jax.Array]


class Reading(NamedTuple):
    """How a kind of step reads."""

    field: Callable[[Any, list[State]], State | list[State]]  # (equation, states of its inputs) -> of its outputs
    linear: Callable[[Any, Arrays], Arrays] | None = None  # (equation, inputs) -> outputs; None: all reads all


def _sum_of_inputs(equation: Any, inputs: Arrays) -> Arrays:
    shape = equation.outvars[0].aval.shape
    return [sum((jnp.broadcast_to(value, shape) for value in inputs), jnp.zeros(shape, jnp.float32))]


def _same(equation: Any, inputs: Arrays) -> Arrays:
    del equation
    return inputs


def _sum_over_axes(equation: Any, inputs: Arrays) -> Arrays:
    return [jnp.sum(inputs[0], equation.params['axes'])]


def _sum_over_windows(equation: Any, inputs: Arrays) -> Arrays:
    keys = ('window_dimensions', 'window_strides', 'padding', 'base_dilation', 'window_dilation')
    windows: Any = {key: equation.params[key] for key in keys}
    count = len(equation.outvars)  # a pair of outputs has a pair of inputs
    total = sum(inputs[:count], jnp.float32(0))
    return [lax.reduce_window(total, np.float32(0), lax.add, **windows)] * count


def _as_it_is(equation: Any, inputs: Arrays) -> Arrays:
    result = equation.primitive.bind(*inputs, **equation.params)
    return list(result) if equation.primitive.multiple_results else [result]


def _convolution(equation: Any, inputs: Arrays) -> Arrays:
    keys = (
        'window_strides', 'padding', 'lhs_dilation', 'rhs_dilation', 'dimension_numbers', 'feature_group_count',
        'batch_group_count',
    )  # fmt: skip
    windows: Any = {key: equation.params[key] for key in keys}
    return [lax.conv_general_dilated(inputs[0], inputs[1], **windows)]


def _matrix_product(equation: Any, inputs: Arrays) -> Arrays:
    return [lax.dot_general(inputs[0], inputs[1], equation.params['dimension_numbers'])]


_ELEMENTWISE = """
abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type copy copy_p cos cosh
digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag integer_pow is_finite le lgamma log log1p logistic lt
max min mul name ne neg nextafter not or pow pvary real reduce_precision rem round rsqrt select_n sign sin sinh sqrt
square stop_gradient sub tan tanh xor
"""


_REDUCTIONS = ('argmax', 'argmin', *(f'reduce_{name}' for name in ('sum', 'max', 'min', 'prod', 'and', 'or')))
_RUNNING = tuple(f'cum{name}' for name in ('sum', 'prod', 'max', 'min', 'logsumexp'))
_WINDOWS = tuple(f'reduce_window{name}' for name in ('', '_sum', '_max', '_min'))

READINGS: dict[str, Reading] = {
    **dict.fromkeys(_ELEMENTWISE.split(), Reading(rules.elementwise, _sum_of_inputs)),
    **dict.fromkeys(_REDUCTIONS, Reading(rules.reduce, _sum_over_axes)),
    **dict.fromkeys(_RUNNING, Reading(rules.along_axis)),
    **dict.fromkeys(_WINDOWS, Reading(rules.reduce_window, _sum_over_windows)),
    'sort': Reading(rules.along_axis),
    'select_and_gather_add': Reading(rules.reduce_window),
    'optimization_barrier': Reading(rules.barrier, _same),
    'broadcast_in_dim': Reading(rules.broadcast, _as_it_is),
    'transpose': Reading(rules.transpose, _as_it_is),
    'reshape': Reading(rules.reshape, _as_it_is),
    'squeeze': Reading(rules.squeeze, _as_it_is),
    'rev': Reading(rules.reverse, _as_it_is),
    'slice': Reading(rules.cut, _as_it_is),
    'dynamic_slice': Reading(rules.dynamic_slice),
    'split': Reading(rules.split, _as_it_is),
    'pad': Reading(rules.pad, _as_it_is),
    'concatenate': Reading(rules.concatenate, _as_it_is),
    'stack': Reading(rules.stack, _as_it_is),
    'conv_general_dilated': Reading(rules.convolution, _convolution),
    'dot_general': Reading(rules.matrix_product, _matrix_product),
}
