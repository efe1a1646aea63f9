"""What each kind of step makes of the receptive fields of its inputs, for all units of its outputs at once.

A rule takes the equation and the states of its inputs, one of which is a `Field`, and returns the state of the output,
or a list of states. It answers `UNKNOWN` where the result is not affine, never a wrong field.
"""

from typing import Any

from jax.extend import core

from cnn_jax.tracing import fields
from cnn_jax.tracing.fields import FIXED, UNKNOWN, Factor, Field, State, Window


def barrier(equation: Any, states: list[State]) -> list[State]:
    """Each output is an input."""
    del equation
    return states


def _field(states: list[State]) -> tuple[int, Field]:
    """The one input that depends on the image, and its position."""
    return next((place, state) for place, state in enumerate(states) if isinstance(state, Field))


def _shape(equation: Any, place: int = 0) -> tuple[int, ...]:
    return equation.invars[place].aval.shape


def elementwise(equation: Any, states: list[State]) -> State:
    shape = equation.outvars[0].aval.shape
    if any(isinstance(state, Field) and len(state.axes) != len(shape) for state in states):
        return UNKNOWN  # a scalar computed from the image that selects or clamps
    sizes = [_shape(equation, place) for place in range(len(states))]
    return fields.union([_stretched(state, size, shape) for state, size in zip(states, sizes, strict=True)])


def _stretched(state: State, sizes: tuple[int, ...], shape: tuple[int, ...]) -> State:
    """The state of an array whose axes of size 1 are repeated to `shape`."""
    if not isinstance(state, Field):
        return state
    axes = zip(state.axes, sizes, shape, strict=True)
    return state.moved(tuple(axis if size == wanted else (Factor(wanted),) for axis, size, wanted in axes), 0, 0)


def broadcast(equation: Any, states: list[State]) -> State:
    (_, field), shape = _field(states), equation.outvars[0].aval.shape
    axes: list[fields.Axis] = [(Factor(size),) for size in shape]
    for source, (axis, size) in enumerate(zip(equation.params['broadcast_dimensions'], _shape(equation), strict=True)):
        if size == shape[axis]:
            axes[axis] = field.axes[source]
    return field.moved(tuple(axes), 0, 0)


def transpose(equation: Any, states: list[State]) -> State:
    _, field = _field(states)
    return field.moved(tuple(field.axes[axis] for axis in equation.params['permutation']), 0, 0)


def reshape(equation: Any, states: list[State]) -> State:
    if equation.params.get('dimensions') is not None:
        return UNKNOWN
    return fields.regroup(_field(states)[1], equation.outvars[0].aval.shape)


def squeeze(equation: Any, states: list[State]) -> State:
    return fields.collapse(_field(states)[1], equation.params['dimensions'])


def reduce(equation: Any, states: list[State]) -> State:
    return fields.collapse(_field(states)[1], equation.params['axes'])


def reverse(equation: Any, states: list[State]) -> State:
    reverse = equation.params['dimensions']
    windows = [
        Window(size, stride=-1, start=size - 1) if axis in reverse else Window(size)
        for axis, size in enumerate(_shape(equation))
    ]
    return fields.slide(_field(states)[1], windows)


def cut(equation: Any, states: list[State]) -> State:
    params, shape = equation.params, equation.outvars[0].aval.shape
    strides = params['strides'] or (1,) * len(shape)
    windows = [
        Window(n, 1, stride, start) for n, stride, start in zip(shape, strides, params['start_indices'], strict=True)
    ]
    return fields.slide(_field(states)[1], windows)


def dynamic_slice(equation: Any, states: list[State]) -> State:
    if not isinstance(states[0], Field):
        return UNKNOWN
    windows = []
    for axis, size, length, start in zip(
        states[0].axes, equation.params['slice_sizes'], _shape(equation), equation.invars[1:], strict=True
    ):
        known = isinstance(start, core.Literal) or size == length or not fields.is_spatial(axis)
        if not known:
            return UNKNOWN
        first = int(start.val) if isinstance(start, core.Literal) and size < length else 0
        windows.append(Window(size, start=min(max(first, 0), length - size)))
    return fields.slide(states[0], windows)


def split(equation: Any, states: list[State]) -> list[State]:
    (_, field), cut, pieces, start = _field(states), equation.params['axis'], [], 0
    for size in equation.params['sizes']:
        shape = enumerate(_shape(equation))
        windows = [Window(size, start=start) if axis == cut else Window(length) for axis, length in shape]
        pieces.append(fields.slide(field, windows))
        start += size
    return pieces


def pad(equation: Any, states: list[State]) -> State:
    if not isinstance(states[0], Field):
        return UNKNOWN
    config, shape = equation.params['padding_config'], equation.outvars[0].aval.shape
    spread = [
        interior for axis, (_, _, interior) in zip(states[0].axes, config, strict=True) if fields.is_spatial(axis)
    ]
    if any(spread):
        return UNKNOWN
    return fields.slide(states[0], [Window(size, start=-low) for size, (low, _, _) in zip(shape, config, strict=True)])


def concatenate(equation: Any, states: list[State]) -> State:
    joint, shape = equation.params['dimension'], equation.outvars[0].aval.shape
    pieces, start, spatial = [], 0, False
    for place, state in enumerate(states):
        if isinstance(state, Field):
            spatial |= any(factor.rows or factor.columns for factor in state.axes[joint])
            windows = [Window(size, start=-start if axis == joint else 0) for axis, size in enumerate(shape)]
            pieces.append(fields.slide(state, windows))
        start += _shape(equation, place)[joint]
    # Along an image axis the pieces must continue each other (or be constants); elsewhere they may differ.
    return fields.union(pieces) if not spatial or all(piece == pieces[0] for piece in pieces) else UNKNOWN


def stack(equation: Any, states: list[State]) -> State:
    axis, joined = equation.params['axis'], fields.union(states)
    if not isinstance(joined, Field):
        return joined
    return joined.moved((*joined.axes[:axis], (Factor(len(states)),), *joined.axes[axis:]), 0, 0)


def reduce_window(equation: Any, states: list[State]) -> State:
    params, joined = equation.params, fields.union(states)
    if not isinstance(joined, Field):
        return UNKNOWN
    spread = params.get('base_dilation') or (1,) * len(joined.axes)
    if any(step > 1 and fields.is_spatial(axis) for step, axis in zip(spread, joined.axes, strict=True)):
        return UNKNOWN
    rows = zip(
        equation.outvars[0].aval.shape,
        params['window_dimensions'],
        params['window_strides'],
        params['padding'],
        params.get('window_dilation') or (1,) * len(joined.axes),
        strict=True,
    )
    return fields.slide(joined, [Window(n, length, stride, -low, step) for n, length, stride, (low, _), step in rows])


def convolution(equation: Any, states: list[State]) -> State:
    params, shape, kernel_shape = equation.params, equation.outvars[0].aval.shape, _shape(equation, 1)
    images, kernel = states
    spec = params['dimension_numbers']
    batch, features, *spatial = spec.lhs_spec
    if not isinstance(images, Field) or isinstance(kernel, Field) or params['batch_group_count'] != 1:
        return UNKNOWN
    if fields.is_spatial(images.axes[features]) and (kernel == FIXED or params['feature_group_count'] != 1):
        return UNKNOWN
    if any(
        step > 1 and fields.is_spatial(images.axes[axis])
        for step, axis in zip(params['lhs_dilation'], spatial, strict=True)
    ):
        return UNKNOWN
    windows = [Window(shape[spec.out_spec[0]])]
    rows = zip(
        spec.out_spec[2:],
        spec.rhs_spec[2:],
        params['window_strides'],
        params['padding'],
        params['rhs_dilation'],
        strict=True,
    )
    windows += [Window(shape[o], kernel_shape[k], stride, -low, step) for o, k, stride, (low, _), step in rows]
    kept = images.moved(tuple(images.axes[axis] for axis in (batch, *spatial, features)), 0, 0)
    summed = fields.slide(fields.collapse(kept, [len(kept.axes) - 1]), windows)
    if not isinstance(summed, Field):
        return UNKNOWN
    axes = dict(zip((spec.out_spec[0], *spec.out_spec[2:]), summed.axes, strict=True))
    axes[spec.out_spec[1]] = (Factor(shape[spec.out_spec[1]]),)
    return summed.moved(tuple(axes[axis] for axis in range(len(axes))), 0, 0)


def matrix_product(equation: Any, states: list[State]) -> State:
    contract, batch = equation.params['dimension_numbers']
    if all(isinstance(state, Field) for state in states):
        return UNKNOWN  # attention
    place, field = _field(states)
    other, summed, shared = _shape(equation, 1 - place), contract[place], batch[place]
    if states[1 - place] == FIXED and any(fields.is_spatial(field.axes[axis]) for axis in summed):
        return UNKNOWN  # resizing is a product with a fixed matrix, most of which is zero
    mine = [axis for axis in range(len(field.axes)) if axis not in (*summed, *shared)]
    gone = (*contract[1 - place], *batch[1 - place])
    theirs: list[fields.Axis] = [(Factor(size),) for axis, size in enumerate(other) if axis not in gone]
    free = [field.axes[axis] for axis in mine]
    axes = (*(field.axes[axis] for axis in shared), *(free + theirs if place == 0 else theirs + free))
    return fields.collapse(
        field.moved((*axes, *(field.axes[axis] for axis in summed)), 0, 0), range(len(axes), len(axes) + len(summed))
    )


def along_axis(equation: Any, states: list[State]) -> State:
    """Sorting and running sums: safe along an axis that does not move over the image."""
    joined = fields.union(states)
    axis = equation.params['axis'] if 'axis' in equation.params else equation.params['dimension']
    return UNKNOWN if not isinstance(joined, Field) or fields.is_spatial(joined.axes[axis]) else joined
