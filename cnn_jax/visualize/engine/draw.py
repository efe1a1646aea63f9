"""The pictures of the methods, written with their numbers beside them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.augment import BatchTransform
from cnn_jax.data.formats.imagenet_words import in_words
from cnn_jax.data.pipeline import Data
from cnn_jax.devices.stop import Stopped
from cnn_jax.drawing import figure as drawing
from cnn_jax.errors import CnnJaxError
from cnn_jax.files.whole import written_beside
from cnn_jax.options import resolve
from cnn_jax.tasks.task import Task
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine import explaining, methods
from cnn_jax.visualize.engine.attribution import Attribution
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.method import Method
from cnn_jax.visualize.engine.subject import (
    NUM_IMAGES,
    Subject,
    preprocessing,
    shuffled_once,
    titled_rows,
    with_own_question,
)
from cnn_jax.visualize.engine.visualization import Visualization
from cnn_jax.visualize.optimized.kept import keeping

SET = (
    'filters', 'feature_maps', 'gradient', 'guided_backprop', 'deconvnet', 'grad_cam', 'occlusion', 'occlusion_panels',
    'integrated_gradients', 'neighbours', 'embedding', 'image_grid', 'top_patches',
)  # fmt: skip


AT_THE_END = ('feature_maps', 'gradient', 'neighbours', 'embedding')  # of a run: what is cheap


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
    told: Callable[[str], None] = lambda name: None,
) -> list[str]:
    """Writes the pictures that are cheap for a run that has ended; lines that say which are not for this net.

    Args:
        variables: on the host.
        preprocess: of the experiment.
        about: for the settings, as in `Subject`.
        source: the test split.
        rows: of it, whose maps are drawn; none: the first ones.
        told: the name of each picture before it is drawn.
    """
    rows = rows[:NUM_IMAGES] if len(rows) else np.arange(min(NUM_IMAGES, len(source)))
    examples = Examples(source, preprocessing(preprocess), group=task.group)
    class_names, left_out = in_words(data.class_names), []
    pixels, titles = titled_rows(source, rows, task, class_names)
    inputs = examples.preprocess(pixels)
    random = shuffled_once(variables)
    subject = Subject(
        model,
        variables,
        pixels,
        inputs,
        titles,
        examples,
        class_names,
        task,
        about,
        random,
        preprocess=examples.preprocess,
    )
    subject = with_own_question(subject, int(rows[0]))
    for name in AT_THE_END:
        told(name)
        try:
            draw_method(subject, name, None, None, folder)
        except Stopped:
            raise
        except Exception as error:  # it is not for this model, or whatever else: it costs this picture alone
            left_out.append(left_out_line(name, error))
    return left_out


def left_out_line(name: str, error: Exception) -> str:
    """A line on a method that gave no picture; an error that is no mistake of the user's is called by its type."""
    why = str(error).partition('\n')[0]
    known = isinstance(error, CnnJaxError)
    return f'{name} left out: {why}' if known else f'{name} left out: unexpected {type(error).__name__}: {why}'


def draw_method(
    subject: Subject,
    name: str,
    layer: str | None,
    unit: int | None,
    folder: Path,
    settings: Mapping[str, Any] = {},
    told: Callable[[str], None] | None = None,
) -> str:
    """Runs one method, writes its pictures and numbers; the name of the first file.

    settings: of the method, as typed or as values. told: hears what a long method is at.
    """
    method = make_method(name, settings, told)
    file = _file_name(method, subject, layer, unit)
    asked = {'method': name, 'layer': layer, 'unit': unit, 'images': subject.titles, **subject.about}
    with keeping(folder, file):
        for picture in method.draw(subject, layer, unit):
            written = {**asked, **picture.settings}
            drawing.save_figure(picture.figure, folder, f'{file}{picture.ending}', picture.arrays, written)
            if picture.film is not None:
                drawing.save_film(picture.film, folder, f'{file}{picture.ending}')
            if picture.prints is not None:
                _print(picture.prints, folder, f'{file}{picture.ending}')
    return file


def _print(pictures: np.ndarray, folder: Path, name: str) -> None:
    """Writes NAME_picture.png, or NAME_picture_1.png and so on, of pictures in 0 .. 1, pixel for pixel."""
    for number, one in enumerate(pictures, 1):
        ending = f'_{number}' * (len(pictures) > 1)
        with written_beside(folder / f'{name}_picture{ending}.png') as temporary:
            temporary.write_bytes(drawing.as_png(np.round(255 * np.clip(one, 0, 1)).astype(np.uint8)))


def make_method(name: str, settings: Mapping[str, Any] = {}, told: Callable[[str], None] | None = None) -> Method:
    """The method of a name with its settings; CnnJaxError for an unknown name or setting."""
    module = methods.load(name)
    known = methods.settings(module)
    if settings and not known:
        why = ': an attribution is judged as it is' if hasattr(module, 'attribute') else ''
        raise CnnJaxError(f'--set.{next(iter(settings))}: {name} has no settings{why}; leave it out')
    chosen = {key: value for key, value in resolve(known, settings, 'set').items() if key in settings}
    return Attribution(name, module) if hasattr(module, 'attribute') else Visualization(name, module, chosen, told)


def _file_name(method: Method, subject: Subject, layer: str | None, unit: int | None) -> str:
    chosen = subject.chosen if method.looks_at_images else None
    parts = [method.name, layer, None if unit is None else str(unit), chosen]
    return re.sub(r'[^\w.-]+', '.', '_'.join(part for part in parts if part))


def check_layer_and_unit(subject: Subject, layer: str | None, unit: int | None) -> None:
    """Raises CnnJaxError for a layer or unit that is not there; else every method of the set would say it."""
    net = scores.net_of(subject.model, subject.variables, subject.images)
    if layer is not None:
        scores.check_targets(unit, net.program.types[net.output(layer)].shape, layer)
    elif unit is not None:
        outputs = explaining.answers(subject, subject.images)
        explaining.looked_at(subject, outputs, subject.titles, None, unit)
