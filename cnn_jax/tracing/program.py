"""A model's program as a flat list of steps, which can be cut, perturbed and run under other rules.

Calls that only group steps (`jit`, `remat`) are dissolved. Functions with a gradient of their own, and control flow,
stay whole.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.core import eval_jaxpr
from jax.extend import core

_GROUPS = {'jit', 'pjit', 'closed_call', 'core_call', 'remat', 'remat2', 'checkpoint'}


class Known(NamedTuple):
    """A value that stands in the program itself."""

    value: Any


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


_NO_INFO = jax.make_jaxpr(lambda: ())().jaxpr.debug_info

# Does a step in another way: (step, values of its inputs) -> values of its outputs.
Rule = Callable[[Step, list[Any]], list[Any]]


def flatten(closed: Any) -> Program:
    """The program of a jaxpr."""
    steps: list[Step] = []
    types: dict[int, Any] = {}

    def new(variable: Any) -> int:
        types[len(types)] = variable.aval
        return len(types) - 1

    def add(jaxpr: Any, known: dict[Any, Atom], inside: tuple[str, ...]) -> list[Atom]:
        def read(atom: Any) -> Atom:
            return Known(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            inputs = tuple(read(atom) for atom in equation.invars)
            params = equation.params
            if equation.primitive.name in _GROUPS:
                inner = params['jaxpr'] if 'jaxpr' in params else params['call_jaxpr']
                outputs = enter(inner, inputs, (*inside, str(params.get('name', ''))))
                known.update(zip(equation.outvars, outputs, strict=True))
                continue
            made = tuple(new(variable) for variable in equation.outvars)
            known.update(zip(equation.outvars, made, strict=True))
            steps.append(Step(equation, inputs, made, inside))
        return [read(atom) for atom in jaxpr.outvars]

    def enter(inner: Any, inputs: Sequence[Atom], inside: tuple[str, ...]) -> list[Atom]:
        jaxpr = getattr(inner, 'jaxpr', inner)
        constants = [Known(value) for value in getattr(inner, 'consts', ())]
        known = dict(zip(jaxpr.constvars, constants, strict=True)) | dict(zip(jaxpr.invars, inputs, strict=True))
        return add(jaxpr, known, inside)

    inputs = tuple(new(variable) for variable in closed.jaxpr.invars)
    outputs = enter(closed, inputs, ())
    return Program(inputs, tuple(steps), tuple(outputs), types)


def prune(program: Program, outputs: Sequence[Atom], given: Collection[int] = ()) -> Program:
    """The program with only the steps that `outputs` need, where the arrays `given` are there already."""
    needed = {atom for atom in outputs if isinstance(atom, int)}.difference(given)
    kept = []
    for step in reversed(program.steps):
        if needed.intersection(step.outputs):
            kept.append(step)
            needed.update(atom for atom in step.inputs if isinstance(atom, int) and atom not in given)
    return program._replace(steps=tuple(reversed(kept)), outputs=tuple(outputs))


def depends(program: Program, inputs: Sequence[int]) -> set[int]:
    """The numbers of all arrays that depend on the given ones, themselves included."""
    found = set(inputs)
    for step in program.steps:
        if any(isinstance(atom, int) and atom in found for atom in step.inputs):
            found.update(step.outputs)
    return found


def evaluate(
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


def run_step(step: Step, inputs: list[Any]) -> list[Any]:
    """Does a step as it stands in the program."""
    equation = step.equation
    values = {
        atom: value for atom, value in zip(equation.invars, inputs, strict=True) if not isinstance(atom, core.Literal)
    }
    alone = core.Jaxpr((), list(values), equation.outvars, [equation], equation.effects, debug_info=_NO_INFO)
    return eval_jaxpr(alone, (), *values.values())


def as_jaxpr(program: Program, rules: Mapping[int, Rule]) -> Any:
    """A program under other rules as a jaxpr, to be put in the place of the one it came from."""
    shapes = [jax.ShapeDtypeStruct(program.types[n].shape, program.types[n].dtype) for n in program.inputs]
    return jax.make_jaxpr(lambda *values: evaluate(program, values, rules=rules))(*shapes)
