"""The layers of any Linen model by name: reading them, adding to them, and cutting the net above them.

One function does it, `trace`: it marks what every module reads and returns, and takes the program of the call apart.
"""

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.tracing import program as programs
from cnn_jax.tracing import relu
from cnn_jax.tracing.program import Program
from cnn_jax.tracing.record import Called, mark_of, record


class Layer(NamedTuple):
    """A layer: its name, the numbers of its first input and output in the program, and whether it has variables."""

    name: str
    input: int | None
    output: int
    shape: tuple[int, ...]  # of the output, with the batch
    learned: bool


class Net(NamedTuple):
    """A model's program with its layers in the order of their calls; of a layer called twice, the last call."""

    program: Program
    layers: dict[str, Layer]

    @property
    def images(self) -> int:
        return self.program.inputs[-1]

    def output(self, layer: str | None) -> int:
        """The number of what a layer returns, after its activation; None: the scores."""
        if layer is None:
            scores = self.program.outputs[0]
            assert isinstance(scores, int)
            return scores
        return self.layer(layer).output

    def layer(self, name: str) -> Layer:
        """Raises: CnnJaxError for an unknown layer, with the close matches."""
        if name not in self.layers:
            raise CnnJaxError(unknown('layer', name, self.layers))
        return self.layers[name]

    def run(
        self,
        variables: Any,
        images: Any,
        read: Sequence[int],
        *,
        rule: relu.Name | None = None,
        added: Mapping[int, Any] | None = None,
        given: Mapping[int, Any] | None = None,
    ) -> list[Any]:
        """The arrays of those numbers; what none of them needs is not run.

        rule: another backward rule for the ReLUs. added: what to add to arrays, by their numbers. given: arrays that
        are there already; what only they need is not run either.
        """
        program = programs.prune(self.program, read, given or ())
        rules = self.relus(read, rule).rules if rule else None
        values = [*jax.tree.leaves(variables), images]
        return programs.interpret(program, values, rules=rules, added=added or {}, given=given or {})

    def relus(self, read: Sequence[int], rule: relu.Name = 'guided') -> relu.Found:
        """The ReLUs between the images and the arrays `read`.

        Raises: CnnJaxError if there is none, or another nonlinearity.
        """
        found = relu.find(programs.prune(self.program, read), [self.images], rule)
        if not found.count:
            raise CnnJaxError(
                f'no ReLU between the image and the scores, and {rule} changes ReLUs alone; use gradient instead'
            )
        return found


def trace(model: nn.Module, variables: Any, images: Any, *, into: Collection[str] = programs.GROUPS) -> Net:
    """The program of `model.apply(variables, images, train=False)` and its layers; shapes are enough.

    into: the calls that are dissolved, as in `program.flatten`.
    """
    learned: set[str] = set()

    def begun(call: Called) -> None:
        if call.path:
            call.mark_input(f'in:{call.name}')

    def ended(call: Called) -> None:
        if call.path:
            call.mark_output(f'out:{call.name}')
            if call.module.variables:
                learned.add(call.name)

    def apply(variables, images):
        with record(ended, begun=begun):
            return model.apply(variables, images, **call_options(model))

    program = programs.flatten(jax.make_jaxpr(apply)(variables, images), into)
    return Net(program, _layers(program, learned))


def call_options(model: nn.Module) -> dict[str, Any]:
    """`train=False`, for models that take it."""
    return {'train': False} if 'train' in inspect.signature(type(model).__call__).parameters else {}


def _layers(program: Program, learned: set[str]) -> dict[str, Layer]:
    inputs: dict[str, int] = {}
    layers: dict[str, Layer] = {}
    for step in program.steps:
        side, _, name = (mark_of(step) or '').partition(':')
        if side == 'in':
            inputs[name] = step.outputs[0]
        elif side == 'out':
            number = step.outputs[0]
            layers.pop(name, None)  # of two calls the last counts
            layers[name] = Layer(name, inputs.get(name), number, program.types[number].shape, name in learned)
    return layers


def last_map(net: Net) -> str:
    """The last layer that makes maps: with variables, larger than 1x1; a block rather than what is inside it.

    Raises: CnnJaxError if there is none.
    """
    maps = [layer for layer in net.layers.values() if len(layer.shape) == 4 and max(layer.shape[1:3]) > 1]
    outermost = [layer for layer in maps if '/' not in layer.name and layer.learned]
    if not (outermost or maps):
        raise CnnJaxError('the model has no layer with maps (batch, height, width, channels) larger than 1x1')
    return (outermost or maps)[-1].name


def last_hidden(net: Net) -> tuple[str, int]:
    """What the last layer with variables reads: its description and its number in the program."""
    learned = [layer for layer in net.layers.values() if layer.learned and layer.input is not None]
    if not learned:
        raise CnnJaxError('the model calls no layer with variables; give --layer')
    last = learned[-1]
    assert last.input is not None
    return f'input of {last.name}', last.input
