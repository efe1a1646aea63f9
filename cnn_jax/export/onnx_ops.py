"""How the steps of a program stand in ONNX: element by element, sums over axes, products, and what moves numbers.

One function for each kind of step, `RULES` by the name of the primitive; convolutions and windows are in
`onnx_windows`. Each refuses what ONNX cannot say.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import lax

from cnn_jax.export.onnx_graph import Graph, Refused, Size, Value, constant, plain, tensor_type


class Job(NamedTuple):
    """A step with its inputs: `shapes` are those of the program, `made` is the shape and dtype of its first output."""

    params: dict[str, Any]
    values: list[Value]
    shapes: list[tuple[Size, ...]]
    made: Any

    @property
    def rank(self) -> int:
        return len(self.made.shape)

    def whole(self, graph: Graph, place: int = 0) -> Value:
        """An input with all its axes at full length."""
        return graph.whole(self.values[place], self.shapes[place])


Rule = Callable[[Graph, Job], Value]


def same(graph: Graph, job: Job) -> Value:
    """The input itself."""
    del graph
    return job.values[0]


# Element by element.


def _aligned(graph: Graph, job: Job) -> tuple[list[Value], Value]:
    """The inputs in one order, that of the first tensor that has one of its own; and what stands for the result."""
    full = [value for value, shape in zip(job.values, job.shapes, strict=True) if len(shape) == job.rank]
    default = tuple(range(job.rank))
    order = next((value.order for value in full if value.array is None and value.order != default), default)
    values = [
        graph.moved(value, order) if len(shape) == job.rank else value
        for value, shape in zip(job.values, job.shapes, strict=True)
    ]
    # An input may have axes of one element beside longer ones of another.
    made = tuple(job.made.shape)
    narrow = all(value.is_narrow or tuple(shape) != made for value, shape in zip(values, job.shapes, strict=True))
    return values, Value('', None, order, narrow)


def _elementwise(kind: str, **attributes: Any) -> Rule:
    def rule(graph: Graph, job: Job) -> Value:
        values, result = _aligned(graph, job)
        return result._replace(name=graph.node(kind, [graph.tensor(value) for value in values], **attributes))

    return rule


def _chain(*kinds: str) -> Rule:
    """Several operations of one input, one after another."""

    def rule(graph: Graph, job: Job) -> Value:
        value = job.values[0]
        name = graph.tensor(value)
        for kind in kinds:
            name = graph.node(kind, [name])
        return value._replace(name=name, array=None)

    return rule


def _maximum(graph: Graph, job: Job) -> Value:
    for zero, other in ((0, 1), (1, 0)):
        array = job.values[zero].array
        if array is not None and not array.any() and len(job.shapes[other]) == job.rank:
            value = job.values[other]
            return value._replace(name=graph.node('Relu', [graph.tensor(value)]), array=None)
    return _elementwise('Max')(graph, job)


def _minus(graph: Graph, job: Job) -> Value:
    """A difference; of a constant, as a sum, which what runs the graph joins with a convolution before it."""
    array = job.values[1].array
    if array is not None and np.issubdtype(array.dtype, np.floating):
        return _elementwise('Add')(graph, job._replace(values=[job.values[0], job.values[1]._replace(array=-array)]))
    return _elementwise('Sub')(graph, job)


def _integer_power(graph: Graph, job: Job) -> Value:
    exponent = constant(np.asarray(job.params['y'], job.made.dtype))
    return _elementwise('Pow')(graph, job._replace(values=[job.values[0], exponent], shapes=[job.shapes[0], ()]))


def _square(graph: Graph, job: Job) -> Value:
    return _elementwise('Mul')(graph, job._replace(values=job.values * 2, shapes=job.shapes * 2))


def _finite(graph: Graph, job: Job) -> Value:
    """Less than infinity, whatever the sign, which no NaN is."""
    infinity = constant(np.asarray(np.inf, np.float32))
    return _elementwise('Less')(
        graph, job._replace(values=[_chain('Abs')(graph, job), infinity], shapes=[*job.shapes, ()])
    )


def _round(graph: Graph, job: Job) -> Value:
    if job.params['rounding_method'] != lax.RoundingMethod.TO_NEAREST_EVEN:
        raise Refused('halves away from zero')
    return _chain('Round')(graph, job)


def _one(graph: Graph, job: Job) -> str:
    return graph.of_array(np.ones((), job.made.dtype))


def _one_minus_error(graph: Graph, job: Job) -> Value:
    value = job.values[0]
    error = graph.node('Erf', [graph.tensor(value)])
    return value._replace(name=graph.node('Sub', [_one(graph, job), error]), array=None)


def _minus_one(graph: Graph, job: Job) -> Value:
    """exp(x) - 1; of small x it has the digits of a number near 1, which is as exact as a probability needs."""
    value = job.values[0]
    power = graph.node('Exp', [graph.tensor(value)])
    return value._replace(name=graph.node('Sub', [power, _one(graph, job)]), array=None)


def _of_one_more(graph: Graph, job: Job) -> Value:
    """log(1 + x), exact like `_minus_one`."""
    value = job.values[0]
    more = graph.node('Add', [graph.tensor(value), _one(graph, job)])
    return value._replace(name=graph.node('Log', [more]), array=None)


def _select(graph: Graph, job: Job) -> Value:
    if len(job.values) != 3:
        raise Refused(f'a choice among {len(job.values) - 1}')
    which, otherwise, wanted = ((job.values[place], job.shapes[place]) for place in range(3))
    cases = [which, wanted, otherwise]
    turned = job._replace(values=[value for value, _ in cases], shapes=[shape for _, shape in cases])
    return _elementwise('Where')(graph, turned)


def _clamp(graph: Graph, job: Job) -> Value:
    least, value, most = range(3)
    shapes = job.shapes

    def two(kind: str, values: list[Value], places: Sequence[int]) -> Value:
        return _elementwise(kind)(graph, job._replace(values=values, shapes=[shapes[place] for place in places]))

    raised = two('Max', [job.values[value], job.values[least]], (value, least))
    return two('Min', [raised, job.values[most]], (value, most))


def _convert(graph: Graph, job: Job) -> Value:
    if np.dtype(job.made.dtype).name == 'bfloat16':
        raise Refused('bfloat16')
    value = job.values[0]
    kind = tensor_type(job.made.dtype)
    return value._replace(name=graph.node('Cast', [graph.tensor(value)], to=kind), array=None)


# Sums over axes.


def _without(order: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """An order of axes when some are gone, with the others numbered anew."""
    left = [axis for axis in order if axis not in axes]
    return tuple(sorted(left).index(axis) for axis in left)


def _reduce(kind: str) -> Rule:
    def rule(graph: Graph, job: Job) -> Value:
        value, axes = job.whole(graph), job.params['axes']
        places = graph.numbers([value.order.index(axis) for axis in axes])
        name = graph.node(kind, [graph.tensor(value), places], keepdims=0)
        return Value(name, None, _without(value.order, axes))

    return rule


def _all(graph: Graph, job: Job) -> Value:
    """Whether all are true: ONNX reduces numbers."""
    number = job.whole(graph)
    number = number._replace(name=graph.node('Cast', [graph.tensor(number)], to=tensor_type(np.int32)), array=None)
    least = _reduce('ReduceMin')(graph, job._replace(values=[number]))
    return least._replace(name=graph.node('Cast', [graph.tensor(least)], to=tensor_type(np.bool_)))


def _first_largest(kind: str) -> Rule:
    def rule(graph: Graph, job: Job) -> Value:
        value, axes = job.whole(graph), job.params['axes']
        found = graph.node(kind, [graph.tensor(value)], axis=value.order.index(axes[0]), keepdims=0)
        to = tensor_type(job.made.dtype)
        return Value(graph.node('Cast', [found], to=to), None, _without(value.order, axes))

    return rule


def _highest(graph: Graph, job: Job) -> list[Value]:
    """The highest numbers along an axis, falling, and where they are; of equal ones the first, as XLA has it."""
    value = job.whole(graph)
    axis, count = value.order.index(job.params['axis']), job.params['k']
    values, places = graph.several('TopK', [graph.tensor(value), graph.numbers([count])], 2, axis=axis)
    places = graph.node('Cast', [places], to=tensor_type(np.int32))
    return [Value(name, None, value.order) for name in (values, places)]


# Products.


def _product(graph: Graph, job: Job) -> Value:
    (contracted, batched), letters = job.params['dimension_numbers'], iter('abcdefghijklmnopqrstuvwxyz')
    ranks = [len(shape) for shape in job.shapes]
    names = [graph.ordered(value, shape) for value, shape in zip(job.values, job.shapes, strict=True)]
    if ranks == [2, 2] and contracted == ((1,), (0,)):
        return plain(graph.node('MatMul', names), 2)
    words = [[''] * rank for rank in ranks]
    for pairs in (batched, contracted):
        for left, right in zip(*pairs, strict=True):
            words[0][left] = words[1][right] = next(letters)
    for word in words:
        word[:] = [letter or next(letters) for letter in word]
    kept = [words[0][axis] for axis in batched[0]]
    for side in (0, 1):
        gone = {*contracted[side], *batched[side]}
        kept += [letter for axis, letter in enumerate(words[side]) if axis not in gone]
    equation = f'{"".join(words[0])},{"".join(words[1])}->{"".join(kept)}'
    return plain(graph.node('Einsum', names, equation=equation), len(kept))


RULES: dict[str, Rule] = {
    **dict.fromkeys(('name', 'stop_gradient', 'copy', 'copy_p', 'optimization_barrier', 'reduce_precision'), same),
    'add': _elementwise('Add'),
    'add_any': _elementwise('Add'),
    'sub': _minus,
    'mul': _elementwise('Mul'),
    'div': _elementwise('Div'),
    'rem': _elementwise('Mod', fmod=1),  # its sign is that of the first, in XLA too
    'max': _maximum,
    'min': _elementwise('Min'),
    'pow': _elementwise('Pow'),
    'integer_pow': _integer_power,
    'square': _square,
    'is_finite': _finite,
    'abs': _chain('Abs'),
    'neg': _chain('Neg'),
    'sign': _chain('Sign'),
    'exp': _chain('Exp'),
    'log': _chain('Log'),
    'sqrt': _chain('Sqrt'),
    'rsqrt': _chain('Sqrt', 'Reciprocal'),
    'tanh': _chain('Tanh'),
    'logistic': _chain('Sigmoid'),
    'sin': _chain('Sin'),
    'cos': _chain('Cos'),
    'erf': _chain('Erf'),
    'erfc': _one_minus_error,
    'expm1': _minus_one,
    'log1p': _of_one_more,
    'floor': _chain('Floor'),
    'ceil': _chain('Ceil'),
    'round': _round,
    'eq': _elementwise('Equal'),
    'ne': lambda graph, job: _chain('Not')(graph, job._replace(values=[_elementwise('Equal')(graph, job)])),
    'lt': _elementwise('Less'),
    'le': _elementwise('LessOrEqual'),
    'gt': _elementwise('Greater'),
    'ge': _elementwise('GreaterOrEqual'),
    'and': _elementwise('And'),
    'or': _elementwise('Or'),
    'not': _chain('Not'),
    'select_n': _select,
    'clamp': _clamp,
    'convert_element_type': _convert,
    'reduce_sum': _reduce('ReduceSum'),
    'reduce_max': _reduce('ReduceMax'),
    'reduce_min': _reduce('ReduceMin'),
    'reduce_prod': _reduce('ReduceProd'),
    'reduce_and': _all,
    'argmax': _first_largest('ArgMax'),
    'argmin': _first_largest('ArgMin'),
    'dot_general': _product,
}
OF_SEVERAL: dict[str, Callable[[Graph, Job], list[Value]]] = {'top_k': _highest}  # that have several outputs
