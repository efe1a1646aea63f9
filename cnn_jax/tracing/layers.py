"""The layers of any Linen model by name: reading them, adding to them, and cutting the net above them.

One function does it, `trace`: it marks what every module reads and returns, and takes the program of the call apart.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.errors import CnnJaxError, check_shortage, closest, unknown
from cnn_jax.tracing import evaluating, relu
from cnn_jax.tracing import program as programs
from cnn_jax.tracing.program import Program
from cnn_jax.tracing.record import Called, Marking, mark, mark_each, mark_of, record
from cnn_jax.tracing.static import Static

SCORES = 'scores'  # the name of the scores among several arrays that a model returns
LISTED = 8  # layers that an error names


class Layer(NamedTuple):
    """A layer: its name, the numbers of its first input and output in the program, and whether it has variables."""

    name: str
    input: int | None
    output: int
    shape: tuple[int, ...]  # of the output, with the batch
    learned: bool
    batched: bool = True  # whether the first axis of the output is that of the images


class Net(NamedTuple):
    """A model's program with its layers in the order of their calls; of a layer called twice, the last call."""

    program: Program
    layers: dict[str, Layer]
    returned: dict[str, Layer]  # what the model returns, by its place there; the only array is called ''

    @property
    def images(self) -> int:
        return self.program.inputs[-1]

    def output(self, layer: str | None) -> int:
        """The number of what a layer returns, after its activation; None: the scores.

        All that reads or explains a layer comes through here.

        Raises: CnnJaxError for an unknown layer; one whose first axis is not that of the images; scores that are one of
        several arrays.
        """
        found = self.scores() if layer is None else self.layer(layer)
        if not found.batched:
            raise CnnJaxError(
                f'{f"layer {layer!r}" if layer else "the scores"}: the output is {found.shape}, whose first axis is '
                f'not that of the {self.program.types[self.images].shape[0]} images (several views of an image?); give '
                'a layer that has a row for each image, or the model without its views'
            )
        return found.output

    def before(self, layer: str) -> int:
        """The number of what a layer returns, before its activation where that is a ReLU.

        Raises: as `output`.
        """
        number = self.output(layer)
        return relu.argument(programs.prune(self.program, [number]), self.images, number)

    def scores(self) -> Layer:
        """The one array that the model returns, or of several the one called `SCORES`; CnnJaxError without it."""
        if SCORES in self.returned:
            return self.returned[SCORES]
        if len(self.returned) != 1:
            listed = ', '.join(f'{name} {one.shape}' for name, one in self.returned.items()) or 'none'
            raise CnnJaxError(
                f'the model returns {len(self.returned)} arrays: {listed}; which are the scores? Name one as the layer '
                '(--layer=NAME), or give a model that returns it alone'
            )
        return next(iter(self.returned.values()))

    def layer(self, name: str) -> Layer:
        """A layer, or one of several arrays that the model returns.

        Raises: CnnJaxError for an unknown name, with the close matches.
        """
        known = {**self.returned, **self.layers}
        known.pop('', None)
        if name not in known:
            raise CnnJaxError(_unknown(name, known))
        return known[name]

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


def trace(
    model: nn.Module,
    variables: Any,
    images: Any,
    *,
    into: Collection[str] = programs.GROUPS,
    sure: bool = False,
    until: Collection[str] = (),
) -> Net:
    """The program of a call of the model in evaluation and its layers; shapes are enough.

    Scores of one number for each image, (batch,), are (batch, 1) here. A model that returns one number for the whole
    batch is called with each image alone.

    into: the calls that are dissolved, as in `program.flatten`. sure: where a layer has the number of images on several
    axes, another number of images tells which of them is theirs. until: the call ends when all of these layers have
    ended, so that maps can be read for images of any size, whatever a dense layer above them was made for; the program
    then returns the output of the last of them.

    Raises: CnnJaxError for a model that cannot be called with these images alone.
    """
    closed, returned, learned = _called(model, variables, images, mark, until)
    if [one.shape for one in jax.tree.leaves(returned)] == [()]:
        closed, returned, learned = _called(model, variables, images, mark_each)
    program = programs.flatten(closed, into)
    net = _net(program, learned, [_place(path) for path, _ in jax.tree.leaves_with_path(returned)])
    return _surely(net, model, variables, images, into) if sure else net


class _Ended(Exception):
    """All layers that are wanted have ended; `args` holds the output of the last."""


class _Call:
    """A call of a model with its layers marked; what was traced once is remembered by JAX, under all its settings.

    Attributes:
        learned: the layers that have variables.
        reached: those that ended, in the last call that was traced.
        missing: of those until which it is called, those that did not end.
    """

    def __init__(self, model: nn.Module, marking: Marking, until: frozenset[str]):
        self.learned: set[str] = set()
        self.reached: list[str] = []
        self.missing: set[str] = set()
        self.jitted = jax.jit(self._columns if marking is mark else self._columns_of_each)
        self._model, self._marking, self._until = model, marking, until

    def _begun(self, call: Called) -> None:
        if call.path:
            call.mark_input(f'in:{call.name}', self._marking)

    def _ended(self, call: Called) -> None:
        if call.path:
            call.mark_output(f'out:{call.name}', self._marking)
            if call.module.variables:
                self.learned.add(call.name)
        self.missing.discard(call.name)
        self.reached.append(call.name)
        if self._until and not self.missing:
            raise _Ended(call.first_output)

    def _apply(self, variables: Any, images: Any) -> Any:
        self.reached, self.missing = [], set(self._until)
        try:
            with record(self._ended, begun=self._begun):
                return self._model.apply(variables, images, **evaluating.options(self._model))
        except _Ended as reached:
            return reached.args[0]

    def _columns(self, variables: Any, images: Any) -> Any:
        """What the model returns; numbers for each image as columns."""
        returned = self._apply(variables, images)
        return jax.tree.map(lambda one: one[:, None] if jnp.ndim(one) == 1 else one, returned)

    def _columns_of_each(self, variables: Any, images: Any) -> Any:
        returned = jax.vmap(lambda image: self._apply(variables, image[None]))(images)
        return jax.tree.map(lambda one: one[:, None] if jnp.ndim(one) == 1 else one, returned)


@functools.lru_cache(maxsize=64)
def _call(static: Static, structure: Any, marking: Marking, until: frozenset[str]) -> _Call:
    """One for each model and structure of its variables, which say what is learned."""
    del structure
    return _Call(static.model, marking, until)


def _called(
    model: nn.Module, variables: Any, images: Any, marking: Marking, until: Collection[str] = ()
) -> tuple[Any, Any, set[str]]:
    """The jaxpr of a call with the layers marked, the shapes of what it returns, and the layers that have variables."""
    evaluating.check(model)
    call = _call(Static(model), jax.tree.structure(variables), marking, frozenset(until))
    try:
        traced = call.jitted.trace(variables, images)
    except CnnJaxError:
        raise
    except Exception as error:  # whatever a module of somebody's own raises
        check_shortage(error)
        if call.missing:
            size = 'x'.join(map(str, images.shape[1:3]))
            there = _unknown(min(call.missing), [name for name in call.reached if name])
            raise CnnJaxError(f'{there} (those that images of {size} pixels reach in this net)') from error
        raise CnnJaxError(evaluating.refusal(model, images, error)) from error
    return traced.jaxpr, traced.out_info, call.learned


def _unknown(name: str, known: Collection[str]) -> str:
    """One line for a layer that is not there: the likely ones, and where all of them are shown."""
    near = closest(name, known)
    more = f' and {len(near) - LISTED} more; --mode=describe shows all' if len(near) > LISTED else ''
    return unknown('layer', name, near[:LISTED]) + more


def _place(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator='/')


def _net(program: Program, learned: Collection[str], places: Sequence[str]) -> Net:
    batch = program.types[program.inputs[-1]].shape[0]

    def layer(name: str, read: int | None, number: int) -> Layer:
        shape = program.types[number].shape
        return Layer(name, read, number, shape, name in learned, shape[:1] == (batch,))

    inputs: dict[str, int] = {}
    layers: dict[str, Layer] = {}
    for step in program.steps:
        side, _, name = (mark_of(step) or '').partition(':')
        if side == 'in':
            inputs[name] = step.outputs[0]
        elif side == 'out':
            layers.pop(name, None)  # of two calls the last counts
            layers[name] = layer(name, inputs.get(name), step.outputs[0])
    for one in layers.values():
        if 0 in one.shape[1:]:
            size = program.types[program.inputs[-1]].shape
            raise CnnJaxError(f'images {size} are too small for this net: the output of {one.name} is {one.shape}')
    numbers = [(place, atom) for place, atom in zip(places, program.outputs, strict=True) if isinstance(atom, int)]
    return Net(program, layers, {place: layer(place, None, number) for place, number in numbers})


def _surely(net: Net, model: nn.Module, variables: Any, images: Any, into: Collection[str]) -> Net:
    """The net, with `batched` right where the number of images is the size of several axes."""
    batch, *single = images.shape
    if not any(batch in one.shape[1:] for one in (*net.layers.values(), *net.returned.values()) if one.batched):
        return net
    try:
        other = trace(model, variables, jax.ShapeDtypeStruct((batch + 1, *single), images.dtype), into=into)
    except CnnJaxError:  # it takes this number of images alone
        return net

    def checked(known: dict[str, Layer], others: dict[str, Layer]) -> dict[str, Layer]:
        return {name: one._replace(batched=one.batched and others[name].batched) for name, one in known.items()}

    return net._replace(layers=checked(net.layers, other.layers), returned=checked(net.returned, other.returned))
