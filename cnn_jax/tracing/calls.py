"""Following a model through one call, in shapes alone: which modules it calls, and what each of them sees."""

from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax

from cnn_jax.tracing import fields, receptive_field

BATCH = 2  # of the traced images; not 1, which would look like the axis of a 1x1 map

Path = tuple[str, ...]


@dataclass
class Call:
    """What the interceptor saw of one module call; `inner` is the field of its input, `outer` of its output."""

    path: Path
    module: nn.Module
    depth: int
    input_shape: tuple[int, ...]
    output: jax.ShapeDtypeStruct | None = None
    inner: fields.State = fields.UNKNOWN
    outer: fields.State = fields.UNKNOWN
    below: 'list[Call]' = field(default_factory=list)


def random_keys() -> dict[str, jax.Array]:
    return {name: jax.random.key(0) for name in ('params', 'dropout')}


def trace_calls(model: nn.Module, variables: Any, images: Any, options: dict[str, Any]) -> Call:
    """Returns the call of the model itself, with all calls below it."""
    calls: list[Call] = []
    stack: list[Call] = []

    def interceptor(next_method, args, kwargs, context):
        if context.method_name != '__call__':
            return next_method(*args, **kwargs)
        mapped = bool(args) and isinstance(args[0], jax.Array)
        call = Call(context.module.path, context.module, len(stack), args[0].shape[1:] if mapped else ())
        number = len(calls)
        if stack:
            stack[-1].below.append(call)
        calls.append(call)
        stack.append(call)
        if mapped:
            args = (receptive_field.mark(args[0], f'{number} in'), *args[1:])
        outputs, structure = jax.tree.flatten(next_method(*args, **kwargs))
        stack.pop()
        if outputs and isinstance(outputs[0], jax.Array):
            call.output = jax.ShapeDtypeStruct(outputs[0].shape[1:], outputs[0].dtype)
            outputs[0] = receptive_field.mark(outputs[0], f'{number} out')
        return jax.tree.unflatten(structure, outputs)

    def apply(variables, images):
        with nn.intercept_methods(interceptor):
            return model.apply(variables, images, rngs=random_keys(), mutable=nn.DenyList('params'), **options)

    program = jax.make_jaxpr(apply)(variables, images)
    states = [fields.LEARNED] * (len(program.in_avals) - 1) + [fields.image_field(images.shape)]
    marks = receptive_field.trace(program, states)
    for number, call in enumerate(calls):
        call.inner, call.outer = (marks.get(f'{number} {side}', fields.UNKNOWN) for side in ('in', 'out'))
    return calls[0]
