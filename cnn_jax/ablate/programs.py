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

INLINED = ('jit', 'pjit')  # calls whose insides are read too


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
        functions: one device's view, as `parallel.map_step` takes them.
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
    comparison = _Comparison()
    try:
        jax.eval_shape(mapped, state, batch)
        comparison.programs([program.jaxpr for program in traced], lifting=True)
        _check_equal([program.consts for program in traced])
    except (NotAlike, FlaxError, TypeError, ValueError):  # of other shapes, or other inputs of an equation
        return None
    first = traced[0]
    structure = jax.tree.structure(shapes[0])

    def run(numbers: Sequence[jax.Array], *arguments: Any) -> Any:
        results = _evaluate(first.jaxpr, first.consts, jax.tree.leaves(arguments), comparison, numbers)
        return jax.tree.unflatten(structure, results)

    return Program(tuple(comparison.numbers), run)


class _Comparison:
    """Walks programs side by side.

    Attributes:
        numbers: the differing constants, an array of one value a program for each.
        places: the number of the constant by (equation or program, place among its inputs or outputs), of the first.
        opened: equations of the first program that are calls with such constants inside.
    """

    def __init__(self):
        self.numbers: list[np.ndarray] = []
        self.places: dict[tuple[int, int], int] = {}
        self.opened: set[int] = set()

    def programs(self, found: Sequence[Any], *, lifting: bool) -> None:
        """Compares jaxprs; raises NotAlike."""
        if len({len(program.eqns) for program in found}) > 1:
            raise NotAlike
        names: list[dict[Any, int]] = [{} for _ in found]  # variables by the order in which they appear
        for variables in zip(*[[*p.constvars, *p.invars] for p in found], strict=True):
            self._same_variables(variables, names)
        for equations in zip(*[program.eqns for program in found], strict=True):
            self._equations(equations, names, lifting)
        for place, outputs in enumerate(zip(*[program.outvars for program in found], strict=True)):
            self._inputs(outputs, names, (id(found[0]), place), lifting=lifting)

    def _equations(self, equations: Sequence[Any], names: list[dict[Any, int]], lifting: bool) -> None:
        first = equations[0]
        if len({equation.primitive for equation in equations}) > 1:
            raise NotAlike
        for place, inputs in enumerate(zip(*[equation.invars for equation in equations], strict=True)):
            self._inputs(inputs, names, (id(first), place), lifting=lifting)
        for outputs in zip(*[equation.outvars for equation in equations], strict=True):
            self._same_variables(outputs, names)
        before = len(self.numbers)
        inside = lifting and first.primitive.name in INLINED
        for name in first.params:
            self._parameters([equation.params.get(name) for equation in equations], lifting=inside)
        if len(self.numbers) > before:
            self.opened.add(id(first))

    def _inputs(
        self, inputs: Sequence[Any], names: list[dict[Any, int]], key: tuple[int, int], *, lifting: bool
    ) -> None:
        literal = [isinstance(item, core.Literal) for item in inputs]
        if not any(literal):
            if len({known.get(item, -1) for known, item in zip(names, inputs, strict=True)}) > 1:
                raise NotAlike
            return
        if not all(literal) or len({(item.aval.shape, item.aval.dtype) for item in inputs}) > 1:
            raise NotAlike
        values = np.array([item.val for item in inputs], inputs[0].aval.dtype)
        if values.ndim == 1 and len({value.tobytes() for value in values}) == 1:
            return
        if not lifting or values.ndim != 1 or not np.issubdtype(values.dtype, np.floating):
            raise NotAlike
        self.places[key] = len(self.numbers)
        self.numbers.append(values)

    def _same_variables(self, variables: Sequence[Any], names: list[dict[Any, int]]) -> None:
        if len({str(variable.aval) for variable in variables}) > 1:
            raise NotAlike
        for known, variable in zip(names, variables, strict=True):
            known[variable] = len(known)

    def _parameters(self, values: Sequence[Any], *, lifting: bool) -> None:
        first = values[0]
        if isinstance(first, core.ClosedJaxpr):
            self.programs([value.jaxpr for value in values], lifting=lifting)
            _check_equal([value.consts for value in values])
        elif isinstance(first, core.Jaxpr):
            self.programs(values, lifting=False)
        elif isinstance(first, tuple | list):
            if len({len(value) for value in values}) > 1:
                raise NotAlike
            for parts in zip(*values, strict=True):
                self._parameters(parts, lifting=False)
        elif not callable(first) and not hasattr(
            first, 'call_wrapped'
        ):  # functions here are for differentiating once more
            _check_equal(values)


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


def _evaluate(
    program: Any, consts: Sequence[Any], arguments: Sequence[Any], comparison: _Comparison, numbers: Sequence[jax.Array]
) -> list[Any]:
    """Runs a program with `numbers` in the place of the constants that differ."""
    values = dict(zip([*program.constvars, *program.invars], [*consts, *arguments], strict=True))

    def read(item: Any, key: tuple[int, int]) -> Any:
        if key in comparison.places:
            return numbers[comparison.places[key]]
        return item.val if isinstance(item, core.Literal) else values[item]

    for equation in program.eqns:
        inputs = [read(item, (id(equation), place)) for place, item in enumerate(equation.invars)]
        if id(equation) in comparison.opened:
            called = equation.params['jaxpr']
            outputs = _evaluate(called.jaxpr, called.consts, inputs, comparison, numbers)
        else:
            parameters = equation.primitive.get_bind_params(equation.params)
            with equation.ctx.manager:
                outputs = equation.primitive.bind(*inputs, **parameters)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(item, (id(program), place)) for place, item in enumerate(program.outvars)]
