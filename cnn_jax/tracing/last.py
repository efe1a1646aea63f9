"""The last layer that has maps, and what the last layer reads: found in the program, on the way to the scores."""

from collections.abc import Collection, Sequence
from math import prod

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import program as programs
from cnn_jax.tracing.layers import Layer, Net
from cnn_jax.tracing.program import Program, Step
from cnn_jax.tracing.record import mark_of

_PRODUCTS = ('conv_general_dilated', 'dot_general')
_MOVES = ('broadcast_in_dim', 'convert_element_type', 'copy', 'name', 'pvary', 'reshape', 'squeeze', 'transpose')


def last_map(net: Net) -> str:
    """The last layer that makes maps: with variables, larger than 1x1; a block rather than what is inside it.

    Of a net with a trunk it is the last in that; of another that answers with maps the last of the coarsest: the answer
    itself explains nothing.

    Raises: CnnJaxError if there is none, or if all run on several views of an image.
    """
    used = _used(net)
    maps = [one for one in net.layers.values() if _has_maps(one) and one.output in used]
    learned = [one for one in maps if one.learned] or maps
    own = [one for one in learned if one.batched]
    if learned and not own:
        net.output(learned[-1].name)  # which says why not
    if not own:
        raise CnnJaxError('the model has no layer with maps (batch, height, width, channels) larger than 1x1')
    in_trunk = [one for one in own if 'trunk' in one.name.split('/')[:-1]]
    if in_trunk or any(_has_maps(one) for one in net.returned.values()):
        own = in_trunk or _coarsest(own)
    return [one for one in own if not any(one.name.startswith(f'{other.name}/') for other in own)][-1].name


def _coarsest(maps: Sequence[Layer]) -> Sequence[Layer]:
    """The layers with the fewest places."""
    fewest = min(prod(one.shape[1:3]) for one in maps)
    return [one for one in maps if prod(one.shape[1:3]) == fewest]


def _has_maps(layer: Layer) -> bool:
    return len(layer.shape) == 4 and max(layer.shape[1:3]) > 1


def _used(net: Net) -> set[int]:
    """The arrays that what the model returns needs."""
    steps = programs.prune(net.program, [one.output for one in net.returned.values()]).steps
    return {number for step in steps for number in step.outputs}


def last_hidden(net: Net) -> tuple[str, int]:
    """What the last product of the image with variables reads: its description and its number in the program.

    The last dense layer or convolution on the way to the scores is that product, whatever module it stands in.

    Raises: CnnJaxError if there is none, or if it runs on several views of an image.
    """
    program = programs.prune(net.program, [net.output(None)])
    found = _last_product(program, [net.images], program.inputs[:-1])
    if found is None:
        raise CnnJaxError('the scores are no product of variables and what the image makes; give --layer')
    step, operand = found
    name = _around(net, step)
    said = f'input of {name}' if name else 'input of the last product'
    shape = net.program.types[operand].shape
    batched = shape[:1] == net.program.types[net.images].shape[:1]
    layer = Layer(said, None, operand, shape, False, batched)
    return said, net._replace(layers={said: layer}).output(said)


def _last_product(program: Program, images: Collection[int], variables: Collection[int]) -> tuple[Step, int] | None:
    """The last step that is a product of variables with what depends on the images, and the array of these it reads."""
    dependent = programs.depends(program, [*images])
    learned = programs.depends(program, [*variables]) - dependent
    for step in reversed(program.steps):
        mine = [atom for atom in step.inputs if isinstance(atom, int) and atom in dependent]
        if mine and learned.intersection(atom for atom in step.inputs if isinstance(atom, int)):
            operand = _operand(program, step, mine, dependent, learned)
            if operand is not None:
                return step, _source(program, operand)
    return None


def _operand(program: Program, step: Step, mine: list[int], dependent: set[int], learned: set[int]) -> int | None:
    """What a step multiplies with variables; None: it is no such product."""
    if step.kind in _PRODUCTS:
        return mine[0]
    if step.kind in ('mul', 'sub'):
        return mine[0] if _meets_all(program, step, mine[0]) else None
    for inside in programs.inner(step):
        atoms = step.inputs[len(step.inputs) - len(inside.inputs) :]
        given = list(zip(inside.inputs, atoms, strict=True))
        images, variables = ([n for n, atom in given if atom in known] for known in (dependent, learned))
        found = _last_product(inside, images, variables) if images else None
        if found:
            needed = {atom for one in programs.prune(inside, [found[1]]).steps for atom in one.inputs} | {found[1]}
            return next((atom for n, atom in given if n in images and n in needed and isinstance(atom, int)), mine[0])
    return None


def _meets_all(program: Program, step: Step, operand: int) -> bool:
    """Whether each image meets several rows of variables, as in a distance to centres, or in a product that is written
    as a sum; the gains of a norm meet each number once."""
    larger = prod(program.types[_source(program, operand)].shape) < prod(program.types[step.outputs[0]].shape)
    summed = any(one.kind == 'reduce_sum' and one.inputs[0] == step.outputs[0] for one in program.steps)
    return larger and (step.kind == 'sub' or summed)


def _source(program: Program, number: int) -> int:
    """The array that another one only shows in another shape, order or dtype."""
    makers = programs.makers(program)
    while number in makers and makers[number].kind in _MOVES:
        read = makers[number].inputs[0]
        if not isinstance(read, int):
            break
        number = read
    return number


def _around(net: Net, wanted: Step) -> str | None:
    """The innermost layer that a step is in."""
    around: list[str] = []
    for step in net.program.steps:
        side, _, name = (mark_of(step) or '').partition(':')
        if side == 'in':
            around.append(name)
        elif side == 'out' and name in around:
            around.remove(name)
        if step.outputs == wanted.outputs:
            break
    return around[-1] if around else None
