"""Which pixels a unit sees, by following the program of any architecture backwards with yes and no for numbers.

Every step is replaced by one that is positive and linear in the same inputs (kernels of ones, sums for maxima), whose
transpose says which inputs an output reads; after each step what is not 0 becomes 1, so nothing overflows.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from cnn_jax import ops
from cnn_jax.tracing import layers, scores
from cnn_jax.tracing import program as programs
from cnn_jax.tracing.program import Atom, Known, Program, Step

_SAME = """
abs add add_any and atan2 clamp convert_element_type copy cos custom_jvp_call div eq erf exp exp2 expm1 floor ge gt
integer_pow is_finite le log log1p logistic lt max min mul name ne neg not optimization_barrier or pow rem round rsqrt
select_n sign sin sqrt square stop_gradient sub tanh xor
""".split()  # noqa: SIM905
_LINEAR = """
broadcast_in_dim concatenate conv_general_dilated dot_general pad reduce_sum reduce_window_sum reshape rev slice split
squeeze transpose
""".split()  # noqa: SIM905
_CONVOLUTION = """
window_strides padding lhs_dilation rhs_dilation dimension_numbers feature_group_count batch_group_count
""".split()  # noqa: SIM905
_SUMS = {'reduce_max', 'reduce_min', 'reduce_prod', 'reduce_and', 'reduce_or'}
_WINDOWS = {'reduce_window_max', 'reduce_window_min', 'reduce_window'}


class Seen:
    """The pixels that the units of one layer see, as boxes; places are remembered."""

    def __init__(self, model: Any, variables: Any, image_shape: tuple[int, int, int], layer: str):
        with ops.implementation('lax'):
            image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
            net = layers.trace(model, variables, image)
        number = net.output(layer)
        self._shape = net.program.types[number].shape[1:]
        self._size = image_shape[:2]
        pruned = programs.prune(net.program, [number])
        self._masks = jax.jit(functools.partial(_pixels, pruned, net.images, number))
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def mask(self, row: int, column: int) -> np.ndarray:
        """The pixels that the unit at a place sees, (height, width) bool; a unit of a vector: all that it can see."""
        place = (row, column) if len(self._shape) == 3 else ()
        if place not in self._known:
            seed = np.zeros((1, *self._shape), np.float32)
            seed[(0, *place)] = 1
            self._known[place] = np.asarray(self._masks(seed))[0].any(-1)
        return self._known[place]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The smallest box around those pixels: top, left, bottom, right, the ends exclusive; all 0 if it sees none."""
        mask = self.mask(row, column)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return 0, 0, 0, 0
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the box of a unit in the middle, where the edges of the image cut least."""
        row, column = (size // 2 for size in self._shape[:2]) if len(self._shape) == 3 else (0, 0)
        top, left, bottom, right = self.box(row, column)
        return bottom - top, right - left


def crop(image: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int], fill: Any = 0) -> np.ndarray:
    """The box out of an image (height, width, channels), on a canvas of `size`; what the edge cut off is `fill`."""
    canvas = np.full((*size, image.shape[-1]), fill, image.dtype)
    top, left, bottom, right = box
    height, width = min(bottom - top, size[0]), min(right - left, size[1])
    down = size[0] - height if top == 0 and bottom < image.shape[0] else 0
    across = size[1] - width if left == 0 and right < image.shape[1] else 0
    canvas[down : down + height, across : across + width] = image[top : top + height, left : left + width]
    return canvas


def _pixels(program: Program, images: int, number: int, seed: jax.Array) -> jax.Array:
    """1 where a pixel is seen by the units that `seed` marks, (1, height, width, channels)."""
    dependent = programs.depends(program, [images])
    seen = {number: seed}
    for step in reversed(program.steps):
        marked = [seen.pop(output, None) for output in step.outputs]
        if all(mark is None for mark in marked):
            continue
        places = [place for place, atom in enumerate(step.inputs) if isinstance(atom, int) and atom in dependent]
        marks = [
            jnp.zeros(program.types[n].shape, jnp.float32) if mark is None else mark
            for n, mark in zip(step.outputs, marked, strict=True)
        ]
        for place, mark in zip(places, _backwards(program, step, places, marks), strict=True):
            atom = step.inputs[place]
            assert isinstance(atom, int)
            seen[atom] = jnp.maximum(seen[atom], mark) if atom in seen else mark
    return seen.get(images, jnp.zeros(program.types[images].shape, jnp.float32))


def _backwards(program: Program, step: Step, places: list[int], marks: list[jax.Array]) -> list[jax.Array]:
    """Which elements of each input at `places` the marked outputs read."""
    shapes = [_shape(program, step.inputs[place]) for place in places]
    forward = _surrogate(program, step, places)
    if forward is None:  # no rule: everything reads everything
        any_marked = jnp.max(jnp.stack([jnp.max(mark) for mark in marks]))
        return [jnp.broadcast_to(any_marked, shape) for shape in shapes]
    _, pull = jax.vjp(forward, *(jnp.zeros(shape, jnp.float32) for shape in shapes))
    return [(found != 0).astype(jnp.float32) for found in pull(marks)]


def _surrogate(program: Program, step: Step, places: list[int]) -> Any:
    """A positive linear function of the inputs at `places`, as floats, to the outputs of a step; None: no rule."""
    kind, params = step.kind, step.params
    shapes = [program.types[output].shape for output in step.outputs]
    if kind in _SAME:
        return lambda *inputs: [_sum_of(inputs, shape) for shape in shapes]
    if kind in _SUMS:
        return lambda x: [jnp.sum(x, params['axes'])]
    if kind in _WINDOWS:
        keys = ('window_dimensions', 'window_strides', 'padding', 'base_dilation', 'window_dilation')
        windows: Any = {key: params[key] for key in keys}
        return lambda x, *_: [lax.reduce_window(x, np.float32(0), lax.add, **windows)]
    if kind not in _LINEAR:
        return None

    def linear(*inputs: jax.Array) -> list[jax.Array]:
        values = [_ones(program, atom) for atom in step.inputs]
        for place, value in zip(places, inputs, strict=True):
            values[place] = value
        if kind == 'dot_general':
            return [lax.dot_general(values[0], values[1], params['dimension_numbers'])]
        if kind == 'conv_general_dilated':
            windows: Any = {key: params[key] for key in _CONVOLUTION}
            return [lax.conv_general_dilated(values[0], values[1], **windows)]
        params_without_type = {key: value for key, value in params.items() if key != 'out_dtype'}
        result = step.equation.primitive.bind(*values, **params_without_type)
        return list(result) if isinstance(result, list | tuple) else [result]

    return linear


def _sum_of(inputs: tuple[jax.Array, ...], shape: tuple[int, ...]) -> jax.Array:
    return sum((jnp.broadcast_to(value, shape) for value in inputs), jnp.zeros(shape, jnp.float32))


def _shape(program: Program, atom: Atom) -> tuple[int, ...]:
    return np.shape(atom.value) if isinstance(atom, Known) else program.types[atom].shape


def _ones(program: Program, atom: Atom) -> Any:
    """1 for what is learned; of a constant the places that are not 0 (an enlargement is a product with a matrix)."""
    if isinstance(atom, Known) and not isinstance(atom.value, Tracer):
        return (np.asarray(atom.value) != 0).astype(np.float32)
    return jnp.ones(_shape(program, atom), jnp.float32)


def seen_by(model: Any, variables: Any, image_shape: tuple[int, int, int], layer: str) -> Seen:
    """The pixels that the units of a layer see; shapes of the variables are enough."""
    scores.net_of(model, variables, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)).layer(layer)
    return Seen(model, variables, image_shape, layer)
