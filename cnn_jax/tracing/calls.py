"""Following a model through one call, in shapes alone: which modules it calls, and what each of them sees."""

from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax

from cnn_jax.tracing import fields, receptive_field
from cnn_jax.tracing.record import Called, Path, record


@dataclass
class Call:
    """What was seen of one module call; `inner` is the field of its input, `outer` of its output."""

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
    open_calls: list[int] = []  # by number, the innermost last

    def begun(called: Called) -> None:
        shape = called.first_input.shape[1:] if called.first_input is not None else ()
        call = Call(called.path, called.module, len(open_calls), shape)
        if open_calls:
            calls[open_calls[-1]].below.append(call)
        open_calls.append(len(calls))
        called.mark_input(f'{len(calls)} in')
        calls.append(call)

    def ended(called: Called) -> None:
        number, output = open_calls.pop(), called.first_output
        if output is not None:
            calls[number].output = jax.ShapeDtypeStruct(output.shape[1:], output.dtype)
            called.mark_output(f'{number} out')

    def apply(variables, images):
        with record(ended, begun=begun):
            return model.apply(variables, images, rngs=random_keys(), mutable=nn.DenyList('params'), **options)

    program = jax.make_jaxpr(apply)(variables, images)
    states = [fields.LEARNED] * (len(program.in_avals) - 1) + [fields.image_field(images.shape)]
    marks = receptive_field.trace(program, states)
    for number, call in enumerate(calls):
        call.inner, call.outer = (marks.get(f'{number} {side}', fields.UNKNOWN) for side in ('in', 'out'))
    return calls[0]
