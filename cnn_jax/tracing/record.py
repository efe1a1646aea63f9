"""Listening to a model that is called: what each module of it reads and returns, without an edit of the model.

`record` tells of every call of a module. Arrays that a listener marks keep their name in the program that is traced.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name
from jax.custom_batching import custom_vmap

from cnn_jax.tracing.program import Step

Path = tuple[str, ...]

_MARK = 'cnn_jax.mark:'


@dataclass
class Called:
    """One call of a module's `__call__`. A listener may put other inputs or outputs in the place of those it finds."""

    path: Path  # () for the model itself
    module: nn.Module
    inputs: tuple[Any, ...]  # given by position
    outputs: Any = None  # until the call has ended

    @property
    def name(self) -> str:
        """The path joined by '/', which is the name of the layer."""
        return '/'.join(self.path)

    @property
    def first_input(self) -> jax.Array | None:
        """None where the first input is no array."""
        return self.inputs[0] if self.inputs and isinstance(self.inputs[0], jax.Array) else None

    @property
    def first_output(self) -> jax.Array | None:
        """The first leaf of the outputs; None where that is no array."""
        first = next(iter(jax.tree.leaves(self.outputs)), None)
        return first if isinstance(first, jax.Array) else None

    def mark_input(self, name: str, marking: 'Marking | None' = None) -> None:
        """Names the first input in the program, if it is an array; marking: `mark_each` instead of `mark`."""
        if self.first_input is not None:
            self.inputs = ((marking or mark)(self.first_input, name), *self.inputs[1:])

    def mark_output(self, name: str, marking: 'Marking | None' = None) -> None:
        """Names the first output in the program, if it is an array; marking: `mark_each` instead of `mark`."""
        if self.first_output is not None:
            leaves, structure = jax.tree.flatten(self.outputs)
            self.outputs = jax.tree.unflatten(structure, [(marking or mark)(leaves[0], name), *leaves[1:]])


@contextlib.contextmanager
def record(
    ended: Callable[[Called], None] | None = None, *, begun: Callable[[Called], None] | None = None
) -> Iterator[None]:
    """Tells of the calls of all modules under it, inside a traced function too.

    ended: told when a call has ended, so the modules inside a block come before it. begun: told before it runs.
    What they keep of a trace must not outlive it.
    """

    def interceptor(next_method, args, options, context):
        if context.method_name != '__call__':
            return next_method(*args, **options)
        call = Called(context.module.path, context.module, args)
        if begun:
            begun(call)
        call.outputs = next_method(*call.inputs, **options)
        if ended:
            ended(call)
        return call.outputs

    with nn.intercept_methods(interceptor):
        yield


def mark(array: jax.Array, name: str) -> jax.Array:
    """Returns the array itself, with a name in the program."""
    return checkpoint_name(array, _MARK + name)


Marking = Callable[[jax.Array, str], jax.Array]


def mark_each(array: jax.Array, name: str) -> jax.Array:
    """`mark` where a model is called with batches of one image under `vmap`: what has the name has no axis of one."""

    @custom_vmap
    def named(array: jax.Array) -> jax.Array:
        return mark(array, name)

    def named_batch(count: int, is_batched: Sequence[bool], array: jax.Array) -> tuple[jax.Array, bool]:
        del is_batched  # it is: else there is nothing to map over
        one = array.shape[1:2] == (1,)
        joined = mark(array.reshape(count, *array.shape[2:]) if one else array, name)
        return joined.reshape(array.shape), True

    named.def_vmap(named_batch)
    return named(array)


def mark_of(step: Step) -> str | None:
    """The name that `mark` gave to what a step returns; None: none."""
    name = str(step.params.get('name', '')) if step.kind == 'name' else ''
    return name.removeprefix(_MARK) if name.startswith(_MARK) else None
