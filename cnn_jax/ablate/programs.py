"""One compiled step for cells that differ only in numbers, such as learning rate and weight decay.

An experiment computes with its options as it likes, so they cannot be made inputs of its step. But the traced steps of
two such cells are the same program with other constants in it; here these constants become inputs.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.errors import FlaxError
from jax.extend import core
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from cnn_jax.devices.mapping import AXIS
from cnn_jax.tracing import program as tracing
from cnn_jax.tracing.program import INLINED, Atom, Known, flatten, interpret


class NotAlike(Exception):
    """Two programs differ in more than scalar constants."""


class Program(NamedTuple):
    """Several programs as one.

    Attributes:
        numbers: an array for each constant that differs, (programs,).
        run: `(numbers, *arguments) -> results`, `numbers` being a scalar for each of those constants.
    """

    numbers: tuple[np.ndarray, ...]
    run: Callable[..., Any]


def unify(functions: Sequence[Callable[..., Any]], mesh: Mesh, state: Any, batch: Any) -> Program | None:
    """The steps `(state, batch) -> results` as one program; None if they differ in more than numbers.

    Args:
        functions: one device's view, as `mapping.map_step` takes them.
        mesh: the devices.
        state, batch: shapes of the arguments, of the whole mesh.
    """
    traced: list[core.ClosedJaxpr] = []
    shapes: list[Any] = []

    def look(state: Any, batch: Any) -> Any:
        for function in functions:
            program, shape = jax.make_jaxpr(function, return_shape=True)(state, batch)
            traced.append(program)
            shapes.append(shape)
        return state

    mapped = jax.shard_map(look, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=P(), check_vma=True)
    try:
        jax.eval_shape(mapped, state, batch)
        _check_equal([program.consts for program in traced])
        lifted, numbers = _lift([flatten(program.jaxpr, INLINED) for program in traced])
    except (NotAlike, FlaxError, TypeError, ValueError):  # of other shapes, or other inputs of an equation
        return None
    structure, constants = jax.tree.structure(shapes[0]), traced[0].consts

    def run(numbers: Sequence[jax.Array], *arguments: Any) -> Any:
        results = interpret(lifted, [*numbers, *constants, *jax.tree.leaves(arguments)])
        return jax.tree.unflatten(structure, results)

    return Program(numbers, run)


def _lift(found: Sequence[tracing.Program]) -> tuple[tracing.Program, tuple[np.ndarray, ...]]:
    """The first program with the constants that differ as its first inputs, and their values in each program."""
    comparison = _Comparison()
    comparison.programs(found, lifting=True)
    first, new = found[0], [len(found[0].types) + place for place in range(len(comparison.numbers))]

    def lifted(row: int, atoms: Sequence[Atom]) -> tuple[Atom, ...]:
        places = [comparison.places.get((row, place)) for place in range(len(atoms))]
        return tuple(atom if place is None else new[place] for atom, place in zip(atoms, places, strict=True))

    scalars = [jax.ShapeDtypeStruct((), values.dtype) for values in comparison.numbers]
    program = tracing.Program(
        inputs=(*new, *first.inputs),
        steps=tuple(step._replace(inputs=lifted(row, step.inputs)) for row, step in enumerate(first.steps)),
        outputs=lifted(len(first.steps), first.outputs),
        types=first.types | dict(zip(new, scalars, strict=True)),
    )
    return program, tuple(comparison.numbers)


class _Comparison:
    """Walks programs side by side.

    Attributes:
        numbers: the differing constants, an array of one value a program for each.
        places: which constant stands where, by (number of the step, place among its inputs). The outputs of the program
            count as the inputs of one more step.
    """

    def __init__(self):
        self.numbers: list[np.ndarray] = []
        self.places: dict[tuple[int, int], int] = {}

    def programs(self, found: Sequence[tracing.Program], *, lifting: bool) -> None:
        """Raises NotAlike for programs that differ, but for constants where `lifting` makes numbers of these."""
        _check_equal([[len(program.steps), program.inputs, _types(program, program.inputs)] for program in found])
        for row, steps in enumerate(zip(*[program.steps for program in found], strict=True)):
            _check_equal([[step.equation.primitive, step.inside, step.outputs] for step in steps])
            _check_equal([_types(program, step.outputs) for program, step in zip(found, steps, strict=True)])
            self._atoms([step.inputs for step in steps], row, lifting=lifting)
            for name in steps[0].params:
                self._parameters([step.params.get(name) for step in steps])
        self._atoms([program.outputs for program in found], len(found[0].steps), lifting=lifting)

    def _atoms(self, found: Sequence[Sequence[Atom]], row: int, *, lifting: bool) -> None:
        for place, atoms in enumerate(zip(*found, strict=True)):
            known = [atom for atom in atoms if isinstance(atom, Known)]
            if not known:
                _check_equal(atoms)
                continue
            if len(known) < len(atoms) or len({(atom.type.shape, atom.type.dtype) for atom in known}) > 1:
                raise NotAlike
            values = np.array([atom.value for atom in known], known[0].type.dtype)
            if len({value.tobytes() for value in values}) == 1:
                continue
            if not lifting or values.ndim != 1 or not np.issubdtype(values.dtype, np.floating):
                raise NotAlike
            self.places[row, place] = len(self.numbers)
            self.numbers.append(values)

    def _parameters(self, values: Sequence[Any]) -> None:
        first = values[0]
        if isinstance(first, core.ClosedJaxpr | core.Jaxpr):
            inner = [getattr(value, 'jaxpr', value) for value in values]
            self.programs([flatten(jaxpr, INLINED) for jaxpr in inner], lifting=False)
            _check_equal([getattr(value, 'consts', ()) for value in values])
        elif isinstance(first, tuple | list):
            if len({len(value) for value in values}) > 1:
                raise NotAlike
            for parts in zip(*values, strict=True):
                self._parameters(parts)
        elif not callable(first) and not hasattr(
            first, 'call_wrapped'
        ):  # functions here are for differentiating once more
            _check_equal(values)


def _types(program: tracing.Program, numbers: Sequence[int]) -> list[str]:
    return [str(program.types[number]) for number in numbers]


def _check_equal(values: Sequence[Any]) -> None:
    for value in values[1:]:
        if jax.tree.structure(value) != jax.tree.structure(values[0]):
            raise NotAlike
        pairs = zip(jax.tree.leaves(values[0]), jax.tree.leaves(value), strict=True)
        if not all(_same(one, other) for one, other in pairs):
            raise NotAlike


def _same(one: Any, other: Any) -> bool:
    """Equal, or both not a number, as what a gather fills in."""
    return bool(np.all((one == other) | ((one != one) & (other != other))))
