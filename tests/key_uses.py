"""Which random keys a program uses, and for what: for the tests of the streams.

A key is known by how it was derived: the key of the state, then for each step on the way a fold with a constant (a
name, or what Flax makes of a module's path), a fold with a number that is computed, or a place in a split. Two arrays
of one derivation are one key, wherever in the program they stand.
"""

from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from cnn_jax.tracing.program import GROUPS, OWN_GRADIENT, Known, Step, called, flatten

INTO = GROUPS | OWN_GRADIENT | {'shard_map'}
FOLD, SPLIT, DRAWS = 'random_fold_in', 'random_split', ('random_bits', 'random_gamma')
SAME_VALUES = ('broadcast_in_dim', 'reshape', 'squeeze', 'copy', 'convert_element_type', 'pvary', 'pcast')


class Key(NamedTuple):
    """A key, or an array of keys that are alike: `way` is how it came about; `turns` whether a loop changes it."""

    way: tuple[Any, ...]
    turns: bool = False


class Uses:
    """What was seen of a program.

    Attributes:
        draws: how often the bits of each key are drawn.
        names: the constants that were folded into each key.
        others: the other ways in which keys were derived from each key: computed numbers, and splits.
        repeated: keys whose bits a loop draws in every turn.
    """

    def __init__(self):
        self.draws: Counter[tuple] = Counter()
        self.names: dict[tuple, set[int]] = {}
        self.others: dict[tuple, set[Any]] = {}
        self.repeated: list[tuple] = []
        self._fresh = 0

    def faults(self) -> list[str]:
        """What is wrong, a line each: a key that has two uses."""
        lines = [f'{key}: drawn {count} times' for key, count in self.draws.items() if count > 1]
        lines += [f'{key}: drawn in every turn of a loop' for key in self.repeated]
        for key in {*self.names, *self.others}:
            uses = [*(['bits'] if self.draws[key] else []), *(['names'] if key in self.names else [])]
            uses += sorted(map(str, self.others.get(key, ())))
            if len(uses) > 1:
                lines.append(f'{key}: used for {", ".join(uses)}')
        return lines

    def walk(self, jaxpr: Any, given: list[Any], in_loop: bool = False) -> list[Any]:
        """Follows a jaxpr whose inputs are `given`: a Key, or whether a loop changes what is no key."""
        program = flatten(jaxpr, INTO)
        known = dict(zip(program.inputs, given, strict=True))
        constants: dict[int, Any] = {}
        for step in program.steps:
            inputs = [False if isinstance(atom, Known) else known[atom] for atom in step.inputs]
            values = [atom.value if isinstance(atom, Known) else constants.get(atom) for atom in step.inputs]
            if step.kind in SAME_VALUES and values[0] is not None and np.ndim(values[0]) == 0:
                constants[step.outputs[0]] = values[0]
            known.update(zip(step.outputs, self._outputs(step, inputs, values, in_loop), strict=True))
        return [False if isinstance(atom, Known) else known[atom] for atom in program.outputs]

    def _outputs(self, step: Step, inputs: list[Any], values: list[Any], in_loop: bool) -> list[Any]:
        if step.kind == 'cond':
            found = [self.walk(branch, inputs[1:], in_loop) for branch in step.params['branches']]
            return [self._joined(outputs) for outputs in zip(*found, strict=True)]
        if step.kind in ('scan', 'while'):
            return self._loop(step, inputs)
        if called(step.equation) is not None and any(isinstance(one, Key) for one in inputs):
            raise NotImplementedError(f'{step.kind}: say in INTO that it is to be walked')
        keys = [one for one in inputs if isinstance(one, Key)]
        turns = any(one.turns if isinstance(one, Key) else one for one in inputs)
        if step.kind == 'random_seed':
            return [Key(('seed', str(values[0])), turns)]
        if not keys:
            return [self._new(turns) if _is_key(output.aval) else turns for output in step.equation.outvars]
        if step.kind in DRAWS:
            self.draws[keys[0].way] += 1
            if in_loop and not turns:
                self.repeated.append(keys[0].way)
            return [turns for _ in step.outputs]
        if step.kind in (FOLD, SPLIT):
            return [self._derived(step, keys[0], values, turns)]
        return [
            Key(self._moved(step, keys, inputs), turns) if _is_key(var.aval) else turns for var in step.equation.outvars
        ]

    def _derived(self, step: Step, key: Key, values: list[Any], turns: bool) -> Key:
        if step.kind == SPLIT:
            self.others.setdefault(key.way, set()).add('a split')
            return Key((*key.way, 'split'), turns)
        if values[1] is not None:
            self.names.setdefault(key.way, set()).add(int(values[1]))
            return Key((*key.way, int(values[1])), turns)
        number = f'number {step.inputs[1]}'
        self.others.setdefault(key.way, set()).add(number)
        return Key((*key.way, number), turns)

    def _moved(self, step: Step, keys: list[Key], inputs: list[Any]) -> tuple[Any, ...]:
        """The way of keys that were only moved: of a part of an array, its place belongs to it."""
        if step.kind in SAME_VALUES or step.kind == 'transpose':
            return keys[0].way
        places = {name: str(step.params[name]) for name in ('start_indices', 'limit_indices') if name in step.params}
        if step.kind == 'slice':
            return (*keys[0].way, *places.values())
        self._fresh += 1
        return (*keys[0].way, step.kind, self._fresh)

    def _loop(self, step: Step, inputs: list[Any]) -> list[Any]:
        """A scan or while: what goes round is new in every turn."""
        if step.kind == 'scan':
            fixed, body = step.params['num_consts'], step.params['jaxpr']
            carried = range(fixed, len(inputs))
        else:
            first, fixed = step.params['cond_nconsts'], step.params['body_nconsts']
            inputs, body = inputs[first:], step.params['body_jaxpr']
            carried = range(fixed, len(inputs))
        inside = [
            (Key((*one.way, 'turn'), True) if isinstance(one, Key) else True)
            if place in carried
            else Key(one.way, False)
            if isinstance(one, Key)
            else False
            for place, one in enumerate(inputs)
        ]
        self.walk(body, inside, in_loop=True)
        return [self._new(False) if _is_key(variable.aval) else False for variable in step.equation.outvars]

    def _new(self, turns: bool) -> Key:
        self._fresh += 1
        return Key(('new', self._fresh), turns)

    def _joined(self, outputs: tuple[Any, ...]) -> Any:
        keys = [one for one in outputs if isinstance(one, Key)]
        return keys[0] if keys else any(outputs)


def _is_key(aval: Any) -> bool:
    return jnp.issubdtype(aval.dtype, jax.dtypes.prng_key)


def uses_of(function: Any, *arguments: Any) -> Uses:
    """Traces a function of shapes and follows its keys; each key among its arguments is one of its own."""
    closed: core.ClosedJaxpr = jax.make_jaxpr(function)(*arguments)
    uses = Uses()
    given = [Key(('argument', place)) if _is_key(aval) else False for place, aval in enumerate(closed.in_avals)]
    uses.walk(closed, given)
    return uses
