"""A program as a flat list of steps, which can be cut, compared, perturbed and run under other rules.

This is the one place that walks through jaxprs. `flatten` dissolves the calls that its user names; control flow stays
whole, and `called` gives the program inside a step.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend import core

INLINED = frozenset({'jit', 'pjit'})
GROUPS = INLINED | {
    'checkpoint', 'closed_call', 'core_call', 'custom_vmap_call', 'remat', 'remat2',
}  # calls that only group steps  # fmt: skip
OWN_GRADIENT = frozenset({'custom_jvp_call', 'custom_vjp_call', 'custom_vjp_call_jaxpr'})


class Known(NamedTuple):
    """A value that stands in the program itself, with its shape and dtype."""

    value: Any
    type: Any


Atom = int | Known  # an array of the program by number, or a constant


class Step(NamedTuple):
    """One operation: what it is, reads and makes, and the named functions that it came from, outermost first."""

    equation: Any
    inputs: tuple[Atom, ...]
    outputs: tuple[int, ...]
    inside: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The name of the primitive."""
        return self.equation.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        """Of the primitive."""
        return self.equation.params


class Program(NamedTuple):
    """Steps in order. `types` are shapes and dtypes of the arrays by number."""

    inputs: tuple[int, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Atom, ...]
    types: dict[int, Any]


# Does a step in another way: (step, values of its inputs) -> values of its outputs.
Rule = Callable[[Step, list[Any]], list[Any]]


def flatten(jaxpr: Any, into: Collection[str] = GROUPS) -> Program:
    """The program of a jaxpr. Of an open one the constants are inputs too, the first ones.

    into: primitives that are calls, whose steps stand in the program in their place.
    """
    return _Flattening(into).program(jaxpr)


class _Flattening:
    """Numbers the arrays of a jaxpr in the order in which they appear."""

    def __init__(self, into: Collection[str]):
        self._into = into
        self._steps: list[Step] = []
        self._types: dict[int, Any] = {}

    def program(self, jaxpr: Any) -> Program:
        variables = jaxpr.jaxpr.invars if hasattr(jaxpr, 'consts') else [*jaxpr.constvars, *jaxpr.invars]
        inputs = tuple(self._new(variable) for variable in variables)
        outputs = self._enter(jaxpr, inputs, ())
        return Program(inputs, tuple(self._steps), tuple(outputs), self._types)

    def _new(self, variable: Any) -> int:
        self._types[len(self._types)] = variable.aval
        return len(self._types) - 1

    def _enter(self, jaxpr: Any, inputs: Sequence[Atom], inside: tuple[str, ...]) -> list[Atom]:
        """Adds the steps of a jaxpr whose inputs are known, and returns its outputs."""
        opened = getattr(jaxpr, 'jaxpr', jaxpr)
        constants = zip(opened.constvars, getattr(jaxpr, 'consts', ()), strict=False)
        given = [*(Known(value, variable.aval) for variable, value in constants), *inputs]
        known: dict[Any, Atom] = dict(zip([*opened.constvars, *opened.invars], given, strict=True))

        def read(atom: Any) -> Atom:
            return Known(atom.val, atom.aval) if isinstance(atom, core.Literal) else known[atom]

        for equation in opened.eqns:
            read_here = tuple(read(atom) for atom in equation.invars)
            known.update(zip(equation.outvars, self._add(equation, read_here, inside), strict=True))
        return [read(atom) for atom in opened.outvars]

    def _add(self, equation: Any, inputs: tuple[Atom, ...], inside: tuple[str, ...]) -> Sequence[Atom]:
        if equation.primitive.name in self._into:
            return self._enter(called(equation), inputs, (*inside, str(equation.params.get('name', ''))))
        made = tuple(self._new(variable) for variable in equation.outvars)
        self._steps.append(Step(equation, inputs, made, inside))
        return made


def called(equation: Any) -> Any:
    """The jaxpr that an equation or step runs inside itself, of a loop its body; None: none."""
    keys = ('jaxpr', 'call_jaxpr', 'fun_jaxpr', 'body_jaxpr', 'call')
    return next((equation.params[key] for key in keys if key in equation.params), None)


def inner(step: Step) -> list[Program]:
    """The programs inside a step, of a loop its body, of a choice all branches; their inputs are the step's last."""
    closed = step.params['branches'] if step.kind == 'cond' else [called(step)]
    return [flatten(one) for one in closed if one is not None]


def makers(program: Program) -> dict[int, Step]:
    """Which step makes each array; inputs have none."""
    return {number: step for step in program.steps for number in step.outputs}


def prune(program: Program, outputs: Sequence[Atom], given: Collection[int] = ()) -> Program:
    """The program with only the steps that `outputs` need, where the arrays `given` are there already."""
    needed = {atom for atom in outputs if isinstance(atom, int)}.difference(given)
    kept = []
    for step in reversed(program.steps):
        if needed.intersection(step.outputs):
            kept.append(step)
            needed.update(atom for atom in step.inputs if isinstance(atom, int) and atom not in given)
    return program._replace(steps=tuple(reversed(kept)), outputs=tuple(outputs))


def depends(program: Program, inputs: Sequence[int], *, with_gradient: bool = False) -> set[int]:
    """The numbers of all arrays that depend on the given ones, themselves included.

    with_gradient: what `stop_gradient` gives depends on nothing.
    """
    found = set(inputs)
    for step in program.steps:
        if with_gradient and step.kind == 'stop_gradient':
            continue
        if any(isinstance(atom, int) and atom in found for atom in step.inputs):
            found.update(step.outputs)
    return found


def interpret(
    program: Program,
    values: Sequence[Any],
    *,
    rules: Mapping[int, Rule] | None = None,
    added: Mapping[int, Any] = {},
    given: Mapping[int, Any] = {},
) -> list[Any]:
    """Runs a program and returns its outputs.

    rules: other ways to do a step, by the number of its first output. added: arrays to add to others, by number. given:
    arrays that are not computed, by number.
    """
    known = {**dict(zip(program.inputs, values, strict=True)), **given}
    rules = rules or {}

    def read(atom: Atom) -> Any:
        return atom.value if isinstance(atom, Known) else known[atom]

    for step in program.steps:
        inputs = [read(atom) for atom in step.inputs]
        outputs = rules.get(step.outputs[0], run_step)(step, inputs) if step.outputs else run_step(step, inputs)
        for number, output in zip(step.outputs, outputs, strict=True):
            known[number] = output + added[number] if number in added else output
    return [read(atom) for atom in program.outputs]


def run_step(step: Step, inputs: Sequence[Any]) -> list[Any]:
    """Does a step as it stands in the program."""
    primitive = step.equation.primitive
    with step.equation.ctx.manager:
        outputs = primitive.bind(*inputs, **primitive.get_bind_params(step.params))
    return list(outputs) if primitive.multiple_results else [outputs]


def as_jaxpr(program: Program, rules: Mapping[int, Rule]) -> Any:
    """A program under other rules as a jaxpr, to be put in the place of the one it came from."""
    shapes = [jax.ShapeDtypeStruct(program.types[n].shape, program.types[n].dtype) for n in program.inputs]
    return jax.make_jaxpr(lambda *values: interpret(program, values, rules=rules))(*shapes)
