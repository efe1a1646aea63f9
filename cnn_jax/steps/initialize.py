"""The first values of a net, without compiling its whole initialisation: each distinct computation is compiled once.

`jit(model.init)` is one program with a sampler for every parameter: 19 s to compile for ResNet-152, whose 156 kernels
have 24 shapes. Here the function is traced, random keys are computed (Flax folds a hash of a parameter's path into its
key), and each output is cut out of the trace, from its keys on; outputs with the same equations share a program.
Nothing here knows Flax's rules, so the values are those of the function itself.
"""

import os
from collections.abc import Callable, Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

from cnn_jax.layers.initializers import DRAW
from cnn_jax.tracing import program as programs
from cnn_jax.tracing.program import Atom, Known, Program, Step

# An output that needs more equations than this (it depends on the images, or on a loop) is computed with all others
# of its kind in one program; and so is everything unless samplers are this many times as many as distinct ones.
MOST_EQUATIONS = 100
LEAST_REPEATS = 2


def initialize(model: nn.Module, key: jax.Array, images: Any, **options: Any) -> Any:
    """Returns what `jax.jit(model.init)(key, images, **options)` does, bit for bit.

    model: any Linen module. options: of its call, such as `train=False`.
    """
    return compute(lambda key, images: model.init(key, images, **options), key, images)


def compute(function: Callable[..., Any], *arguments: Any, shardings: Any = None) -> Any:
    """Returns what `jax.jit(function, out_shardings=shardings)(*arguments)` does; outputs that are alike compile once.

    function: pure, of arrays to a tree of arrays; it is for many outputs of few kinds, as of an initialisation.
    shardings: a tree like the result's, of where each leaf goes; None: to the default device.
    """
    if isinstance(jnp.zeros(()), Tracer):  # inside another trace
        return function(*arguments)
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    if closed.effects:
        return jax.jit(function, out_shardings=shardings)(*arguments)
    structure = jax.tree.structure(shapes)
    places = [None] * structure.num_leaves if shardings is None else structure.flatten_up_to(shardings)
    parts = _Parts(programs.flatten(closed.jaxpr, into=()), [*closed.consts, *jax.tree.leaves(arguments)])
    calls = {number: call for number, place in enumerate(places) if (call := parts.call(number, place))}
    samplers = [call.kind for call in calls.values() if call.is_random]
    if len(samplers) < LEAST_REPEATS * len(set(samplers)):
        calls = {}
    results = _run(calls)
    rest = [number for number in range(len(places)) if number not in calls]
    if rest:
        whole = core.jaxpr_as_fun(closed)
        together = jax.jit(
            lambda *leaves: [whole(*leaves)[number] for number in rest],
            out_shardings=[places[number] for number in rest],
        )
        results.update(zip(rest, together(*jax.tree.leaves(arguments)), strict=True))
    return jax.tree.unflatten(structure, [results[number] for number in range(len(places))])


class _Call(NamedTuple):
    """What computes one output."""

    kind: Hashable  # equal where the program is the same
    part: Program
    place: Any  # the sharding of the result
    values: list[Any]

    @property
    def type(self) -> Any:
        """The shape and dtype of the result."""
        output = self.part.outputs[0]
        return output.type if isinstance(output, Known) else self.part.types[output]

    @property
    def is_random(self) -> bool:
        """Whether it draws numbers."""
        keys = [value for value in self.values if isinstance(value, jax.Array) and _is_key(value)]
        return bool(keys) and not _is_key(self.type)

    def filled(self) -> jax.Array | None:
        """The result if it is one number everywhere, as zeros and ones are, which nothing must be compiled for."""
        if len(self.part.steps) != 1 or self.part.steps[0].kind != 'broadcast_in_dim':
            return None
        (number, *_) = self.part.steps[0].inputs
        here = self.place is None or self.place.is_fully_addressable
        if not isinstance(number, Known) or np.ndim(number.value) or not here:
            return None
        array = np.full(self.type.shape, number.value, self.type.dtype)  # nobody else's: a step may write over it
        return jax.device_put(array, self.place)

    def lower(self) -> Any:
        """Its program, not compiled yet."""
        run = jax.jit(lambda *values: programs.interpret(self.part, values)[0], out_shardings=self.place)
        return run.lower(*self.values)

    def run(self) -> jax.Array:
        """The result."""
        key = self.key
        if key not in _compiled:
            _compile([self])
        return _compiled[key](*self.values)

    @property
    def key(self) -> Hashable:
        """Under which what was compiled is kept: settings of JAX such as the kind of random bits count too."""
        return self.kind, repr(jax.config.values)


_compiled: dict[Hashable, Any] = {}
MOST_COMPILED = 512


def _compile(calls: Collection[_Call]) -> None:
    """Programs compile side by side: the compiler uses one core for each. Other nets of the process find them again."""
    if len(_compiled) > MOST_COMPILED:
        _compiled.clear()
    lowered = {key: call.lower() for key, call in {call.key: call for call in calls}.items() if key not in _compiled}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        _compiled.update(zip(lowered, pool.map(lambda program: program.compile(), lowered.values()), strict=True))


def _run(calls: Mapping[int, _Call]) -> dict[int, Any]:
    """The results by number of the output."""
    filled = {number: array for number, call in calls.items() if (array := call.filled()) is not None}
    rest = {number: call for number, call in calls.items() if number not in filled}
    _compile(rest.values())
    return filled | {number: call.run() for number, call in rest.items()}


class _Parts:
    """The parts of a program that compute one output each."""

    def __init__(self, program: Program, inputs: list[Any]):
        self._program = program
        self._makers = programs.makers(program)
        self._known = dict(zip(program.inputs, inputs, strict=True))

    def call(self, number: int, place: Any = None) -> _Call | None:
        """What computes the output of that number, or None if it needs more than MOST_EQUATIONS."""
        return self._call(self._program.outputs[number], place)

    def _call(self, atom: Atom, place: Any = None) -> _Call | None:
        part = self._cut(atom)
        if part is None:
            return None
        values = [self._value(number) for number in part.inputs]
        return None if any(value is None for value in values) else _Call((_signature(part), place), part, place, values)

    def _cut(self, output: Atom) -> Program | None:
        """The steps between an array and the keys and inputs that it needs."""
        steps: dict[int, Step] = {}  # by the first array that each makes, which is their order
        outside: dict[int, None] = {}  # an ordered set
        waiting = [output]
        while waiting and len(steps) <= MOST_EQUATIONS:
            atom = waiting.pop()
            if isinstance(atom, Known):
                continue
            if atom in self._known or (atom != output and self._starts_here(atom)):
                outside[atom] = None
            elif (step := self._makers[atom]).outputs[0] not in steps:
                steps[step.outputs[0]] = step
                waiting.extend(step.inputs)
        if len(steps) > MOST_EQUATIONS:
            return None
        ordered = tuple(steps[number] for number in sorted(steps))
        return self._program._replace(inputs=tuple(outside), steps=ordered, outputs=(output,))

    def _starts_here(self, number: int) -> bool:
        """Whether the array is a key, or comes straight from the function that all our initializers share."""
        return _is_key(self._program.types[number]) or self._makers[number].params.get('name') == DRAW

    def _value(self, number: int) -> Any:
        """The value of an input, a key or drawn numbers; None where it takes too much."""
        if number not in self._known:
            step = self._makers[number]
            folded, data = step.inputs if step.kind == 'random_fold_in' else (None, None)
            if isinstance(folded, int) and isinstance(data, Known) and _is_key(self._program.types[folded]):
                key = self._value(folded)
                self._known[number] = None if key is None else jax.random.fold_in(key, data.value)
            else:
                call = self._call(number)
                self._known[number] = call and call.run()
        return self._known[number]


def _is_key(array: Any) -> bool:
    return array.ndim == 0 and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _signature(part: Program) -> Hashable:
    """Equal for parts that compute the same function of what comes from outside."""
    numbers: dict[int, int] = {array: number for number, array in enumerate(part.inputs)}

    def name(atom: Atom) -> Hashable:
        return _literal(atom) if isinstance(atom, Known) else numbers[atom]

    steps: list[Hashable] = []
    for step in part.steps:
        params = tuple((key, _comparable(value)) for key, value in sorted(step.params.items()))
        steps.append((step.equation.primitive, params, *map(name, step.inputs)))
        for result in step.outputs:
            numbers[result] = len(numbers)
    return (*steps, *(str(part.types[number]) for number in part.inputs), name(part.outputs[0]))


def _literal(known: Known) -> Hashable:
    value = known.value
    return str(known.type), value.item() if getattr(value, 'ndim', None) == 0 else _comparable(value)


def _comparable(value: Any) -> Hashable:
    """The value with its type, or where Python cannot compare it its identity.

    Jaxprs compare by identity, and JAX keeps its traces, so the same call has the same one; two that were traced apart
    count as different, which only costs a compilation.
    """
    try:
        hash(value)
    except TypeError:
        return type(value), _Same(value)
    return type(value), value


class _Same:
    """Equal to itself alone, and kept, so that no other value takes its identity."""

    def __init__(self, value: Any):
        self._value = value

    def __hash__(self) -> int:
        return id(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value
