"""What of an image counted for an answer: maps of several methods, each beside that of a net with shuffled weights."""

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope import covering
from cnn_jax.report.microscope.activity import Watched, averaged, factor_to, has_scores
from cnn_jax.report.microscope.judged import Judged
from cnn_jax.report.microscope.scripts import pack, rounded
from cnn_jax.report.microscope.targets import MOST_TARGETS, Target, of_images
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine import pictures
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.shuffling import shuffled
from cnn_jax.visualize.engine.windows import make_windows
from cnn_jax.visualize.honesty import rank_correlation

METHODS = ('gradient', 'guided_backprop', 'grad_cam')  # and occlusion, which is computed here
MOST_MACS = 4e12
MOST_SIDE = 32  # pixels of a kept map; larger ones are averaged
SEED = 0  # of the shuffled weights


def about_maps(
    run: Run,
    examples: Examples,
    watched: Watched,
    judged: Judged,
    chosen: np.ndarray,
    class_names: Sequence[str],
    macs: int,
    told: Callable[[str], None],
    *,
    most: int,
) -> dict[str, Any]:
    """The values of `maps.js`.

    `rows` of the images; of each its `targets`, numbers, and their `words`; `methods` by name: of each `maps` and
    `twins`, [image][target] packed arrays, and `correlation`, Spearman's of the magnitudes of both, or `left_out`, the
    reason. `windows`: the size and the stride; `values` [image][target], the score whole and with each window covered,
    and `covered` [image][window], [class, probability] of the likeliest, empty where scores are of no classes. Of a net
    without scores `left_out`: the reason.

    Args:
        run: the net.
        examples: the images.
        watched: what the net says of them.
        judged: what is right of them.
        chosen: the places of those whose maps are kept elsewhere.
        class_names: of the data; of a task that is asked, the choices.
        macs: of one image.
        told: hears of the methods.
        most: images, at most.
    """
    first = examples.inputs(examples.source[int(watched.rows[0])]['image'][None])
    if not has_scores(scores.net_of(run.model, run.variables, first)):
        return {'left_out': 'no array that the net returns is its scores, so that there is no number to explain'}
    windows = make_windows(run.input_shape[:2], None, None)
    of_one = 2 * macs * (int(np.prod(windows.counts)) + 9 * MOST_TARGETS)
    places = _spread(chosen, judged, max(1, min(most, int(MOST_MACS / max(1, of_one)))))
    images = np.concatenate(
        [np.asarray(examples.inputs(part))[: len(part)] for _, part, _ in examples.only(watched.rows[places]).batches()]
    )
    targets = of_images(run, images, watched.outputs[places], judged.shows[places], judged, class_names)
    nets = (run.variables, shuffled(run.variables, None, SEED))
    told('covered images')
    cover = functools.partial(covering.covered, windows=windows, num_classes=len(judged.classes))
    own, twins = ([cover(run, net, *one) for one in zip(images, targets, strict=True)] for net in nets)
    methods: dict[str, Any] = {}
    for name in METHODS:
        told(name)
        try:
            methods[name] = _packed(*(_attributed(run, name, net, images, targets) for net in nets))
        except CnnJaxError as error:  # no ReLU, no maps
            methods[name] = {'left_out': str(error)}
    methods['occlusion'] = _packed(*([covering.drops(one.values, windows) for one in each] for each in (own, twins)))
    return {
        'rows': watched.rows[places].tolist(),
        'targets': [[one.number for one in each] for each in targets],
        'words': [[one.words for one in each] for each in targets],
        'methods': methods,
        'windows': {'size': list(windows.size), 'stride': list(windows.stride), 'counts': list(windows.counts)},
        'values': [rounded(one.values, 3) for one in own],
        'covered': [one.likeliest for one in own],
    }


def _spread(chosen: np.ndarray, judged: Judged, most: int) -> np.ndarray:
    """Some of the chosen images, mistakes and right ones in turn; where that is not known the hardest and others."""
    wrong = np.zeros(len(judged.shows), bool)
    wrong[judged.worst if judged.right is not None else [one for one in judged.worst if one in chosen][:most]] = True
    right = ~wrong[chosen]
    turns = np.empty(len(chosen), int)
    turns[right], turns[~right] = np.arange(right.sum()), np.arange((~right).sum())
    return np.sort(chosen[np.argsort(turns, kind='stable')][:most])


def _attributed(
    run: Run, method: str, variables: Any, images: np.ndarray, targets: Sequence[Sequence[Target]]
) -> list[np.ndarray]:
    """Of each image the maps (targets, height, width), summed over the colours."""
    attribute = importlib.import_module(f'cnn_jax.visualize.{method}').attribute
    counts = [len(each) for each in targets]
    each = np.stack([one.target for of_image in targets for one in of_image])
    found = attribute(run.model, variables, np.repeat(images, counts, 0), each, chunk=64)
    return np.split(pictures.flat(np.asarray(found, np.float32)), np.cumsum(counts)[:-1])


def _packed(maps: Sequence[np.ndarray], twins: Sequence[np.ndarray]) -> dict[str, Any]:
    correlation = [
        [rank_correlation(np.abs(one), np.abs(other)) for one, other in zip(*rows, strict=True)]
        for rows in zip(maps, twins, strict=True)
    ]
    kept = [[[pack(one) for one in _small(row)] for row in found] for found in (maps, twins)]
    return {'maps': kept[0], 'twins': kept[1], 'correlation': [rounded(np.array(row), 2) for row in correlation]}


def _small(maps: np.ndarray) -> np.ndarray:
    """Maps (targets, height, width) of at most `MOST_SIDE` places to a side."""
    found = maps[..., None]
    return averaged(found, factor_to(found, MOST_SIDE))[..., 0]
