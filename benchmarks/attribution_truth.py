"""Which attribution methods find what a net looks at: their maps beside the masks of the objects, as a net is trained.

    python -m benchmarks.attribution_truth                         # 26 minutes on two busy cores
    python -m benchmarks.attribution_truth --smoke                 # untrained and trained for two steps, 8 scenes
    python -m benchmarks.attribution_truth --table                 # the stored rows as Markdown, and the figure

Trains `scenes_localize` and `scenes_detect` and looks at them after 0, 100 and 400 steps and at the end. Explained is
the right answer of each test scene, whatever the net says: the score of the digit's class; for a detector, the score of
its class at the centre of the first digit. The masks of the scenes say which pixels are the digit's ink.

- `pointing`: how often the strongest pixel of a map is on the digit (pointing game, Zhang et al. 2016,
  arXiv:1608.00507), or within TOLERANCE pixels of it. Of pixels that are equally strong, the share that is.
- `inside`: the share of a map's positive relevance that is on the digit, without a tolerance.
- Both again of the magnitude, for methods whose sign says whether a pixel should be brighter.

A map that is zero everywhere says nothing, and counts as one number everywhere. Beside the methods stand maps that have
seen no net: one number everywhere, the middle pixel, the image itself (digits are bright), its edges, and of a detector
the place that is asked about. Intervals are of 95 %, over the scenes: Wilson's, and Student's of the mean. Writes
benchmarks/results/attribution_truth.json, and the curves as a figure.
"""

import argparse
import dataclasses
import functools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import ndimage

import cnn_jax
from benchmarks.attribution_shown import draw, table
from benchmarks.lenet_digits import machine
from cnn_jax import experiment
from cnn_jax.data import scenes
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError
from cnn_jax.ops.boxes import box_iou
from cnn_jax.statistics.intervals import mean_interval, wilson_interval
from cnn_jax.tracing import scores
from cnn_jax.training import restore
from cnn_jax.visualize.engine import methods, pictures
from cnn_jax.visualize.engine.subject import preprocessing

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / 'benchmarks' / 'results' / 'attribution_truth.json'
TOLERANCE = 1  # pixels, of scenes of 48; the paper's is 15, of photographs of about 500
STEPS = (0, 100, 400)  # and the end
SCENES = 200
POINTS = {'integrated_gradients': {'steps': 16}, 'smooth_grad': {'samples': 16}}  # not 50, for the time
SURE = 0.3  # score of a detection that counts as an answer
METHODS = [name for name in methods.available() if hasattr(methods.load(name), 'attribute')]


class Case(NamedTuple):
    """An experiment, its options, and the objects of its scenes."""

    experiment: str
    options: dict[str, Any]
    num_objects: tuple[int, int]


CASES = {
    'localization': Case('scenes_localize', {'epochs': 3.0}, (1, 1)),
    'detection': Case('scenes_detect', {}, (1, 5)),
}


class Scenes(NamedTuple):
    """Test scenes with one object each that is asked about."""

    pixels: np.ndarray  # uint8 (scenes, height, width, 1)
    boxes: np.ndarray  # (scenes, 4)
    labels: np.ndarray  # (scenes,)
    masks: np.ndarray  # bool (scenes, height, width), of the ink of the object


def read_scenes(case: Case, data: Any, data_dir: Path, count: int) -> Scenes:
    """The first test scenes, each with its first object; the masks are those of the same scenes for segmentation."""
    size = data.image_shape[0]
    masked = scenes.load(
        batch_size=1, answer='segmentation', num_objects=case.num_objects, size=size, num_test=data.splits['test']
    )
    source, others = (one.open('test', data_dir) for one in (data, masked))
    found = [(source[row], others[row]) for row in range(count)]
    assert all((row['image'] == other['image']).all() for row, other in found), 'other scenes have other masks'
    boxes = np.stack([row['boxes'][0] for row, _ in found])
    labels = np.array([row['label'] if 'label' in row else row['box_label'][0] for row, _ in found])
    masks = [ink(other['segmentation'], *of) for (_, other), *of in zip(found, labels, boxes, strict=True)]
    return Scenes(np.stack([row['image'] for row, _ in found]), boxes, labels, np.stack(masks))


def ink(segmentation: np.ndarray, label: int, box: np.ndarray) -> np.ndarray:
    """The pixels of one digit: those of its class inside its box, bool (height, width)."""
    left, top, right, bottom = box.round().astype(int)
    inside = np.zeros(segmentation.shape, bool)
    inside[top:bottom, left:right] = True
    return inside & (segmentation == label + 1)


def pointing(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the strongest pixel of each map (scenes, height, width) is at most TOLERANCE from its mask, (scenes,).

    Of pixels that are equally strong the share that is.
    """
    near = np.stack([ndimage.binary_dilation(one, np.ones((3, 3)), iterations=TOLERANCE) for one in masks])
    strongest = maps == maps.max((1, 2), keepdims=True)
    return (strongest & near).sum((1, 2)) / strongest.sum((1, 2))


def inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of maps (scenes, height, width), 0 or more, that is on their masks, (scenes,)."""
    whole = maps.sum((1, 2))
    there = whole > 0
    return np.where(there, (maps * masks).sum((1, 2)) / np.where(there, whole, 1), masks.mean((1, 2)))


def measured(maps: np.ndarray, masks: np.ndarray) -> dict[str, Any]:
    """The numbers of a method, of signed maps (scenes, height, width): means and the ends of their intervals."""
    count = len(maps)
    row: dict[str, Any] = {'scenes': count, 'empty': int((maps.max((1, 2)) <= 0).sum())}
    for ending, strength in (('', np.maximum(maps, 0)), ('_magnitude', np.abs(maps))):
        hits, share = pointing(strength, masks), mean_interval(inside(strength, masks))
        ends = wilson_interval(hits.sum(), count)
        row |= {f'pointing{ending}': [float(hits.mean()), *map(float, ends)]}
        row |= {f'inside{ending}': [float(np.clip(share.mean + side * share.reach, 0, 1)) for side in (0, -1, 1)]}
    return {name: [round(one, 4) for one in value] if isinstance(value, list) else value for name, value in row.items()}


def blind_maps(found: Scenes) -> dict[str, np.ndarray]:
    """Maps (scenes, height, width) that no net made; `place`: the middle of the box."""
    shape, grey = found.masks.shape, found.pixels[..., 0].astype(np.float64)
    middle, place = np.zeros(shape), np.zeros(shape)
    middle[:, shape[1] // 2, shape[2] // 2] = 1
    centre = ((found.boxes[:, :2] + found.boxes[:, 2:]) / 2).astype(int)
    place[np.arange(len(place)), centre[:, 1], centre[:, 0]] = 1
    edges = np.hypot(*(ndimage.sobel(grey, axis) for axis in (1, 2)))
    return {'uniform': np.ones(shape), 'middle': middle, 'image': grey, 'edges': edges, 'place': place}


def targets_of(found: Scenes, outputs: Any) -> np.ndarray:
    """The right answers as attribution takes them: a class, or (row, column, class) of a dense score."""
    if outputs['scores'].ndim == 2:
        return found.labels
    rows, columns = outputs['scores'].shape[1:3]
    height, width = found.masks.shape[1:]
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    return np.stack([centre[:, 1] * rows / height, centre[:, 0] * columns / width, found.labels], 1).astype(np.int32)


def is_right(found: Scenes, task: Any, outputs: Any) -> np.ndarray:
    """Whether the net answers the object of each scene: its class, or a detection of it with an IoU of a half."""
    if outputs['scores'].ndim == 2:
        return outputs['scores'].argmax(-1) == found.labels
    read = jax.device_get(task.read(outputs))
    same = (read['class'] == found.labels[:, None]) & (read['score'] >= SURE)
    return (same & (box_iou(read['box'], found.boxes[:, None]) >= 0.5)).any(1)


def maps_of(name: str, model: Any, variables: Any, images: jax.Array, targets: np.ndarray) -> np.ndarray | None:
    """The signed maps of a method, (scenes, height, width); None for a net that it is not for."""
    try:
        maps = methods.load(name).attribute(model, variables, images, targets, **POINTS.get(name, {}))
    except CnnJaxError:
        return None
    return pictures.flat(np.asarray(maps))


def looked_at(made: Any, variables: Any, found: Scenes, names: list[str]) -> Iterator[dict[str, Any]]:
    """A row of how many answers are right, then one for each method."""
    images = preprocessing(made.preprocess)(found.pixels)
    outputs = jax.device_get(scores.outputs(made.model, variables, images, chunk=50))
    right = is_right(found, made.task, outputs)
    yield {'map': 'net', 'scenes': len(right), 'right': round(float(right.mean()), 4)}
    for name in names:
        maps = maps_of(name, made.model, variables, images, targets_of(found, outputs))
        yield {'map': name, **(measured(maps, found.masks) if maps is not None else {'not_for_this_net': True})}


def trained(made: Any, steps: tuple[int, ...], folder: Path, data_dir: Path) -> dict[int, Any]:
    """The variables of an experiment after some steps of its training, and at its end."""
    kept = dataclasses.replace(made, save_every=100, keep=1000, evaluate_every=None)
    ended = cnn_jax.train(kept, workdir=folder, data_dir=data_dir)
    between = [step for step in steps if 0 < step < ended.step]
    read = functools.partial(restore.read_state, kept, folder, mapping.make_mesh(), report=print)
    variables = {step: read(which=str(step))[1].variables for step in between}
    return {0: kept.init_state(seed=0).variables, **variables, ended.step: ended.variables}


def rows_of(task: str, *, smoke: bool, say: Callable[[str], None] = print) -> Iterator[dict[str, Any]]:
    """Rows of one case: blind maps, then all methods at each step."""
    case, data_dir = CASES[task], default_data_dir()
    made = experiment.load(case.experiment, {'smoke': True} if smoke else case.options).experiment
    found = read_scenes(case, made.data, data_dir, 8 if smoke else SCENES)
    for name, maps in blind_maps(found).items():
        if name != 'place' or task == 'detection':
            yield {'task': task, 'step': None, 'map': name, **measured(maps, found.masks)}
    with tempfile.TemporaryDirectory() as folder:
        for step, variables in trained(made, STEPS, Path(folder), data_dir).items():
            begin = time.perf_counter()
            for row in looked_at(made, variables, found, METHODS):
                yield {'task': task, 'step': step, **row}
            say(f'{task}, step {step}: {time.perf_counter() - begin:.0f} s')


def write(rows: list[dict[str, Any]]) -> None:
    """The stored rows, with the machine, the day and the command."""
    about = {
        'machine': machine(),
        'date': time.strftime('%Y-%m-%d'),
        'command': 'python -m benchmarks.attribution_truth',
    }
    RESULTS.write_text(json.dumps({**about, 'rows': rows}, indent=1) + '\n', encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--smoke', action='store_true', help='a few scenes and steps; writes nothing but the figure')
    parser.add_argument('--table', action='store_true', help='only show what is stored')
    parser.add_argument('--figure', type=Path, default=ROOT / 'runs' / 'attribution_truth.png')
    options = parser.parse_args()
    if options.table:
        rows = json.loads(RESULTS.read_text(encoding='utf-8'))['rows']
    else:
        rows = []
        for task in CASES:
            rows += rows_of(task, smoke=options.smoke)
            if not options.smoke:
                write(rows)
    draw(rows, options.figure)
    print(table(rows))
    print(f'figure: {options.figure}')


if __name__ == '__main__':
    main()
