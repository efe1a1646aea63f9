"""Convolutions and pools in ONNX, which has them on (batch, channels, height, width) alone."""

import math

import numpy as np

from cnn_jax.export.onnx_graph import Graph, Refused, Value
from cnn_jax.export.onnx_ops import Job, Rule


def _convolution(graph: Graph, job: Job) -> Value:
    layout, groups = job.params['dimension_numbers'], job.params['feature_group_count']
    if job.params['batch_group_count'] != 1:
        raise Refused('groups of the batch')
    given = graph.moved(job.whole(graph), tuple(layout.lhs_spec))
    kernel = graph.moved(job.whole(graph, 1), tuple(layout.rhs_spec))  # (out, in / groups, height, width)
    order = tuple(layout.out_spec)
    if set(job.params['lhs_dilation']) != {1}:
        return Value(_transposed(graph, job, given, kernel), None, order)
    name = graph.node(
        'Conv',
        [graph.tensor(given), graph.tensor(kernel)],
        strides=_whole_numbers(job.params['window_strides']),
        dilations=_whole_numbers(job.params['rhs_dilation']),
        pads=_pads(job.params['padding']),
        group=groups,
    )
    return Value(name, None, order)


def _transposed(graph: Graph, job: Job, given: Value, kernel: Value) -> str:
    """A convolution of stretched images, which ONNX calls ConvTranspose; its kernel is turned, in before out."""
    groups, dilations = job.params['feature_group_count'], job.params['rhs_dilation']
    if kernel.array is None or set(job.params['window_strides']) != {1}:
        raise Refused('stretched images with a stride, or a kernel that depends on the images')
    array = np.flip(kernel.array, tuple(range(2, kernel.array.ndim)))
    out, into, *window = array.shape
    array = array.reshape(groups, out // groups, into, *window).swapaxes(1, 2).reshape(-1, out // groups, *window)
    reach = [dilation * (size - 1) for dilation, size in zip(dilations, window, strict=True)]
    crops = [(full - before, full - after) for full, (before, after) in zip(reach, job.params['padding'], strict=True)]
    if any(before < 0 for before, _ in crops):
        raise Refused('stretched images with wider edges than their kernel sees')
    return graph.node(
        'ConvTranspose',
        [graph.tensor(given), graph.of_array(array)],
        strides=_whole_numbers(job.params['lhs_dilation']),
        dilations=_whole_numbers(dilations),
        pads=_pads([(before, max(0, after)) for before, after in crops]),
        output_padding=[int(max(0, -after)) for _, after in crops],
        group=groups,
    )


def _pool(graph: Graph, job: Job) -> tuple[Value, dict[str, list[int]]]:
    """The images as a pool takes them, and its attributes."""
    window, strides = job.params['window_dimensions'], job.params['window_strides']
    still = [
        axis
        for axis in range(job.rank)
        if (window[axis], strides[axis]) == (1, 1) and tuple(job.params['padding'][axis]) == (0, 0)
    ]
    if job.rank != 4 or len(still) < 2 or set(job.params['base_dilation']) != {1}:
        raise Refused('a window that is not of height and width')
    value = job.whole(graph)
    moving = [axis for axis in range(4) if axis not in still]
    spatial = sorted([*moving, *still[2:]])
    order = (still[0], next(axis for axis in reversed(still) if axis not in spatial), *spatial)
    attributes = {
        'kernel_shape': _whole_numbers([window[axis] for axis in spatial]),
        'strides': _whole_numbers([strides[axis] for axis in spatial]),
        'pads': _pads([job.params['padding'][axis] for axis in spatial]),
        'dilations': _whole_numbers([job.params['window_dilation'][axis] for axis in spatial]),
    }
    return graph.moved(value, order), attributes


def _largest(graph: Graph, job: Job) -> Value:
    value, attributes = _pool(graph, job)
    return Value(graph.node('MaxPool', [graph.tensor(value)], **attributes), None, value.order)


def _sum(graph: Graph, job: Job) -> Value:
    """A mean of each window, of what was padded too, times what it counts."""
    value, attributes = _pool(graph, job)
    if set(attributes.pop('dilations')) != {1}:
        raise Refused('a sum over a window with holes')
    means = graph.node('AveragePool', [graph.tensor(value)], count_include_pad=1, **attributes)
    count = graph.of_array(np.asarray(math.prod(attributes['kernel_shape']), job.made.dtype))
    return Value(graph.node('Mul', [means, count]), None, value.order)


def _whole_numbers(values: object) -> list[int]:
    return [int(value) for value in values]  # pyright: ignore[reportGeneralTypeIssues]


def _pads(pads: object) -> list[int]:
    """First those before each axis, then those after; Refused where they cut instead."""
    pairs = [(int(before), int(after)) for before, after in pads]  # pyright: ignore[reportGeneralTypeIssues]
    if min(min(pair) for pair in pairs) < 0:
        raise Refused('edges that are cut off')
    return [pair[side] for side in (0, 1) for pair in pairs]


RULES: dict[str, Rule] = {
    'conv_general_dilated': _convolution,
    'reduce_window_max': _largest,
    'reduce_window_sum': _sum,
}
