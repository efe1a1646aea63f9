"""A traced function as plain values that the page runs by itself; `web/operations.js` knows the same operations.

An array is a number with a shape, a step is the name of an operation of JAX with what it reads and makes. All numbers
are float32 there. What depends on no image is computed here, but for copies in another order, which would be carried
twice.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope.operations import MOVES, OPERATIONS, SAME, SLIDING, name_of, settings_of
from cnn_jax.tracing import program as programs
from cnn_jax.tracing.program import Atom, Known, Program, Step
from cnn_jax.tracing.record import mark_of

INTO = programs.GROUPS | programs.OWN_GRADIENT  # the calls that are dissolved
NOT_FINITE = {'inf': 'Infinity', '-inf': '-Infinity', 'nan': 'NaN'}  # as JavaScript writes them
LARGEST_WHOLE = 2**24  # up to which float32 has every whole number


class Refused(CnnJaxError):
    """What the page cannot run; the message is a clause: 'layer conv3 uses sort'."""


def portable(program: Program, names: Sequence[str], known: Mapping[int, Any]) -> dict[str, Any]:
    """A program as the page reads it.

    Args:
        program: of a batch of one image; its outputs are arrays.
        names: of the outputs.
        known: values of those inputs that the page carries. The other inputs it gives itself.

    Returns:
        `shapes` of the arrays by number. `steps`, [operation, inputs, output, settings, whether it is the same for all
        images], where an input that is a number stands as [number]. `constants` by number. `inputs` and `outputs`,
        numbers. `windows`, the steps that slide one: [layer, place in `steps`, number of the bias that is added next,
        or None].

    Raises:
        Refused: the page does not know an operation.
    """
    writing = _Writing(program, known)
    outputs = {name: writing.number(atom) for name, atom in zip(names, program.outputs, strict=True)}
    inputs = [writing.inputs.get(number) for number in program.inputs if number not in known]
    return {
        'shapes': writing.shapes,
        'steps': writing.steps,
        'constants': {str(number): _packed(array) for number, array in writing.constants.items()},
        'inputs': inputs,
        'outputs': outputs,
        'windows': writing.windows(),
    }


class _Writing:
    """Writes what the outputs need, each step after those that it reads."""

    def __init__(self, program: Program, known: Mapping[int, Any]):
        self.shapes: list[list[int]] = []
        self.steps: list[list[Any]] = []
        self.constants: dict[int, np.ndarray] = {}
        self.inputs: dict[int, int] = {}
        self._program, self._known = program, known
        self._layers = _layers_of(program)
        self._varying = programs.depends(program, [number for number in program.inputs if number not in known])
        self._computed = self._compute()
        self._numbers: dict[int, int] = {}
        self._sliding: list[tuple[str, int]] = []
        for number in program.inputs:
            if number not in known:
                self.inputs[number] = self._numbers[number] = self._new(program.types[number].shape)
        for step in program.steps:
            if self._is_written(step):
                self._write(step)

    def number(self, atom: Atom) -> int:
        """The number on the page of an array of the program."""
        if isinstance(atom, Known):
            return self._constant(np.broadcast_to(np.asarray(atom.value), atom.type.shape))
        if atom not in self._numbers:
            self._numbers[atom] = self._constant(np.asarray(self._computed[atom]))
        return self._numbers[atom]

    def windows(self) -> list[list[Any]]:
        """The convolutions and pools of layers; those of the gradient are in none."""
        return [[layer, place, self._bias_of(self.steps[place])] for layer, place in self._sliding]

    def _bias_of(self, step: list[Any]) -> int | None:
        channels = self.shapes[step[2]][-1]
        for name, inputs, *_ in self.steps:
            others = [one for one in inputs if one != step[2]]
            if name == 'add' and len(others) == 1 and isinstance(others[0], int):
                shape = self.shapes[others[0]]
                if shape[-1:] == [channels] and int(np.prod(shape)) == channels and step[2] in inputs:
                    return others[0]
        return None

    def _new(self, shape: Sequence[int]) -> int:
        self.shapes.append([int(size) for size in shape])
        return len(self.shapes) - 1

    def _constant(self, array: np.ndarray) -> int:
        if array.dtype != np.float32 and np.abs(array.astype(np.float64)).max(initial=0) > LARGEST_WHOLE:
            raise Refused(f'a constant is {array.dtype}, which float32 does not hold')
        number = self._new(array.shape)
        self.constants[number] = array.astype(np.float32)
        return number

    def _is_written(self, step: Step) -> bool:
        """Whether the page does a step itself: of what is the same for all images only copies in another order."""
        if not self._varying.isdisjoint(step.outputs):
            return True
        return step.kind in MOVES and all(self._is_at_hand(atom) for atom in step.inputs)

    def _is_at_hand(self, atom: Atom) -> bool:
        return isinstance(atom, Known) or atom in self._known or atom in self._numbers

    def _compute(self) -> dict[int, Any]:
        """The arrays that are the same for all images and that steps of the page read, with the known ones."""
        program, found = self._program, dict(self._known)
        moved = set(found)
        for step in program.steps:
            at_hand = all(isinstance(atom, Known) or atom in moved for atom in step.inputs)
            if at_hand and step.kind in MOVES and self._varying.isdisjoint(step.outputs):
                moved.update(step.outputs)
        read = {
            atom
            for inputs in [program.outputs, *(s.inputs for s in program.steps if self._varying.intersection(s.outputs))]
            for atom in inputs
            if isinstance(atom, int) and atom not in self._varying and atom not in moved
        }
        if not read:
            return found
        wanted = sorted(read)
        cut = programs.prune(program, wanted)

        def compute(values: list[Any]) -> list[Any]:
            return programs.interpret(cut, values)

        made = jax.jit(compute)([found.get(number) for number in program.inputs])
        return found | dict(zip(wanted, jax.device_get(made), strict=True))

    def _write(self, step: Step) -> None:
        if len(step.outputs) != 1:
            raise self._refused(step)
        (output,) = step.outputs
        kind = self._program.types[output]
        self._check_type(step, kind)
        is_fixed = output not in self._varying
        inputs = [self._read(atom) for atom in step.inputs]
        if step.kind in SAME:
            self._numbers[output] = self._renamed(inputs[0], kind)
            return
        operation, settings = self._translated(step)
        if step.kind in SLIDING and self._layers[output] and len(kind.shape) == 4:
            self._sliding.append((self._layers[output], len(self.steps)))
        if step.kind == 'conv_general_dilated':
            self._numbers[output] = self._convolution(step, inputs, settings, is_fixed)
            return
        self._numbers[output] = self._step(operation, inputs, kind.shape, settings, is_fixed)

    def _step(self, operation: str, inputs: list[Any], shape: Sequence[int], settings: Any, is_fixed: bool) -> int:
        number = self._new(shape)
        self.steps.append([operation, inputs, number, settings, int(is_fixed)])
        return number

    def _renamed(self, read: Any, kind: Any) -> int:
        return read if isinstance(read, int) else self._constant(np.broadcast_to(np.float32(read[0]), kind.shape))

    def _read(self, atom: Atom) -> Any:
        """An input of a step: the number of an array, or [a number]."""
        if isinstance(atom, Known) and np.ndim(atom.value) == 0 and atom.type.shape == ():
            value = float(np.asarray(atom.value, atom.type.dtype))
            return [value if np.isfinite(value) else NOT_FINITE[str(value)]]
        return self.number(atom)

    def _convolution(self, step: Step, inputs: list[Any], settings: Any, is_fixed: bool) -> int:
        """As one of images NHWC and kernels HWIO, with copies in that order where they are not."""
        numbers = step.params['dimension_numbers']
        images, kernel, made = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
        inputs = [
            self._transposed(inputs[0], (images[0], *images[2:], images[1])),
            self._transposed(inputs[1], (*kernel[2:], kernel[1], kernel[0])),
        ]
        shape = self._program.types[step.outputs[0]].shape
        plain = [shape[axis] for axis in (made[0], *made[2:], made[1])]
        number = self._step('conv_general_dilated', inputs, plain, settings, is_fixed)
        order = [0] * 4
        for axis, place in enumerate((made[0], *made[2:], made[1])):
            order[place] = axis
        return self._transposed(number, order)

    def _transposed(self, number: int, order: Sequence[int]) -> int:
        if list(order) == sorted(order):
            return number
        was_fixed = number in self.constants or any(step[2] == number and step[4] for step in self.steps)
        shape = [self.shapes[number][axis] for axis in order]
        return self._step('transpose', [number], shape, {'permutation': list(order)}, was_fixed)

    def _translated(self, step: Step) -> tuple[str, dict[str, Any]]:
        """The name and the settings of an operation as the page knows them."""
        name = name_of(step)
        if name not in OPERATIONS:
            raise self._refused(step)
        settings = settings_of(step)
        if settings is None:
            raise self._refused(step, ' in a form that the page does not know')
        return name, settings

    def _check_type(self, step: Step, kind: Any) -> None:
        """float32, bool and whole numbers that do not wrap around."""
        allowed = (np.float32, np.int32, np.bool_)
        if kind.dtype in allowed or (step.kind in MOVES and kind.dtype == np.uint8):
            return
        raise self._refused(step, f' in {kind.dtype}')

    def _refused(self, step: Step, more: str = '') -> Refused:
        layer = self._layers.get(step.outputs[0] if step.outputs else -1, '')
        where = f'layer {layer}' if layer else 'the net or its preprocessing'
        return Refused(f'{where} uses {step.kind}{more}')


def _packed(array: np.ndarray) -> str:
    """float32, the lowest byte first, as text."""
    return base64.b64encode(np.ascontiguousarray(array, '<f4').tobytes()).decode()


def _layers_of(program: Program) -> dict[int, str]:
    """The innermost layer that each array is made in, by the marks of the trace."""
    open_layers, found = [], {}
    for step in program.steps:
        side, _, name = (mark_of(step) or '').partition(':')
        if side == 'in':
            open_layers.append(name)
        elif side == 'out' and name in open_layers:
            del open_layers[open_layers.index(name) :]
        found.update(dict.fromkeys(step.outputs, next((one for one in reversed(open_layers) if one), '')))
    return found
