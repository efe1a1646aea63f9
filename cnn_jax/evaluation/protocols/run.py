"""Running a model over the views of images: every image once, whatever the batch and the devices, and one table."""

import collections
import concurrent.futures
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh

from cnn_jax.data.formats import image, views
from cnn_jax.data.formats.encoded import NOT_COUNTED, Decoding, EncodedSource
from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError, DataError, unknown
from cnn_jax.evaluation.protocols.dense import apply_densely
from cnn_jax.evaluation.protocols.sets import SETS, open_set
from cnn_jax.experiment import Experiment
from cnn_jax.statistics.intervals import wilson_interval
from cnn_jax.tasks.classification import Classification, results
from cnn_jax.tasks.classification.words import class_lines
from cnn_jax.tasks.results import unread_lines

MULTIPLE = 32  # of the long side of dense views: the stride of a whole net
SCALES = (256, 384, 512)  # short sides for a model of 224, as in VGG's table 5


class Protocol(NamedTuple):
    """What is shown of an image, for a model's size and the short side of its own evaluation."""

    make: Callable[[int, int], list[views.Views]]  # (size, resize) -> views
    mirrored: bool = True  # each view also left to right
    dense: bool = False


def _whole(short: int) -> views.Views:
    return functools.partial(views.whole, short=short, multiple=MULTIPLE)


PROTOCOLS = {
    'center': Protocol(lambda size, resize: [], mirrored=False),  # the evaluation that every run has
    'ten_crop': Protocol(lambda size, resize: [functools.partial(views.ten_crop, resize=resize, size=size)]),
    'dense': Protocol(lambda size, resize: [_whole(resize)], dense=True),
    'dense_multi_scale': Protocol(
        lambda size, resize: [_whole(round(short * size / 224)) for short in SCALES], dense=True
    ),
    'crops_144': Protocol(lambda size, resize: [functools.partial(views.crops_144, size=size)]),
}


def _views(protocol: Protocol, decoding: Decoding) -> list[views.Views]:
    """The views of a protocol, resized by the filter of the set's own evaluation."""
    made = protocol.make(decoding.size, decoding.resize)
    how: Any = {'interpolation': decoding.interpolation}
    return [functools.partial(view, **how) for view in made]


class Row(NamedTuple):
    """What a protocol gives on a set: arrays (images,) of those that have a label and could be read."""

    set_name: str
    protocol: str
    label: np.ndarray  # of several right ones that with the highest score
    prediction: np.ndarray
    rank: np.ndarray  # classes before the first right one
    confidence: np.ndarray
    loss: np.ndarray
    unread: int = 0


def compare_protocols(
    experiment: Experiment,
    variables: Any,
    source: Any,
    *,
    protocols: Sequence[str],
    sets: Sequence[str],
    data_dir: Path,
    batch_size: int,
    mesh: Mesh,
    say: Callable[[str], None],
    poll: Callable[[], None],
) -> str:
    """The table of all protocols on the test split and on other sets; below it the classes and confusions of each set.

    Args:
        variables: of the model, on the devices.
        source: the test split.
        protocols, sets: names of `PROTOCOLS` and `SETS`; the test split itself comes first.
        batch_size: views in a batch; changes no number.
        poll: called before each batch; may raise to stop.

    Raises:
        CnnJaxError: an unknown name, or a protocol that needs encoded images on a set that has none.
        DataError: a set that is not there, or has no image that can be read.
    """
    if not isinstance(experiment.task, Classification):
        raise CnnJaxError(f'--protocols and --sets are for classification; the task here is {experiment.task.name}')
    for name, known in [(name, PROTOCOLS) for name in protocols] + [(name, SETS) for name in sets]:
        if name not in known:
            raise CnnJaxError(unknown('protocol' if known is PROTOCOLS else 'set', name, known))
    opened = {'test': source}
    for name in sets:
        opened[name] = open_set(name, data_dir, like=source, num_classes=experiment.data.num_classes)
    steps = {name: _map_step(experiment, PROTOCOLS[name], mesh) for name in protocols}
    rows = []
    for set_name, rows_of in opened.items():
        for name in protocols:
            step = functools.partial(steps[name], variables)
            run = _Run(step, rows_of, name, experiment.data.num_classes, batch_size=batch_size, mesh=mesh, poll=poll)
            some = set_name in SETS and SETS[set_name].some_classes
            row = score(run.probabilities(), run.labels, set_name, name, some_classes=some)
            rows.append(row._replace(unread=len(run.unread)))
            say(f'{set_name}, {name}: {_accuracy(int((rows[-1].rank < 1).sum()), len(rows[-1].rank))}')
    return table(rows, experiment.data.class_names)


def _map_step(experiment: Experiment, protocol: Protocol, mesh: Mesh) -> Callable[[Any, Any], jax.Array]:
    step = make_step(experiment.model, experiment.preprocess, mirrored=protocol.mirrored, dense=protocol.dense)
    return mapping.map_eval(step, mesh)


class _Run:
    """One protocol on one set."""

    def __init__(
        self,
        step: Callable[[Any], jax.Array],
        source: Any,
        protocol: str,
        num_classes: int,
        *,
        batch_size: int,
        mesh: Mesh,
        poll: Callable[[], None],
    ):
        self._step, self._source, self._num_classes = step, source, num_classes
        self._mesh, self._poll = mesh, poll
        self._batch_size = -(-batch_size // mesh.size) * mesh.size
        self._encoded = isinstance(source, EncodedSource)
        if protocol != 'center' and not self._encoded:
            raise CnnJaxError(
                f'--protocols={protocol}: these images are kept at one size; only center can be had of them'
            )
        self._views = _views(PROTOCOLS[protocol], source.decoding) if self._encoded else []
        self.labels: list[tuple[int, ...]] = [()] * len(source)
        self.unread: set[int] = set()

    def probabilities(self) -> np.ndarray:
        """The mean over the views of the softmax, (images, classes), in the order of the set; 0 of what is unread."""
        total = np.zeros((len(self._source), self._num_classes), np.float32)
        count = np.zeros(len(self._source), np.int64)
        waiting: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = collections.defaultdict(list)
        for row, pixels in self._all_views():
            same = waiting[pixels.shape]
            same.append((row, pixels))
            if len(same) == self._batch_size:
                self._add(waiting.pop(pixels.shape), total, count)
        for rest in waiting.values():
            self._add(rest, total, count)
        if len(self.unread) == len(self._source):
            raise DataError(f'none of the {len(self._source)} images could be read; look at the data set')
        return total / np.maximum(count, 1)[:, None]

    def _all_views(self) -> Iterator[tuple[int, np.ndarray]]:
        """(row, view) of every image, in order; decoded by threads, some ahead."""
        threads = os.cpu_count() or 2
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(self._source), 8 * threads):
                rows = range(start, min(start + 8 * threads, len(self._source)))
                for row, found in zip(rows, pool.map(self._views_of, rows), strict=True):
                    for pixels in found:
                        yield row, pixels

    def _views_of(self, row: int) -> list[np.ndarray]:
        """The views of an image, and notes its labels; neither where it cannot be read."""
        if not self._views:
            example = self._source[row]
            if not example.get('readable', True):
                self.unread.add(row)
                return []
            self.labels[row] = self._source.records([row])[0].labels if self._encoded else (example['label'],)
            return [example['image']]
        (record,) = self._source.records([row])
        try:
            picture = views.decode(record.encoded, max_pixels=self._source.decoding.max_pixels)
        except image.BadImage as error:
            self._source.bad_images.add(row, f'{record.name}: {error}', instead=NOT_COUNTED)
            self.unread.add(row)
            return []
        self.labels[row] = record.labels
        return [view for make in self._views for view in make(picture)]

    def _add(self, batch: list[tuple[int, np.ndarray]], total: np.ndarray, count: np.ndarray) -> None:
        self._poll()
        rows = np.array([row for row, _ in batch])
        pixels = np.stack([view for _, view in batch])
        padded = np.zeros((self._batch_size, *pixels.shape[1:]), np.uint8)
        padded[: len(batch)] = pixels
        on_device = mapping.put_batch(self._mesh, {'image': mapping.process_rows(padded)})
        found = mapping.fetch(self._step(on_device))[: len(batch)]
        np.add.at(total, rows, found)
        np.add.at(count, rows, 1)


def make_step(
    model: nn.Module, preprocess: Callable, *, mirrored: bool, dense: bool
) -> Callable[[Any, Any], jax.Array]:
    """(variables, batch) -> the softmax of each view, (views, classes), in the mean with its mirror image's."""

    def scores(variables: Any, images: jax.Array) -> jax.Array:
        keys = jax.random.split(jax.random.key(0), len(images))
        inputs = preprocess(keys, {'image': images})['image']
        found: Any = apply_densely(model, variables, inputs) if dense else model.apply(variables, inputs, train=False)
        return jax.nn.softmax(found)

    def step(variables: Any, batch: dict[str, jax.Array]) -> jax.Array:
        with jax.default_matmul_precision('highest'):
            found = scores(variables, batch['image'])
            return (found + scores(variables, batch['image'][:, :, ::-1])) / 2 if mirrored else found

    return step


def score(
    probabilities: np.ndarray, labels: Sequence[tuple[int, ...]], set_name: str, protocol: str, *, some_classes: bool
) -> Row:
    """Ranks and losses from probabilities (images, classes); images without a label are left out.

    labels: those that are right, of each image. `some_classes`: only classes that occur are scored.
    """
    kept = [row for row, right in enumerate(labels) if right]
    found = np.nan_to_num(probabilities[kept], nan=0.0).astype(np.float64)
    if some_classes:
        absent = np.ones(found.shape[1], bool)
        absent[[label for row in kept for label in labels[row]]] = False
        found[:, absent] = 0
        found /= np.maximum(found.sum(1, keepdims=True), 1e-30)
    order = np.argsort(-found, axis=1, kind='stable')  # of equals the first class comes first
    place = np.argsort(order, axis=1)
    label = np.array([min(labels[number], key=place[row].__getitem__) for row, number in enumerate(kept)])
    rank = place[np.arange(len(kept)), label]
    right = np.array([found[row, list(labels[number])].sum() for row, number in enumerate(kept)])
    broken = np.isnan(probabilities[kept]).any(1)
    rank[broken] = found.shape[1]  # scores that are not numbers are never right
    return Row(set_name, protocol, label, order[:, 0], rank, found.max(1), -np.log(np.maximum(right, 1e-30)))


def table(rows: Sequence[Row], class_names: Sequence[str]) -> str:
    """The table: accuracies with their 95 % intervals, the expected calibration error, the mean loss. Then the classes
    and confusions of each set.
    """
    top = min(5, len(class_names))
    titles = ('top-1 (95 %)', f'top-{top} (95 %)')
    lines = [f'{"set":<8}{"protocol":<20}{"images":>8}  {titles[0]:<29}{titles[1]:<29}{"calibration error":<19}loss']
    for row in rows:
        images = len(row.rank)
        cells = [_accuracy(int((row.rank < most).sum()), images) for most in (1, top)]
        error = results.calibration_error(row.confidence, row.rank < 1)
        lines.append(
            f'{row.set_name:<8}{row.protocol:<20}{images:>8,}  {cells[0]:<29}{cells[1]:<29}{error:<19.4f}'
            f'{row.loss.mean():.4f}'
        )
    for set_name in dict.fromkeys(row.set_name for row in rows):
        of_set = [row for row in rows if row.set_name == set_name]
        lines += ['', f'set {set_name}']
        for row in of_set:
            lines += [f'{row.protocol}: {line}' for line in unread_lines(row.unread, len(row.rank))]
        confusions = {
            row.protocol: results.confusion_matrix(row.label, row.prediction, len(class_names)) for row in of_set
        }
        lines += class_lines(confusions, class_names)
    return '\n'.join(lines)


def _accuracy(right: int, images: int) -> str:
    low, high = wilson_interval(right, images)
    return f'{right / images:.2%} ({float(low):.2%} .. {float(high):.2%})'
