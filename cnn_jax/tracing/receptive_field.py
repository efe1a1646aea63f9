"""Receptive fields of any architecture, by following its program step by step with the table of `reading`.

Forwards `trace` finds the field of every unit at once, padding included, without running anything. Backwards `Seen`
finds the pixels of one image that one unit sees, holes and edges included. A step that is not in the table makes what
follows it `fields.UNKNOWN` forwards; backwards all of its outputs read all of its inputs.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

from cnn_jax import ops
from cnn_jax.tracing import fields, layers, scores
from cnn_jax.tracing import program as programs
from cnn_jax.tracing.fields import FIXED, LEARNED, UNKNOWN, Field, State
from cnn_jax.tracing.program import Atom, Known, Program, Step
from cnn_jax.tracing.reading import READINGS
from cnn_jax.tracing.record import mark_of

BATCH = 2  # of the traced images; not 1, which would look like the axis of a 1x1 map
_DISSOLVED = programs.GROUPS | programs.OWN_GRADIENT  # what a gradient of its own does, nobody asks here


def trace(closed: core.ClosedJaxpr, states: Sequence[State]) -> dict[str, State]:
    """Follows the states of a program's inputs and returns those of the arrays that `record.mark` named."""
    marks: dict[str, State] = {}
    _follow(closed, states, marks)
    return marks


def _follow(closed: core.ClosedJaxpr, states: Sequence[State], marks: dict[str, State]) -> list[State]:
    """The states of a program's outputs; adds to `marks`."""
    program = programs.flatten(closed, _DISSOLVED)
    known = _states(program, states, marks)
    return [_state(known, atom) for atom in program.outputs]


def _states(program: Program, states: Sequence[State], marks: dict[str, State]) -> dict[int, State]:
    """The states of all arrays of a program."""
    known = dict(zip(program.inputs, states, strict=True))
    for step in program.steps:
        outputs = _forwards(step, [_state(known, atom) for atom in step.inputs], marks)
        known.update(zip(step.outputs, outputs, strict=True))
    return known


def _state(known: Mapping[int, State], atom: Atom) -> State:
    return FIXED if isinstance(atom, Known) else known[atom]


def field_of(model: Any, variables: Any, image_shape: tuple[int, ...], layer: str) -> State:
    """What all units of a layer see; shapes of the variables are enough.

    Raises: CnnJaxError for an unknown layer.
    """
    images = jax.ShapeDtypeStruct((BATCH, *image_shape), jnp.float32)
    with ops.implementation('lax'):
        net = layers.trace(model, variables, images, into=_DISSOLVED)
    number = net.output(layer)
    program = programs.prune(net.program, [number])
    known = _states(program, [LEARNED] * (len(program.inputs) - 1) + [fields.image_field(images.shape)], {})
    return known[number]


def _forwards(step: Step, states: list[State], marks: dict[str, State]) -> list[State]:
    if step.kind == 'cond':
        return _branches(step.params, states[1:], marks)
    if (name := mark_of(step)) is not None:
        marks[name] = states[0]
    if UNKNOWN in states or not any(isinstance(state, Field) for state in states):
        return [fields.union([s for s in states if not isinstance(s, Field)])] * len(step.outputs)
    outputs = READINGS[step.kind].field(step.equation, states) if step.kind in READINGS else UNKNOWN
    return outputs if isinstance(outputs, list) else [outputs] * len(step.outputs)


def _branches(params: dict[str, Any], states: list[State], marks: dict[str, State]) -> list[State]:
    merged = []
    for choices in zip(*(_follow(branch, states, marks) for branch in params['branches']), strict=True):
        if params.get('branches_platforms') is not None:  # forms of one function: any that has rules will do
            choices = [choice for choice in choices if choice != UNKNOWN][:1] or [UNKNOWN]
        merged.append(fields.union(choices))
    return merged


class Seen:
    """The pixels that the units of one layer see, as boxes; places are remembered."""

    def __init__(self, model: Any, variables: Any, image_shape: tuple[int, int, int], layer: str):
        with ops.implementation('lax'):
            image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
            net = layers.trace(model, variables, image, into=_DISSOLVED)
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


def seen_by(model: Any, variables: Any, image_shape: tuple[int, int, int], layer: str) -> Seen:
    """The pixels that the units of a layer see; shapes of the variables are enough."""
    scores.net_of(model, variables, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)).layer(layer)
    return Seen(model, variables, image_shape, layer)


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
    """Which elements of each input at `places` the marked outputs read; what is not 0 becomes 1: nothing overflows."""
    shapes = [_shape(program, step.inputs[place]) for place in places]
    linear = READINGS[step.kind].linear if step.kind in READINGS else None
    if linear is None:
        any_marked = jnp.max(jnp.stack([jnp.max(mark) for mark in marks]))
        return [jnp.broadcast_to(any_marked, shape) for shape in shapes]

    def forward(*inputs: jax.Array) -> list[jax.Array]:
        values = [_ones(program, atom) for atom in step.inputs]
        for place, value in zip(places, inputs, strict=True):
            values[place] = value
        return linear(step.equation, values)

    _, pull = jax.vjp(forward, *(jnp.zeros(shape, jnp.float32) for shape in shapes))
    return [(found != 0).astype(jnp.float32) for found in pull(marks)]


def _shape(program: Program, atom: Atom) -> tuple[int, ...]:
    return np.shape(atom.value) if isinstance(atom, Known) else program.types[atom].shape


def _ones(program: Program, atom: Atom) -> Any:
    """1 for what is learned; of a constant the places that are not 0 (an enlargement is a product with a matrix)."""
    if isinstance(atom, Known) and not isinstance(atom.value, Tracer):
        return (np.asarray(atom.value) != 0).astype(np.float32)
    return jnp.ones(_shape(program, atom), jnp.float32)
