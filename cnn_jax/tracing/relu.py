"""Finding every ReLU of a program, and giving it another backward rule.

A ReLU is `jax.nn.relu`, a maximum with a constant zero (`jnp.maximum(x, 0)`, `jnp.clip(x, 0)`), or `jnp.where(x > 0, x,
0)` in any of its forms. Normalisations, additions and pools are differentiated as they are; any other nonlinearity, a
product of two arrays of the image among them, is an error that names it, because the rules are not defined for it.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import divisors
from cnn_jax.tracing import program as programs
from cnn_jax.tracing.program import Atom, Known, Program, Rule, Step

Name = Literal['guided', 'deconvnet', 'redirected']

_NONLINEAR = """
abs acos acosh asin asinh atan atan2 atanh cbrt ceil clamp cos cosh digamma erf erf_inv erfc exp exp2 expm1 floor lgamma
log log1p logistic nextafter rem round sign sin sinh tan tanh
"""
_COMPARISONS = {'gt', 'ge', 'lt', 'le', 'eq', 'ne'}
_KEEPS_UNIFORM = {'broadcast_in_dim', 'convert_element_type', 'copy', 'copy_p', 'reshape', 'squeeze', 'transpose'}
_WRAPPERS = {'', '_where', 'where', 'clip', 'maximum', 'minimum', 'max', 'min', 'wrapped'}  # jnp's, not a person's


class Found(NamedTuple):
    """The rules for the steps of a program by number, and how many ReLUs they stand for."""

    rules: dict[int, Rule]
    count: int


def find(program: Program, images: Iterable[int], name: Name, *, whole: bool = True) -> Found:
    """The steps of a (pruned) program that are ReLUs on what depends on `images`, with their new rule.

    whole: not the inside of a function with its own gradient, which may pool by maxima of two arrays.

    Raises:
        CnnJaxError: another nonlinearity lies between image and outputs.
    """
    reading = _Reading(program, programs.depends(program, list(images), with_gradient=True))
    rules, count, later = {}, 0, None
    for step in program.steps:
        if not reading.any_depends(step.inputs) or not reading.flowing.intersection(step.outputs):
            continue
        place = reading.relu_input(step)
        if place is not None:
            rules[step.outputs[0]] = _relu_rule(place, name)
            count += 1
        elif step.kind in ('cond', 'scan'):
            rule, inner = _control_flow(step, reading, name, whole)
            count += inner
            if inner:
                rules[step.outputs[0]] = rule
        else:
            reading.check(step)
            later = later or reading.curved(step, whole=whole)
    if later:  # after the names that say more: tanh, and not the cube inside a GELU
        raise later
    return Found(rules, count)


def argument(program: Program, images: int, number: int) -> int:
    """The number of x where an array is max(x, 0), under names that mark it or not; else its own."""
    reading = _Reading(program, programs.depends(program, [images]))
    step = reading.maker.get(number)
    while step is not None and step.kind == 'name':
        marked = step.inputs[0]
        step = reading.maker.get(marked) if isinstance(marked, int) else None
    place = None if step is None else reading.relu_input(step)
    found = None if place is None or step is None else step.inputs[place]
    return found if isinstance(found, int) else number


def _relu_rule(place: int, name: Name) -> Rule:
    def rule(step: Step, inputs: list[Any]) -> list[Any]:
        del step
        return [relu_with_rule(inputs[place], name)]

    return rule


def relu_with_rule(x: jax.Array, name: Name) -> jax.Array:
    """max(x, 0) whose gradient passes where it is positive and, under 'guided', x is positive too.

    Under 'redirected' the gradient is that of a ReLU, but where it would be zero in all of an image, the first axis, it
    passes where it asks for more (Lucid's rule, for an ascent that begins where all units are off).
    """

    @jax.custom_vjp
    def relu(x: jax.Array) -> jax.Array:
        return jnp.maximum(x, jnp.zeros_like(x))

    def forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return relu(x), x

    def backward(x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
        passes = gradient > 0 if name == 'deconvnet' else (gradient > 0) & (x > 0)
        if name == 'redirected':
            flows = (x > 0) & (gradient != 0)
            passes = jnp.where(flows.any(tuple(range(1, x.ndim)), keepdims=True), x > 0, gradient > 0)
        return (jnp.where(passes, gradient, jnp.zeros_like(gradient)),)

    relu.defvjp(forward, backward)
    return relu(x)


class _Reading:
    """What is known of the arrays of a program: which depend on the image, which are one number, which compare."""

    def __init__(self, program: Program, dependent: set[int]):
        self.dependent = dependent
        self.types = program.types
        self.uniform: dict[int, float] = {}
        self.comparison: dict[int, Step] = {}
        self.maker = programs.makers(program)
        for step in program.steps:
            if step.kind in _KEEPS_UNIFORM and (value := self.number(step.inputs[0])) is not None:
                self.uniform[step.outputs[0]] = value
            elif step.kind in _COMPARISONS:
                self.comparison[step.outputs[0]] = step
        self.inverse = divisors.inverses(program, dependent, self.number)
        self.flowing = divisors.flowing(program)
        self.passing = divisors.passing(program, dependent, self.inverse)

    def depends(self, atom: Atom) -> bool:
        return isinstance(atom, int) and atom in self.dependent

    def any_depends(self, atoms: Iterable[Atom]) -> bool:
        return any(self.depends(atom) for atom in atoms)

    def number(self, atom: Atom) -> float | None:
        """The number that an array is everywhere, if the program says so."""
        if isinstance(atom, int):
            return self.uniform.get(atom)
        if isinstance(atom.value, Tracer):
            return None
        values = np.asarray(atom.value)
        first = values.ravel()[:1]
        real = (
            jnp.issubdtype(values.dtype, jnp.floating) or values.dtype.kind in 'iub'
        )  # bfloat16 has a kind of its own
        return float(first[0]) if first.size and real and (values == first[0]).all() else None

    def relu_input(self, step: Step) -> int | None:
        """The place of x among the inputs of a step that is max(x, 0), else None."""
        kind = step.kind
        if not self.passes(step):
            return None
        if kind == 'max':
            zeros = [self.number(atom) == 0 for atom in step.inputs]
            return zeros.index(False) if sorted(zeros) == [False, True] else None
        if kind == 'select_n':
            return self._selected(step)
        if kind == 'custom_jvp_call' and _function_name(step) == 'relu':
            inner = programs.flatten(step.params['call_jaxpr'])
            inside = _Reading(inner, set(inner.inputs))
            relus = [inside.relu_input(s) is not None for s in inner.steps if inside.any_depends(s.inputs)]
            return 0 if relus == [True] and len(step.inputs) == 1 else None
        return None

    def _selected(self, step: Step) -> int | None:
        """The place of x in where(x > 0, x, 0), where(x <= 0, 0, x) and their mirror images."""
        mask, *cases = step.inputs
        if len(cases) != 2 or not isinstance(mask, int) or mask not in self.comparison:
            return None
        compared = self.comparison[mask]
        left, right = compared.inputs
        greater = {'gt': True, 'ge': True, 'lt': False, 'le': False}.get(compared.kind)
        if greater is None:
            return None
        if self.number(left) == 0:  # 0 < x
            left, right, greater = right, left, not greater
        zero, kept = (0, 1) if greater else (1, 0)
        is_relu = self.number(right) == 0 and self.number(cases[zero]) == 0 and cases[kept] == left
        return 1 + kept if is_relu and isinstance(left, int) else None

    def curved(self, step: Step, *, whole: bool) -> CnnJaxError | None:
        """The error of a step on the image that is a product, a power, or a choice among several arrays."""
        what = divisors.curved(step, self.dependent, self.inverse)
        allowed = not whole and step.kind in ('max', 'min')
        return _not_a_relu(what, step) if what and not allowed and self.passes(step) else None

    def passes(self, step: Step) -> bool:
        """Whether the outputs are more than a divisor."""
        return bool(self.passing.intersection(step.outputs))

    def check(self, step: Step) -> None:
        """Raises CnnJaxError for a step on the image that is a nonlinearity by its name and not a ReLU."""
        kind = step.kind
        if kind in _NONLINEAR.split():
            raise _not_a_relu(kind, step)
        if kind in ('max', 'min') and self.passes(step) and not all(self.depends(atom) for atom in step.inputs):
            bound = next((self.number(atom) for atom in step.inputs if not self.depends(atom)), None)
            if bound is None or not np.isinf(bound):
                raise _not_a_relu(f'{kind} with {"a parameter" if bound is None else f"{bound:g}"}', step)
        if kind == 'select_n' and self.depends(step.inputs[0]):
            raise _not_a_relu('where (a choice that depends on the image)', step)
        if kind in programs.OWN_GRADIENT or kind == 'while':
            self._check_inside(step)
        masks = [atom for atom in step.inputs if self.depends(atom) and not self._is_float(atom)]
        if masks and any(jnp.issubdtype(self.types[number].dtype, jnp.floating) for number in step.outputs):
            maker = self.maker[masks[0]] if isinstance(masks[0], int) and masks[0] in self.maker else step
            raise _not_a_relu(f'{maker.kind} (a mask of the image)', step)

    def _is_float(self, atom: Atom) -> bool:
        return isinstance(atom, int) and jnp.issubdtype(self.types[atom].dtype, jnp.floating)

    def _check_inside(self, step: Step) -> None:
        """A function with its own gradient must hold nothing that the rule would have to change."""
        inner = programs.flatten(programs.called(step))
        flags = [self.depends(atom) for atom in step.inputs]
        flags = flags[-len(inner.inputs) :] if step.kind == 'while' else flags
        dependent = [number for number, flag in zip(inner.inputs, flags, strict=False) if flag]
        try:
            found = find(inner, dependent, 'guided', whole=False).count
        except CnnJaxError as error:
            raise _not_a_relu(_function_name(step) or step.kind, step) from error
        if found:
            raise _not_a_relu(f'{_function_name(step) or step.kind} (it has its own gradient)', step)


def _function_name(step: Step) -> str:
    """The name of a function with its own gradient."""
    inner = step.params.get('call_jaxpr') or step.params.get('fun_jaxpr')
    info = getattr(getattr(inner, 'jaxpr', None), 'debug_info', None)
    return getattr(info, 'func_name', '') or ''


def _not_a_relu(what: str, step: Step) -> CnnJaxError:
    named = [name for name in step.inside if name not in _WRAPPERS]
    where = f' (in {named[-1]})' if named and named[-1] not in what else ''
    return CnnJaxError(
        f'{what}{where} lies between the image and the scores; the rule is defined for ReLUs alone: '
        'use gradient, integrated_gradients, grad_cam or occlusion on this model'
    )


def _carried(params: dict[str, Any]) -> slice:
    """Which inputs of a scan each round makes anew."""
    if 'num_carry' in params:  # jax 0.10
        constants, carried = params['num_consts'], params['num_carry']
    else:
        constants, carried, _ = map(len, params['ft_in'].unpack())
    return slice(constants, constants + carried)


def _control_flow(step: Step, reading: _Reading, name: Name, whole: bool) -> tuple[Rule, int]:
    """The rule of a step with programs inside, and its ReLUs: branches are forms of one function, counted once."""
    scan = step.kind == 'scan'
    flags = [reading.depends(atom) for atom in step.inputs]
    if scan:  # what a round makes, the next one reads
        carried = _carried(step.params)
        flags[carried] = [True] * len(flags[carried])
    elif flags[0]:
        raise _not_a_relu('cond (a choice that depends on the image)', step)
    inner = [step.params['jaxpr']] if scan else step.params['branches']
    flags = flags if scan else flags[1:]
    parts, counts = [], []
    for closed in inner:
        program = programs.flatten(closed)
        found = find(program, [n for n, flag in zip(program.inputs, flags, strict=True) if flag], name, whole=whole)
        parts.append(programs.as_jaxpr(program, found.rules) if found.count else closed)
        counts.append(found.count)
    changed = {'jaxpr': parts[0]} if scan else {'branches': tuple(parts)}

    def rule(step: Step, inputs: list[Any]) -> list[Any]:
        return programs.run_step(
            step._replace(equation=step.equation.replace(params={**step.params, **changed})), inputs
        )

    return rule, counts[0] * step.params['length'] if scan else max(counts)


__all__ = ['Found', 'Known', 'Name', 'find', 'relu_with_rule']
