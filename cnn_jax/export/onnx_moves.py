"""The steps of a program that move numbers, in ONNX: other shapes and orders of axes, parts, edges, repetitions."""

import numpy as np

from cnn_jax.export.onnx_graph import Graph, Refused, Value, constant, plain, tensor_type
from cnn_jax.export.onnx_ops import Job, Rule


def _reshape(graph: Graph, job: Job) -> Value:
    if job.params.get('dimensions') is not None:
        raise Refused('an order of its own')
    shape = job.made.shape
    named = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
    name = graph.ordered(job.values[0], job.shapes[0])
    sizes = graph.numbers([-1 if axis in named else size for axis, size in enumerate(shape)])
    return plain(graph.node('Reshape', [name, sizes if len(named) < 2 else graph.shape(shape)]), job.rank)


def _squeeze(graph: Graph, job: Job) -> Value:
    return _dropped(graph, job.whole(graph), job.params['dimensions'])


def _dropped(graph: Graph, value: Value, gone: tuple[int, ...]) -> Value:
    """A whole value without axes of length 1."""
    if not gone:
        return value
    name = graph.node('Squeeze', [graph.tensor(value), graph.numbers([value.order.index(axis) for axis in gone])])
    left = [axis for axis in value.order if axis not in gone]
    return Value(name, None, tuple(sorted(left).index(axis) for axis in left))


def _transpose(graph: Graph, job: Job) -> Value:
    """Nothing moves: the axes have other numbers from here on."""
    del graph
    value, permutation = job.values[0], job.params['permutation']
    return value._replace(order=tuple(permutation.index(axis) for axis in value.order))


def _broadcast(graph: Graph, job: Job) -> Value:
    """New axes of one element each, which stand for longer ones until something needs them long."""
    places, shape, value = job.params['broadcast_dimensions'], job.made.shape, job.values[0]
    new = [axis for axis in range(job.rank) if axis not in places]
    grows = any(shape[place] != size for place, size in zip(places, job.shapes[0], strict=True))
    narrow = value.is_narrow or grows or any(shape[axis] != 1 for axis in new)
    if value.array is not None:
        ordered = graph.moved(value, tuple(range(len(places)))).array
        return constant(np.expand_dims(ordered if ordered is not None else value.array, new), is_narrow=narrow)
    if not new:
        return value._replace(is_narrow=narrow)
    ordered = graph.moved(value, tuple(range(len(places))))
    name = graph.node('Unsqueeze', [ordered.name, graph.numbers(new)])
    return plain(name, job.rank, is_narrow=narrow)


def _concatenate(graph: Graph, job: Job) -> Value:
    values = [job.whole(graph, place) for place in range(len(job.values))]
    order = next((value.order for value in values if value.array is None), values[0].order)
    names = [graph.tensor(graph.moved(value, order)) for value in values]
    return Value(graph.node('Concat', names, axis=order.index(job.params['dimension'])), None, order)


def _stack(graph: Graph, job: Job) -> Value:
    axis = job.params['axis']
    names = [graph.ordered(*pair) for pair in zip(job.values, job.shapes, strict=True)]
    longer = [graph.node('Unsqueeze', [name, graph.numbers([axis])]) for name in names]
    return plain(graph.node('Concat', longer, axis=axis), job.rank)


def cut(graph: Graph, value: Value, parts: dict[int, tuple[int, int, int]]) -> Value:
    """Parts of a whole value; parts: (first, end, step) of axes of the program, the end excluded."""
    if not parts:
        return value
    starts, ends, steps = zip(*parts.values(), strict=True)
    axes = [value.order.index(axis) for axis in parts]
    inputs = [graph.numbers(numbers) for numbers in (starts, ends, axes, steps)]
    return Value(graph.node('Slice', [graph.tensor(value), *inputs]), None, value.order)


def _slice(graph: Graph, job: Job) -> Value:
    starts, ends = job.params['start_indices'], job.params['limit_indices']
    steps, parts = job.params['strides'] or (1,) * job.rank, {}
    for axis, size in enumerate(job.shapes[0]):
        if (starts[axis], steps[axis]) == (0, 1) and ends[axis] == size:
            continue
        if not all(isinstance(number, int | np.integer) for number in (starts[axis], ends[axis], steps[axis])):
            raise Refused('a part of the batch')
        parts[axis] = starts[axis], ends[axis], steps[axis]
    return cut(graph, job.whole(graph), parts)


def _reverse(graph: Graph, job: Job) -> Value:
    least = np.iinfo(np.int64).min
    return cut(graph, job.whole(graph), dict.fromkeys(job.params['dimensions'], (-1, least, -1)))


def _dynamic_slice(graph: Graph, job: Job) -> Value:
    sizes, parts = job.params['slice_sizes'], {}
    for axis, size in enumerate(job.shapes[0]):
        if sizes[axis] == size:
            continue
        array = job.values[1 + axis].array
        if array is None or not isinstance(size, int):
            raise Refused('a place that depends on the images')
        start = min(max(int(array), 0), size - sizes[axis])
        parts[axis] = start, start + sizes[axis], 1
    return cut(graph, job.whole(graph), parts)


def _gather(graph: Graph, job: Job) -> Value:
    """Every so many-th row and column: what jax makes of `images[:, a:b, ::2]` where the batch is only a name."""
    numbers, indices, sizes = job.params['dimension_numbers'], job.values[1].array, job.params['slice_sizes']
    axes = numbers.start_index_map
    if indices is None or numbers.operand_batching_dims:
        return _taken(graph, job)
    if indices.ndim == 1:  # one block
        parts = {axis: (int(start), int(start) + sizes[axis], 1) for axis, start in zip(axes, indices, strict=True)}
        return _dropped(graph, cut(graph, job.whole(graph), parts), numbers.collapsed_slice_dims)
    new = tuple(axis for axis in range(job.rank) if axis not in numbers.offset_dims)
    if new != axes or axes != numbers.collapsed_slice_dims or indices.ndim != len(axes) + 1:
        raise Refused('places that are no rows and columns')
    value = job.whole(graph)
    for place, axis in enumerate(axes):
        along = np.moveaxis(indices[..., place], place, 0).reshape(indices.shape[place], -1)
        if (along != along[:, :1]).any():
            raise Refused('places that are no rows and columns')
        value = _rows(graph, value, axis, along[:, 0])
    return value


def _taken(graph: Graph, job: Job) -> Value:
    """Places of one axis that depend on the images, for each index of the axes before it: `jnp.take_along_axis`.

    A place outside is an error of the runtime.
    """
    numbers, sizes, shape = job.params['dimension_numbers'], job.params['slice_sizes'], job.shapes[0]
    axes, before = numbers.start_index_map, tuple(numbers.operand_batching_dims)
    kept = len(job.shapes[1]) - 1  # of the axes of the result, those of the indices
    if (
        before != tuple(range(len(before)))
        or before != tuple(numbers.start_indices_batching_dims)
        or not axes == numbers.collapsed_slice_dims == (len(before),)
        or tuple(sizes[axes[0] + 1 :]) != tuple(shape[axes[0] + 1 :])
        or tuple(numbers.offset_dims) != tuple(range(kept, job.rank))
    ):
        raise Refused('places that depend on the images, not along one axis')
    values = graph.ordered(job.values[0], shape)
    places = graph.node('Cast', [graph.ordered(job.values[1], job.shapes[1])], to=tensor_type(np.int64))
    return plain(graph.node('GatherND', [values, places], batch_dims=len(before)), job.rank)


def _rows(graph: Graph, value: Value, axis: int, rows: np.ndarray) -> Value:
    """Some rows of an axis, in equal steps or as they come."""
    step = int(rows[1] - rows[0]) if len(rows) > 1 else 1
    if step > 0 and (np.diff(rows) == step).all():
        return cut(graph, value, {axis: (int(rows[0]), int(rows[-1]) + 1, step)})
    place = value.order.index(axis)
    return Value(
        graph.node('Gather', [graph.tensor(value), graph.numbers(rows.tolist())], axis=place), None, value.order
    )


def _pad(graph: Graph, job: Job) -> Value:
    pads, filling = job.params['padding_config'], job.values[1].array
    if any(inside for _, _, inside in pads):
        raise Refused('padding between the pixels')
    value = job.whole(graph)
    if not any(before or after for before, after, _ in pads):
        return value
    if filling is None:
        raise Refused('padding with what depends on the images')
    amounts = [pads[axis][side] for side in (0, 1) for axis in value.order]
    inputs = [graph.tensor(value), graph.numbers(amounts), graph.of_array(filling)]
    return Value(graph.node('Pad', inputs), None, value.order)


def _length(graph: Graph, job: Job) -> Value:
    """The length of an axis as a number."""
    number = graph.node('Cast', [graph.shape([job.params['dim']])], to=tensor_type(job.made.dtype))
    return plain(graph.node('Squeeze', [number]), 0)


RULES: dict[str, Rule] = {
    'reshape': _reshape,
    'squeeze': _squeeze,
    'transpose': _transpose,
    'broadcast_in_dim': _broadcast,
    'concatenate': _concatenate,
    'stack': _stack,
    'slice': _slice,
    'rev': _reverse,
    'dynamic_slice': _dynamic_slice,
    'gather': _gather,
    'pad': _pad,
    'dim_as_value': _length,
}
