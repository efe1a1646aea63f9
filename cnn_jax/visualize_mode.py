"""What `--mode=visualize` does: one method, or the set that suits a run; pictures with their numbers beside them."""

import contextlib
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import parallel, restore, workdir
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.experiment import Experiment, Loaded
from cnn_jax.feed import open_feed
from cnn_jax.log import Log
from cnn_jax.report import write_pictures
from cnn_jax.stop import StopRequest
from cnn_jax.visualize import figure as drawing
from cnn_jax.visualize import honesty
from cnn_jax.visualize.engine import image_file, layers, methods, pictures, scores
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.weights import imagenet

# Without --method: from the weights to the decision, cheap ones first.
SET = (
    'filters', 'feature_maps', 'gradient', 'guided_backprop', 'deconvnet', 'grad_cam', 'occlusion', 'occlusion_panels',
    'integrated_gradients', 'neighbours', 'embedding', 'image_grid', 'top_patches',
)  # fmt: skip
AT_THE_END = ('feature_maps', 'gradient', 'neighbours', 'embedding')  # of a run: what is cheap
CHECKS = {'most_levels': 4, 'num_steps': 10}  # of the first image's map, beside every attribution
NUM_IMAGES = 3  # of the test split, where no --image is given


class Subject(NamedTuple):
    """What is looked at, with arguments as methods name them: model inputs, the examples of the test split."""

    loaded: Loaded
    variables: Any
    pixels: np.ndarray  # uint8 (batch, height, width, channels)
    images: jax.Array  # the same as the model takes them
    titles: list[str]  # of the images
    examples: Examples | None  # None where the data set is not there
    note: dict[str, Any]  # for the settings: where the variables are from
    random: Callable[[], Any]  # the variables shuffled, for `honesty`
    chosen: str | None = None  # the image that was asked for; the files are named after it

    @property
    def experiment(self) -> Experiment:
        return self.loaded.experiment

    @property
    def class_names(self) -> tuple[str, ...]:
        return imagenet.in_words(self.experiment.data.class_names)


def visualize(
    loaded: Loaded,
    *,
    path: Path | None,
    init_from: Path | None,
    data_dir: Path,
    method: str | None,
    layer: str | None,
    unit: int | None,
    image: str | None,
    stop: StopRequest,
    log: Log,
) -> None:
    """Writes `figures/NAME.png` and `.npz` in the work folder `path` (or a new one), for one method or the set, and
    puts them on its page.

    unit: the class, or a channel of `layer`. image: a file, or the number of a test image; None: the first ones.
    Raises: CnnJaxError for an unknown method, layer, unit or image; DataError where the data is needed and not there.
    """
    if method is not None:
        methods.load(method)  # an unknown name is an error before anything is read
    subject = _subject(loaded, path, init_from, data_dir, image, log)
    root = path or workdir.default_path(loaded.name)
    folder = root / 'figures'
    workdir.make(folder)
    names = (method,) if method else SET
    if method is None:
        _check(subject, layer, unit)
    with _progress(len(names)) as advance:
        for name in names:
            stop.poll(f'stopped; the figures so far are in {folder}')
            advance(name)
            try:
                file = _run(subject, name, layer, unit, folder)
                log.say(f'{name:<22} {folder / file}.png')
            except CnnJaxError as error:
                if method:
                    raise
                log.say(f'{name:<22} left out: {error}')
    source = ', '.join(f'{key} {value}' for key, value in subject.note.items())
    log.say(f'{"page":<22} {write_pictures(root, heading=loaded.name, source=f"Pictures of {source}")}')


def at_the_end(loaded: Loaded, *, variables: Any, source: Any, rows: np.ndarray, path: Path, log: Log) -> None:
    """Writes the pictures that are cheap for a run that has ended; its page shows them.

    variables: on the host. source: the test split. rows: of it, whose maps are drawn; none: the first ones.
    """
    rows = rows[:NUM_IMAGES] if len(rows) else np.arange(min(NUM_IMAGES, len(source)))
    examples = Examples(source, _preprocessing(loaded.experiment))
    pixels, titles = _rows(source, rows, imagenet.in_words(loaded.experiment.data.class_names))
    note = {'workdir': str(path), 'step': loaded.experiment.num_steps}
    inputs = examples.preprocess(pixels)
    subject = Subject(loaded, variables, pixels, inputs, titles, examples, note, _shuffled_once(variables))
    for name in AT_THE_END:
        try:
            _run(subject, name, None, None, path / 'figures')
        except CnnJaxError as error:  # it is not for this model
            log.note(f'{name} left out: {error}')


def _run(subject: Subject, name: str, layer: str | None, unit: int | None, folder: Path) -> str:
    """Runs one method, writes its picture and numbers; the name of the files."""
    module = methods.load(name)
    function = getattr(module, 'attribute', None) or module.visualize
    settings = {
        'method': name,
        **methods.defaults(function),
        'layer': layer,
        'unit': unit,
        'images': subject.titles,
        'experiment': subject.loaded.name,
        'options': subject.loaded.options,
        **subject.note,
    }
    if hasattr(module, 'count_relus'):
        above = methods.accepted(module.count_relus, {'layer': layer})
        settings['relus'] = module.count_relus(subject.experiment.model, subject.variables, subject.images, **above)
    make = _attribution if hasattr(module, 'attribute') else _visualization
    figure, arrays, more = make(subject, name, module, layer, unit)
    looks = 'images' in inspect.signature(function).parameters
    parts = [name, layer, None if unit is None else str(unit), subject.chosen if looks else None]
    file = re.sub(r'[^\w.-]+', '.', '_'.join(part for part in parts if part))
    drawing.save_figure(figure, folder, file, arrays, {**settings, **more})
    if make is _attribution:
        doubts = honesty.visualize(
            subject.experiment.model,
            subject.variables,
            images=subject.images[:1],
            targets=unit,
            method=name,
            layer=layer,
            first=arrays['maps'][:1],
            random=subject.random(),
            **CHECKS,
        )
        drawing.save_figure(honesty.draw(doubts), folder, f'{file}_honesty', doubts, {**settings, **CHECKS})
    return file


def _attribution(
    subject: Subject, name: str, module: Any, layer: str | None, unit: int | None
) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    model, images = subject.experiment.model, subject.images
    maps = np.asarray(module.attribute(model, subject.variables, images, unit, layer=layer))
    logits = np.asarray(scores.read(model, subject.variables, images, (None,))[0])
    labels = subject.class_names
    titles = [f'{title}, predicted {labels[row.argmax()]}' for title, row in zip(subject.titles, logits, strict=True)]
    scored, of_maps = (None, layer or _last_map(subject)) if name in methods.OF_MAPS else (layer, None)
    if unit is None:
        what = f'the strongest unit of {layer}' if scored else 'the highest score'
    else:
        what = f'unit {unit} of {layer}' if scored else f'the score of class {labels[unit]}'
    label = f'{name.replace("_", " ")} of {what}' + (f', maps of {of_maps}' if of_maps else '')
    shown = _shown(subject.pixels, images, maps.shape[1:3])
    arrays = {'maps': maps, 'inputs': np.asarray(images), 'logits': logits}
    return (
        pictures.draw(maps, shown, titles, label=label),
        arrays,
        {
            'picture': pictures.recorded(maps),
            **({'layer': of_maps} if of_maps else {}),
        },
    )


def _last_map(subject: Subject) -> str:
    return layers.last_map(scores.net_of(subject.experiment.model, subject.variables, subject.images))


def _visualization(
    subject: Subject, name: str, module: Any, layer: str | None, unit: int | None
) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    wants = methods.defaults(module.visualize) | dict.fromkeys(module.visualize.__kwdefaults__ or ())
    if unit is not None and not {'unit', 'targets'} & set(wants):
        raise CnnJaxError(f'--unit is not for --method={name}; leave it out')
    given: dict[str, Any] = {'images': subject.images, 'layer': layer, 'unit': unit, 'targets': unit}
    if 'examples' in module.visualize.__annotations__:
        if subject.examples is None:
            raise DataError(f'{name} needs the test images of {subject.experiment.data.name}, which are not there')
        given['examples'] = subject.examples
    arguments = methods.accepted(module.visualize, given)
    arrays = module.visualize(subject.experiment.model, subject.variables, **arguments)
    style = methods.accepted(module.draw, {'class_names': subject.class_names})
    return module.draw(arrays, **style), arrays, {}


def _shown(pixels: np.ndarray, images: Any, size: tuple[int, int]) -> np.ndarray:
    """The images behind the maps, in 0 .. 1; where preprocessing changes their size, the model inputs, stretched."""
    if pixels.shape[1:3] == tuple(size):
        return pixels / np.float32(255)
    return np.stack([drawing.stretched(np.asarray(image)) for image in images])


def _subject(
    loaded: Loaded, path: Path | None, init_from: Path | None, data_dir: Path, image: str | None, log: Log
) -> Subject:
    experiment, mesh = loaded.experiment, parallel.make_mesh()
    run = path if path is not None and workdir.read_config(path) else None
    variables, note = restore.trained_variables(loaded, run, init_from, mesh, log)
    preprocess = _preprocessing(experiment)
    examples, pixels, titles = None, None, []
    try:
        source = open_feed(experiment.data, data_dir=data_dir, seed=0, mesh=mesh).source('test')
        examples = Examples(source, preprocess)
    except DataError:
        if image is None or image.isdigit():
            raise
    if image is not None and not image.isdigit():
        file = Path(image).expanduser()
        pixels, titles = image_file.load(file, experiment.data.image_shape)[None], [file.name]
    elif examples is not None:
        pixels, titles = _test_images(examples, image, imagenet.in_words(experiment.data.class_names))
    assert pixels is not None  # a missing data set was raised above
    on_one_device = jax.device_put(parallel.fetch(variables))
    random, chosen = _shuffled_once(on_one_device), image and Path(image).stem
    return Subject(loaded, on_one_device, pixels, preprocess(pixels), titles, examples, note, random, chosen)


def _shuffled_once(variables: Any) -> Callable[[], Any]:
    """All variables shuffled when first asked for, and then kept."""
    return functools.cache(lambda: jax.device_put(honesty.shuffled(variables, None, 0)))


def _check(subject: Subject, layer: str | None, unit: int | None) -> None:
    """Raises CnnJaxError for a layer or unit that is not there; else every method of the set would say it."""
    net = scores.net_of(subject.experiment.model, subject.variables, subject.images)
    if layer is not None:
        net.layer(layer)
    scores.check_targets(unit, net.program.types[net.output(layer)].shape, layer)


def _preprocessing(experiment: Experiment) -> Callable[[np.ndarray], jax.Array]:
    """uint8 images to model inputs, compiled."""

    def preprocess(images: Any) -> jax.Array:
        return experiment.preprocess(jax.random.split(jax.random.key(0), len(images)), jnp.asarray(images))

    return jax.jit(preprocess)


def _test_images(examples: Examples, image: str | None, class_names: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """One test image by number, or the first of NUM_IMAGES different classes."""
    count = len(examples.source)
    if image is not None and int(image) >= count:
        raise CnnJaxError(f'--image={image}: the test split has images 0 to {count - 1}')
    rows: dict[int, int] = {}
    for row in [int(image)] if image is not None else range(min(count, 1000)):
        rows.setdefault(int(examples.source[row]['label']), row)
        if len(rows) == NUM_IMAGES:
            break
    return _rows(examples.source, list(rows.values()), class_names)


def _rows(source: Any, rows: Sequence[int] | np.ndarray, class_names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Images of a split, and their titles."""
    found = [source[int(row)] for row in rows]
    titles = [f'test image {row}, label {class_names[one["label"]]}' for row, one in zip(rows, found, strict=True)]
    return np.stack([one['image'] for one in found]), titles


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, where there are several methods; elsewhere nothing."""
    if total == 1 or not sys.stdout.isatty():
        yield lambda name: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn('{task.description:<22}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task('', total=total)
        done = iter(range(total))
        yield lambda name: bar.update(task, completed=next(done), description=name)
