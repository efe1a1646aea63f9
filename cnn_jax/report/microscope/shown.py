"""Which layers and which images the microscope shows, and what a net is asked of each image."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnn_jax import describe
from cnn_jax.describe import Layer
from cnn_jax.report.microscope import units
from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.findings import worst_confusion
from cnn_jax.report.microscope.judged import Judged
from cnn_jax.report.microscope.maps import MOST_SIDE
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine.examples import Examples

MOST_CHOSEN, FEWEST_CHOSEN = 40, 4  # images whose maps are kept
MAP_BYTES = 4 << 20  # of all maps that are kept
BLOCK = 2  # levels of modules below one that is opened: a net within the net is, a block of convolutions is not


class Asked(NamedTuple):
    """A run whose net takes images alone.

    Attributes:
        run: the same; of a task that is asked something, with a net that is asked one question of each image.
        question: in words; '' where nothing is asked.
        class_names: of the data, in words; of such a task the choices.
    """

    run: Run
    question: str
    class_names: Sequence[str]


def asked(run: Run, examples: Examples, class_names: Sequence[str]) -> Asked:
    """The run with the question of the first image, where its task is asked something."""
    if not run.task.is_asked:
        return Asked(run, '', class_names)
    row = examples.source[int(examples.rows[0] if examples.rows is not None else 0)]
    told = run.task.told(row, class_names)[0]
    put = run.task.put(run.model, {name: row[name][:1] for name in run.task.model_inputs})
    return Asked(dataclasses.replace(run, model=put), told.about, tuple(told.choices))


def shown_layers(run: Run, examples: Examples) -> list[Layer]:
    """The layers that give maps or vectors for each image; of two calls the last.

    Those that the model calls itself; of a net within the net, such as a detector's trunk, its own instead.
    """
    first = examples.source[0]['image'][None]
    net = scores.net_of(run.model, run.variables, examples.inputs(first))
    table = list(describe.layer_table(run.model, run.input_shape, variables=run.variables))
    outside = max((layer.depth for layer in table if not layer.name), default=0)  # a net that is asked is in another
    first_level = {layer.name for layer in table if layer.depth == outside + 1}
    opened = {name for name in first_level if is_net([one.name for one in table], name)}
    found = {}
    for layer in table:
        known, (owner, _, inner) = net.layers.get(layer.name), layer.name.rpartition('/')
        if known is None or layer.kind == 'Dropout':  # which passes on what it reads
            continue
        if layer.name in opened or (layer.name not in first_level and owner not in opened):
            continue
        if known.batched and len(known.shape) in (2, 4) and inner:
            found[layer.name] = layer
    return list(found.values())


def is_net(names: Sequence[str], layer: str) -> bool:
    """Whether at least half of the modules in a layer are blocks, which have modules with modules of their own."""
    inside = {name[len(layer) + 1 :] for name in names if name.startswith(f'{layer}/')}
    children = {name for name in inside if '/' not in name}
    blocks = {name.split('/')[0] for name in inside if name.count('/') >= BLOCK}
    return bool(blocks) and 2 * len(blocks) >= len(children)


def map_shape(layer: Layer) -> tuple[int, int, int]:
    """Of the maps of a layer, (height, width, channels); a vector is maps of one place."""
    shape = layer.output_shape
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, 1, shape[-1])


def chosen_images(watched: Watched, judged: Judged, shapes: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """The places of the images whose maps are kept: half of them mistakes if there are, the rest of all groups.

    Where an answer is not right or wrong, the hardest stand for the mistakes.

    shapes: of the maps of each layer.
    """
    bytes_of_one = sum(kept_bytes(shape) for shape in shapes)
    most = min(max(MAP_BYTES // max(1, bytes_of_one), FEWEST_CHOSEN), MOST_CHOSEN, len(watched.rows))
    worst = judged.worst.tolist()
    if judged.right is None:
        worst = worst[: most // 2]
    elif judged.of_one_class:
        confused = worst_confusion(watched, len(judged.classes))
        worst = ([] if confused is None else [confused[2]]) + worst  # a finding leads to it
    elif judged.losses is not None:
        losses = np.nan_to_num(judged.losses, nan=np.inf)
        worst.sort(key=lambda place: -losses[place])
    mistakes = most - min(len(watched.rows) - len(set(worst)), most - most // 2)
    wrong = np.array(list(dict.fromkeys(worst)), int)[:mistakes]
    left = np.setdiff1d(np.arange(len(watched.rows)), worst)
    turns = np.zeros(len(watched.rows), int)  # the how manieth of its group an image is
    for label in np.unique(watched.labels):
        turns[watched.labels == label] = np.arange(int((watched.labels == label).sum()))
    others = left[np.lexsort((watched.labels[left], turns[left]))][: most - len(wrong)]
    return np.sort(np.concatenate([wrong, others])).astype(int)


def kept_bytes(shape: tuple[int, int, int]) -> int:
    """Of the maps of an image that are kept of a layer."""
    height, width, channels = shape
    return min(height, MOST_SIDE) * min(width, MOST_SIDE) * min(channels, units.MOST_UNITS)
