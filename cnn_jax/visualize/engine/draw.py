"""The pictures of the methods, written with their numbers beside them."""

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.augment import BatchTransform
from cnn_jax.data.formats.imagenet_words import in_words
from cnn_jax.data.pipeline import Data
from cnn_jax.drawing import figure as drawing
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.tasks.task import Task
from cnn_jax.tracing import layers, scores
from cnn_jax.visualize import honesty
from cnn_jax.visualize.engine import methods, pictures
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.subject import NUM_IMAGES, Subject, preprocessing, shuffled_once, titled_rows

SET = (
    'filters', 'feature_maps', 'gradient', 'guided_backprop', 'deconvnet', 'grad_cam', 'occlusion', 'occlusion_panels',
    'integrated_gradients', 'neighbours', 'embedding', 'image_grid', 'top_patches',
)  # fmt: skip


AT_THE_END = ('feature_maps', 'gradient', 'neighbours', 'embedding')  # of a run: what is cheap
CHECKS = {'most_levels': 4, 'num_steps': 10}  # of the first image's map, beside every attribution


def draw_at_the_end(
    model: Any,
    variables: Any,
    *,
    task: Task,
    data: Data,
    preprocess: BatchTransform,
    about: dict[str, Any],
    source: Any,
    rows: np.ndarray,
    folder: Path,
) -> list[str]:
    """Writes the pictures that are cheap for a run that has ended; lines that say which are not for this net.

    Args:
        variables: on the host.
        preprocess: of the experiment.
        about: for the settings, as in `Subject`.
        source: the test split.
        rows: of it, whose maps are drawn; none: the first ones.
    """
    rows = rows[:NUM_IMAGES] if len(rows) else np.arange(min(NUM_IMAGES, len(source)))
    examples = Examples(source, preprocessing(preprocess), group=task.group)
    class_names, left_out = in_words(data.class_names), []
    pixels, titles = titled_rows(source, rows, task, class_names)
    inputs = examples.preprocess(pixels)
    random = shuffled_once(variables)
    subject = Subject(model, variables, pixels, inputs, titles, examples, class_names, task, about, random)
    for name in AT_THE_END:
        try:
            draw_method(subject, name, None, None, folder)
        except CnnJaxError as error:  # it is not for this model
            left_out.append(f'{name} left out: {error}')
    return left_out


def draw_method(subject: Subject, name: str, layer: str | None, unit: int | None, folder: Path) -> str:
    """Runs one method, writes its picture and numbers; the name of the files."""
    module = methods.load(name)
    function = getattr(module, 'attribute', None) or module.visualize
    settings = {
        'method': name,
        **methods.defaults(function),
        'layer': layer,
        'unit': unit,
        'images': subject.titles,
        **subject.about,
    }
    if hasattr(module, 'count_relus'):
        above = methods.accepted(module.count_relus, {'layer': layer})
        settings['relus'] = module.count_relus(subject.model, subject.variables, subject.images, **above)
    make = _attribution if hasattr(module, 'attribute') else _visualization
    figure, arrays, more = make(subject, name, module, layer, unit)
    looks = 'images' in inspect.signature(function).parameters
    parts = [name, layer, None if unit is None else str(unit), subject.chosen if looks else None]
    file = re.sub(r'[^\w.-]+', '.', '_'.join(part for part in parts if part))
    drawing.save_figure(figure, folder, file, arrays, {**settings, **more})
    if make is _attribution:
        doubts = honesty.visualize(
            subject.model,
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
    model, images = subject.model, subject.images
    maps = np.asarray(module.attribute(model, subject.variables, images, unit, layer=layer))
    logits = np.asarray(scores.read(model, subject.variables, images, (None,))[0])
    labels = subject.class_names
    answers = [subject.task.answer(row, labels) for row in logits]
    titles = [f'{title}, predicted {answer}' for title, answer in zip(subject.titles, answers, strict=True)]
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
    return layers.last_map(scores.net_of(subject.model, subject.variables, subject.images))


def _visualization(
    subject: Subject, name: str, module: Any, layer: str | None, unit: int | None
) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    wants = methods.defaults(module.visualize) | dict.fromkeys(module.visualize.__kwdefaults__ or ())
    if unit is not None and not {'unit', 'targets'} & set(wants):
        raise CnnJaxError(f'--unit is not for --method={name}; leave it out')
    given: dict[str, Any] = {'images': subject.images, 'layer': layer, 'unit': unit, 'targets': unit}
    if 'examples' in module.visualize.__annotations__:
        if subject.examples is None:
            raise DataError(f'{name} needs the test images, and the data set is not there')
        given['examples'] = subject.examples
    arguments = methods.accepted(module.visualize, given)
    arrays = module.visualize(subject.model, subject.variables, **arguments)
    names = subject.task.groups(subject.class_names) if 'examples' in arguments else subject.class_names
    style = methods.accepted(module.draw, {'class_names': names})
    return module.draw(arrays, **style), arrays, {}


def _shown(pixels: np.ndarray, images: Any, size: tuple[int, int]) -> np.ndarray:
    """The images behind the maps, in 0 .. 1; where preprocessing changes their size, the model inputs, stretched."""
    if pixels.shape[1:3] == tuple(size):
        return pixels / np.float32(255)
    return np.stack([drawing.stretched(np.asarray(image)) for image in images])


def check_layer_and_unit(subject: Subject, layer: str | None, unit: int | None) -> None:
    """Raises CnnJaxError for a layer or unit that is not there; else every method of the set would say it."""
    net = scores.net_of(subject.model, subject.variables, subject.images)
    if layer is not None:
        net.layer(layer)
    scores.check_targets(unit, net.program.types[net.output(layer)].shape, layer)
