"""The first values of a net, without compiling its whole initialisation: each distinct computation is compiled once.

`jit(model.init)` is one program with a sampler for every parameter: 19 s to compile for ResNet-152, whose 156 kernels
have 24 shapes. Here the function is traced, random keys are computed (Flax folds a hash of a parameter's path into its
key), and each output is cut out of the trace, from its keys on; outputs with the same equations share a program.
Nothing here knows Flax's rules, so the values are those of the function itself.
"""

import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend import core

from cnn_jax.layers.initializers import DRAW

# An output that needs more equations than this (it depends on the images, or on a loop) is computed with all others
# of its kind in one program; and so is everything unless samplers are this many times as many as distinct ones.
MOST_EQUATIONS = 100
LEAST_REPEATS = 2


def initialize(model: nn.Module, key: jax.Array, images: Any, **options: Any) -> Any:
    """Returns what `jax.jit(model.init)(key, images, **options)` does, bit for bit.

    model: any Linen module. options: of its call, such as `train=False`.
    """
    return evaluate(lambda key, images: model.init(key, images, **options), key, images)


def evaluate(function: Callable[..., Any], *arguments: Any, shardings: Any = None) -> Any:
    """Returns what `jax.jit(function, out_shardings=shardings)(*arguments)` does; outputs that are alike compile once.

    function: pure, of arrays to a tree of arrays; it is for many outputs of few kinds, as of an initialisation.
    shardings: a tree like the result's, of where each leaf goes; None: to the default device.
    """
    if isinstance(jnp.zeros(()), Tracer):  # inside another trace
        return function(*arguments)
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    if closed.effects:
        return jax.jit(function, out_shardings=shardings)(*arguments)
    inputs = [*closed.consts, *jax.tree.leaves(arguments)]
    structure = jax.tree.structure(shapes)
    places = [None] * structure.num_leaves if shardings is None else structure.flatten_up_to(shardings)
    program = _Program(closed.jaxpr, inputs)
    calls = [program.call(output, place) for output, place in zip(closed.jaxpr.outvars, places, strict=True)]
    samplers = [call.kind for call in calls if call and call.is_random]
    if len(samplers) < LEAST_REPEATS * len(set(samplers)):
        calls = [None] * len(calls)
    results = _run(call for call in calls if call)
    whole = core.jaxpr_as_fun(closed)
    rest = [number for number, call in enumerate(calls) if call is None]
    together = jax.jit(
        lambda *leaves: [whole(*leaves)[number] for number in rest], out_shardings=[places[number] for number in rest]
    )
    others = iter(together(*jax.tree.leaves(arguments)) if rest else [])
    return jax.tree.unflatten(structure, [next(others if call is None else results) for call in calls])


class _Call(NamedTuple):
    """What computes one output."""

    kind: Hashable  # equal where the program is the same
    part: core.ClosedJaxpr
    place: Any  # the sharding of the result
    values: list[Any]

    @property
    def is_random(self) -> bool:
        """Whether it draws numbers."""
        keys = [value for value in self.values if isinstance(value, jax.Array) and _is_key(value)]
        return bool(keys) and not _is_key(self.part.out_avals[0])

    def lower(self) -> Any:
        """Its program, not compiled yet."""
        part = core.jaxpr_as_fun(self.part)
        return jax.jit(lambda *values: part(*values)[0], out_shardings=self.place).lower(*self.values)


def _run(calls: Iterable[_Call]) -> Iterator[Any]:
    """An iterator over the results. Programs compile side by side: the compiler uses one core for each."""
    calls = list(calls)
    lowered = {call.kind: call.lower() for call in {call.kind: call for call in calls}.values()}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = dict(zip(lowered, pool.map(lambda program: program.compile(), lowered.values()), strict=True))
    return iter([compiled[call.kind](*call.values) for call in calls])


class _Program:
    """A traced function whose outputs are computed one by one."""

    def __init__(self, jaxpr: Any, inputs: list[Any]):
        self._jaxpr = jaxpr
        self._makers = {result: number for number, equation in enumerate(jaxpr.eqns) for result in equation.outvars}
        self._known = dict(zip([*jaxpr.constvars, *jaxpr.invars], inputs, strict=True))
        self._compiled: dict[Hashable, Any] = {}

    def call(self, output: Any, place: Any = None) -> _Call | None:
        """What computes a variable, or None if it needs more than MOST_EQUATIONS."""
        cut = self._cut(output)
        if cut is None:
            return None
        equations, outside = cut
        values = [self._value(variable) for variable in outside]
        if any(value is None for value in values):
            return None
        part = self._jaxpr.replace(constvars=[], invars=outside, outvars=[output], eqns=equations)
        kind = (_signature(equations, outside, output), place)
        return _Call(kind, core.ClosedJaxpr(part, ()), place, values)

    def _cut(self, output: Any) -> tuple[list[Any], list[Any]] | None:
        """The equations between a variable and the keys and inputs that it needs, in order, and those variables."""
        numbers: set[int] = set()
        outside: dict[Any, None] = {}  # an ordered set
        waiting = [output]
        while waiting and len(numbers) <= MOST_EQUATIONS:
            atom = waiting.pop()
            if isinstance(atom, core.Literal):
                continue
            if atom in self._known or (atom is not output and (_is_key(atom.aval) or self._is_drawn(atom))):
                outside[atom] = None
            elif self._makers[atom] not in numbers:
                numbers.add(self._makers[atom])
                waiting.extend(self._jaxpr.eqns[self._makers[atom]].invars)
        if len(numbers) > MOST_EQUATIONS:
            return None
        return [self._jaxpr.eqns[number] for number in sorted(numbers)], list(outside)

    def _run_again(self, call: _Call) -> Any:
        """The result of a call whose program may be compiled already."""
        if call.kind not in self._compiled:
            self._compiled[call.kind] = call.lower().compile()
        return self._compiled[call.kind](*call.values)

    def _is_drawn(self, variable: Any) -> bool:
        """Whether it comes straight from the function that all our initializers share."""
        equation = self._jaxpr.eqns[self._makers[variable]]
        return equation.params.get('name') == DRAW

    def _value(self, variable: Any) -> Any:
        """The value of an input, a key or drawn numbers; None where it takes too much."""
        if variable not in self._known:
            equation = self._jaxpr.eqns[self._makers[variable]]
            folded = equation.invars if equation.primitive.name == 'random_fold_in' else ()
            if folded and _is_key(folded[0].aval) and isinstance(folded[1], core.Literal):
                key = self._value(folded[0])
                self._known[variable] = None if key is None else jax.random.fold_in(key, folded[1].val)
            else:
                call = self.call(variable)
                self._known[variable] = call and self._run_again(call)
        return self._known[variable]


def _is_key(array: Any) -> bool:
    return array.ndim == 0 and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _signature(equations: list[Any], outside: list[Any], output: Any) -> Hashable:
    """Equal for parts that compute the same function of what comes from outside."""
    numbers: dict[Any, int] = {variable: number for number, variable in enumerate(outside)}

    def name(atom: Any) -> Hashable:
        return _literal(atom) if isinstance(atom, core.Literal) else numbers[atom]

    steps: list[Hashable] = []
    for equation in equations:
        params = tuple((key, _comparable(value)) for key, value in sorted(equation.params.items()))
        steps.append((equation.primitive, params, *map(name, equation.invars)))
        for result in equation.outvars:
            numbers[result] = len(numbers)
    return (*steps, *(str(variable.aval) for variable in outside), name(output))


def _literal(atom: Any) -> Hashable:
    value = atom.val
    return str(atom.aval), value.item() if getattr(value, 'ndim', None) == 0 else _comparable(value)


def _comparable(value: Any) -> Hashable:
    """The value with its type, or where Python cannot compare it its identity.

    Jaxprs compare by identity, and JAX keeps its traces, so the same call has the same one; two that were traced apart
    count as different, which only costs a compilation.
    """
    try:
        hash(value)
    except TypeError:
        return type(value), id(value)
    return type(value), value
