"""Which operations of JAX the page can run, and what each needs beside its inputs; `web/operations.js` runs them."""

from typing import Any

import numpy as np

from cnn_jax.tracing.program import Step

SAME = frozenset({'copy', 'copy_p', 'name', 'pvary', 'stop_gradient', 'optimization_barrier'})  # give what they read
SHAPED = frozenset({'reshape', 'squeeze', 'expand_dims'})  # the same numbers in another shape
MOVES = SAME | SHAPED | {'broadcast_in_dim', 'rev', 'slice', 'transpose'}  # copies in another order
SLIDING = frozenset({'conv_general_dilated', 'reduce_window_max', 'reduce_window_sum'})
_PLAIN = """
abs add and ceil clamp div eq exp expm1 floor ge gt le log log1p logistic lt max min mul ne neg not or pow rsqrt
select_n sign sqrt square sub tanh
""".split()  # element by element, without a setting  # noqa: SIM905
_SETTINGS = {
    'argmax': ('axes',),
    'broadcast_in_dim': ('broadcast_dimensions',),
    'concatenate': ('dimension',),
    'dot_general': ('dimension_numbers',),
    'integer_pow': ('y',),
    'pad': ('padding_config',),
    'reduce_max': ('axes',),
    'reduce_min': ('axes',),
    'reduce_sum': ('axes',),
    'rev': ('dimensions',),
    'slice': ('start_indices', 'strides'),
    'transpose': ('permutation',),
}
_OF_THEIR_OWN = {'convert_element_type', 'round', 'select_and_scatter_add', *SLIDING}
OPERATIONS = frozenset({'reshape', *_PLAIN, *_SETTINGS, *_OF_THEIR_OWN})  # of the page


def name_of(step: Step) -> str:
    """What the page calls an operation."""
    return 'reshape' if step.kind in SHAPED else 'add' if step.kind == 'add_any' else step.kind


def settings_of(step: Step) -> dict[str, Any] | None:
    """What an operation of the page needs beside its inputs, as plain values; None for a form that it does not know."""
    params, name = step.params, name_of(step)
    window = {key: _plain(params[key]) for key in ('window_dimensions', 'window_strides', 'padding') if key in params}
    if name == 'conv_general_dilated':
        is_known = params['batch_group_count'] == 1 and len(params['window_strides']) == 2
        keys = ('window_strides', 'padding', 'lhs_dilation', 'rhs_dilation', 'feature_group_count')
        return {key: _plain(params[key]) for key in keys} if is_known else None
    if name in SLIDING:
        dilated = {'window_dilation': _plain(params['window_dilation'])}
        return {**window, **dilated} if set(params['base_dilation']) == {1} else None
    if name == 'select_and_scatter_add':
        is_max = params['select_prim'].name == 'ge'
        return {**window, 'window_dilation': [1] * len(params['window_dimensions'])} if is_max else None
    if name == 'round':
        return {'even': int(params['rounding_method']) == 1}
    if name == 'convert_element_type':
        to = np.dtype(params['new_dtype'])
        return {'to': 'bool' if to == np.bool_ else 'float' if to == np.float32 else 'whole'}
    return {key: _plain(params[key]) for key in _SETTINGS.get(name, ())}


def _plain(value: Any) -> Any:
    return (
        [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value if value is None else int(value)
    )
