"""A traced function as an ONNX model: float32, a batch of any size, one node for a step of the program or a few.

The function is traced under `implementation('lax')`, whose primitives are few. What depends on no image is computed
here, and stands in the file as a constant.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.export import onnx_moves, onnx_ops, onnx_windows
from cnn_jax.export.onnx_graph import BATCH, IMAGES, OPSET, Graph, Refused, Value, checked, constant, plain
from cnn_jax.export.onnx_ops import Job, Rule
from cnn_jax.ops.implementation import implementation
from cnn_jax.tracing import program as programs
from cnn_jax.tracing.program import Atom, Known, Program, Step
from cnn_jax.tracing.record import Called, mark_of, record

__all__ = ['OPSET', 'write']

RULES: dict[str, Rule] = {**onnx_ops.RULES, **onnx_moves.RULES, **onnx_windows.RULES}
MOST_BYTES = 2**31 - 1  # of a protobuf message


def write(
    function: Callable[[Any, jax.Array], dict[str, jax.Array]],
    variables: Any,
    image_shape: Sequence[int],
    *,
    about: dict[str, str] | None = None,
) -> bytes:
    """The ONNX file of a function of variables and images.

    Its input is `images`, uint8 (batch, *image_shape), its outputs have the names that the function gives.

    Args:
        function: pure; gives arrays by name.
        variables: become constants of the file.
        image_shape: (height, width, channels).
        about: texts that the file carries along.

    Raises:
        CnnJaxError: an operation that is not known here, with its layer; a file of more than 2 GiB.
    """
    leaves = jax.tree.leaves(variables)
    if (size := sum(np.asarray(leaf).nbytes for leaf in leaves)) > MOST_BYTES:
        raise CnnJaxError(f'model.onnx: {size:,} bytes of variables; a file of this format has at most {MOST_BYTES:,}')
    (batch,) = jax.export.symbolic_shape(BATCH)
    program, names = _trace(function, variables, (batch, *image_shape))
    writing = _Writing(program, leaves, batch)
    with implementation('lax'):
        writing.steps()
    outputs = {}
    for name, atom in zip(names, program.outputs, strict=True):
        kind = atom.type if isinstance(atom, Known) else program.types[atom]
        writing.output(name, atom, kind.shape)
        outputs[name] = kind
    return checked(writing.graph.model(image_shape, outputs, about or {}))


def _trace(function: Callable[..., Any], variables: Any, shape: tuple[Any, ...]) -> tuple[Program, list[str]]:
    """The program of the function, with the layers marked, and the names of what it gives."""
    images = jax.ShapeDtypeStruct(shape, np.uint8)

    def begun(call: Called) -> None:
        call.mark_input(f'in:{call.name}')

    def ended(call: Called) -> None:
        call.mark_output(f'out:{call.name}')

    def marked(variables: Any, images: jax.Array) -> Any:
        with record(ended, begun=begun):
            return list(function(variables, images).items())

    with implementation('lax'):
        names: list[str] = []

        def arrays(variables: Any, images: jax.Array) -> list[jax.Array]:
            found = marked(variables, images)
            names[:] = [name for name, _ in found]
            return [array for _, array in found]

        closed = jax.make_jaxpr(arrays)(variables, images)
    program = programs.flatten(closed, programs.GROUPS | programs.OWN_GRADIENT)
    return programs.prune(program, program.outputs), names


class _Writing:
    """Writes a program, step by step.

    Args:
        program: its inputs are the variables and, last, the images.
        leaves: the variables.
        batch: the length of the first axis of the images.
    """

    def __init__(self, program: Program, leaves: Sequence[Any], batch: Any):
        self.graph = Graph(batch)
        self._program = program
        self._open: list[str] = []  # the layers that a step is inside of, outermost first
        self._values: dict[int, Value] = {program.inputs[-1]: plain(IMAGES, 4)}
        known = dict(zip(program.inputs, leaves, strict=False))
        self._folded = _foldable(program, known)
        self._values |= {number: constant(array) for number, array in _fold(program, known, self._folded).items()}

    def steps(self) -> None:
        """Writes all steps; CnnJaxError for one that cannot be."""
        for step in self._program.steps:
            if step.outputs and step.outputs[0] in self._folded:
                continue
            self._follow(step)
            try:
                self._values |= dict(zip(step.outputs, self._write(step), strict=True))
            except Refused as refused:
                raise CnnJaxError(self._line(step, f' ({refused})')) from refused

    def output(self, name: str, atom: Atom, shape: Sequence[Any]) -> None:
        """Gives a name to what the program returns."""
        tensor = self.graph.ordered(self._value(atom), shape)
        self.graph.finish(tensor, name)

    def _write(self, step: Step) -> list[Value]:
        rule = RULES.get(step.kind) or onnx_ops.OF_SEVERAL.get(step.kind)
        if rule is None:
            raise CnnJaxError(self._line(step, ''))
        values = [self._value(atom) for atom in step.inputs]
        shapes = [
            tuple(atom.type.shape if isinstance(atom, Known) else self._program.types[atom].shape)
            for atom in step.inputs
        ]
        made = rule(self.graph, Job(step.params, values, shapes, self._program.types[step.outputs[0]]))
        return made if isinstance(made, list) else [made]

    def _value(self, atom: Atom) -> Value:
        if isinstance(atom, Known):
            return constant(np.asarray(atom.value, atom.type.dtype))  # a number of Python's has no type of its own
        return self._values[atom]

    def _follow(self, step: Step) -> None:
        """Keeps up with the layers that begin and end."""
        side, _, name = (mark_of(step) or '').partition(':')
        if side == 'in':
            self._open.append(name)
        elif side == 'out' and name in self._open:
            del self._open[self._open.index(name) :]
        self.graph.layer = next((name for name in reversed(self._open) if name), '')

    def _line(self, step: Step, why: str) -> str:
        where = f'layer {self.graph.layer!r}' if self.graph.layer else 'the preprocessing or the end of the model'
        return (
            f'model.onnx: the writer does not know {step.kind}{why} in {where}; '
            'leave it out with --formats=stablehlo, or write the layer with other operations'
        )


def _foldable(program: Program, known: dict[int, Any]) -> set[int]:
    """The numbers of the arrays that depend on neither the images nor the length of the batch."""
    found = set(known)
    for step in program.steps:
        fixed = all(isinstance(atom, Known) or atom in found for atom in step.inputs)
        sizes = [size for number in step.outputs for size in getattr(program.types[number], 'shape', ())]
        fixed = fixed and step.kind != 'dim_as_value' and all(isinstance(size, int) for size in sizes)
        if fixed and not _stays_small(program, step):
            found.update(step.outputs)
    return found


def _stays_small(program: Program, step: Step) -> bool:
    """Whether a step repeats numbers. Those of images are repeated where they are used; indices are few."""
    return step.kind == 'broadcast_in_dim' and np.issubdtype(program.types[step.outputs[0]].dtype, np.floating)


def _fold(program: Program, known: dict[int, Any], folded: set[int]) -> dict[int, np.ndarray]:
    """The values of those arrays that other steps read, computed in one compiled function."""
    read = {
        atom
        for step in program.steps
        if not folded.issuperset(step.outputs)
        for atom in step.inputs
        if isinstance(atom, int) and atom in folded
    }
    read |= {atom for atom in program.outputs if isinstance(atom, int) and atom in folded}
    wanted = sorted(read.difference(known))
    cut = programs.prune(program, wanted)

    def compute(values: list[Any]) -> list[Any]:
        return programs.interpret(cut, [*values, None])

    made = jax.jit(compute)([known[number] for number in program.inputs[:-1]]) if wanted else []
    found = dict(zip(wanted, made, strict=True)) | {number: known[number] for number in read.intersection(known)}
    return {number: np.asarray(array) for number, array in found.items()}
