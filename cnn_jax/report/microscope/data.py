"""The scripts of a run's microscope, written into `report/data/`."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax.data.formats.imagenet_words import in_words
from cnn_jax.describe import Layer
from cnn_jax.drawing.page import page_path
from cnn_jax.report.microscope import (
    alive,
    class_images,
    made,
    matching,
    overview,
    shown,
    space,
    training,
    units,
)
from cnn_jax.report.microscope.activity import Watched, averaged, factor_to, maps_of, watch
from cnn_jax.report.microscope.drawn import about_drawn
from cnn_jax.report.microscope.judged import Judged, judged
from cnn_jax.report.microscope.look import History, Look
from cnn_jax.report.microscope.maps import MOST_SIDE, about_maps
from cnn_jax.report.microscope.pictures import Shown, pictures
from cnn_jax.report.microscope.rows import Once
from cnn_jax.report.microscope.scripts import pack, write_script
from cnn_jax.report.parts import part
from cnn_jax.tasks.run import Run
from cnn_jax.visualize.engine.examples import Examples

DATA = 'data'  # the folder beside the page
READ_BYTES = 512 << 20  # of a batch of images in all layers
VECTOR_BYTES = 256 << 20  # of the vectors of all images in all layers

Told = Callable[[str], None]


class Seen(NamedTuple):
    """What the pages show: `table` and `shapes` of the layers and their maps, `chosen` places of images with maps."""

    run: Run
    look: Look
    examples: Examples
    watched: Watched
    judged: Judged
    table: Sequence[Layer]
    shapes: Mapping[str, tuple[int, int, int]]
    chosen: np.ndarray
    class_names: Sequence[str]  # of the data; of a task that is asked, the choices


def write(run: Run, look: Look, *, told: Told = lambda words: None) -> None:
    """Writes the scripts of all pages, `run.js`, `images.js`, two for each layer and so on; earlier ones go.

    told: hears what is looked at.

    Raises:
        CnnJaxError: the net cannot be followed.
        OSError: they cannot be written.
    """
    seen, question = _seen(run, look, told)
    run, table, watched, chosen = seen.run, seen.table, seen.watched, seen.chosen
    maps = maps_of(run.model, run.variables, seen.examples.only(watched.rows[chosen]), tuple(seen.shapes))
    tops, of_units = _of_units(seen, told)
    images = np.unique(np.concatenate([chosen, *(top.images.ravel() for top in tops.values())])).astype(int)
    told('the images')
    of_images = _about_images(pictures(run, seen.examples, watched, seen.judged, images, chosen), images, chosen)
    about = overview.about_run(run, look, watched, table, seen.judged, question)
    scripts = {'images': of_images, 'run': about, 'matching': matching.about_matching(watched)}
    for number, layer in enumerate(table):
        own = units.about_layer(run, layer, watched, seen.shapes, seen.judged)
        own |= {'maps': _kept(maps[layer.name]), 'top': _in_images(tops[layer.name], images)}
        about['layers'][number]['limits'] = _limits(own)
        scripts |= {f'layer_{number}': own | {'number': number}, f'made_{number}': of_units[layer.name]}
    scripts['drawn'] = part('what the task draws', lambda: about_drawn(run, look, watched, chosen), otherwise={})
    scripts['maps'] = _of_images(seen, told) if look.costly else {}
    told('the net that runs in the page')
    scripts['alive'] = _alive(seen)
    laid = look.settings.laid if look.costly else None
    scripts |= space.about_space(run, seen.examples, watched, seen.judged, laid=laid, told=told)
    if look.costly and look.history is not None and look.history.steps():
        scripts['training'] = _training(seen, look.history, told)
    _put(page_path(run.workdir).parent / DATA, scripts)


def _seen(run: Run, look: Look, told: Told) -> tuple[Seen, str]:
    """What is looked at, and the question that is asked of each image."""
    look = look._replace(examples=dataclasses.replace(look.examples, source=Once(look.examples.source)))
    examples, words = look.examples.first(look.settings.images), in_words(tuple(run.class_names))
    on_device = dataclasses.replace(run, variables=jax.device_put(run.variables))  # once, not for each batch
    run, question, class_names = shown.asked(on_device, examples, words)
    table = shown.shown_layers(run, examples)
    names, shapes = tuple(layer.name for layer in table), {layer.name: shown.map_shape(layer) for layer in table}
    examples = examples.at_most(READ_BYTES // _read_bytes(table))
    told('what each unit does')
    size = _vector_size(examples, table)
    watched = watch(run.model, run.variables, examples, names, vectors=dict.fromkeys(names, size))
    known = judged(run, look, watched, words)
    chosen = shown.chosen_images(watched, known, tuple(shapes.values()))
    return Seen(run, look, examples, watched, known, table, shapes, chosen, class_names), question


def _of_units(seen: Seen, told: Told) -> tuple[dict[str, units.Top], dict[str, dict[str, Any]]]:
    """What takes long, of each layer by name: the patches that excite its units most, and what is made for them."""
    run, layers, tops = seen.run, seen.watched.layers, {name: units.no_patches() for name in seen.shapes}
    if not seen.look.costly:
        return tops, {name: {} for name in tops}
    for name in tops:
        told(f'the patches that excite {name}')
        find = functools.partial(units.top_patches, run.model, run.variables, run.input_shape, name, layers[name])
        tops[name] = part(f'the patches that excite {name}', find, otherwise=tops[name])
    return tops, made.made(run, seen.look._replace(examples=seen.examples), seen.watched, seen.table, tops, told)


def _of_images(seen: Seen, told: Told) -> dict[str, Any]:
    macs = sum(layer.macs for layer in seen.table)
    make = functools.partial(
        about_maps, seen.run, seen.examples, seen.watched, seen.judged, seen.chosen, seen.class_names, macs, told,
        most=seen.look.settings.maps,
    )  # fmt: skip
    return part('the maps of images', make, otherwise={'left_out': 'they could not be made; log.txt says why'})


def _alive(seen: Seen) -> dict[str, Any]:
    pixels = alive.pixels_of(seen.examples, seen.watched, seen.chosen)
    make = functools.partial(alive.about_alive, seen.run, seen.examples.preprocess, seen.table, pixels)
    return part('the net that runs in it', make, otherwise={})


def _training(seen: Seen, history: History, told: Told) -> dict[str, Any]:
    """Of the net over its training, with images for the classes where the scores are those of classes."""
    look, of_one = seen.look, seen.judged.of_one_class
    painted = class_images.plan(
        seen.run, look.training, seen.table, len(history.steps()), len(seen.judged.classes) if of_one else 0,
        look.settings.classes,
    )  # fmt: skip
    size = _vector_size(seen.examples, seen.table)
    pages = training.Pages(seen.watched, seen.judged, seen.shapes, seen.chosen, size, painted)
    return training.about_training(seen.run, seen.examples, history, pages, told=told)


def _read_bytes(table: Sequence[Layer]) -> int:
    """What is read of one image: the layers, and as much again of what goes into them; float32."""
    return max(1, 2 * 4 * sum(int(np.prod(layer.output_shape)) for layer in table))


def _vector_size(examples: Examples, table: Sequence[Layer]) -> int:
    count = len(examples.source) if examples.rows is None else len(examples.rows)
    return VECTOR_BYTES // (4 * max(1, count * len(table)))


def _kept(maps: np.ndarray) -> dict[str, Any]:
    """Maps (images, height, width, channels) as bytes on one scale for the layer, (images, channels, height, width).

    Of a larger map the means of squares of `shrunk` pixels.
    """
    maps = maps[..., : units.MOST_UNITS]
    factor = factor_to(maps, MOST_SIDE)
    return {**pack(averaged(maps, factor).transpose(0, 3, 1, 2)), 'shrunk': factor}


def _limits(layer: Mapping[str, Any]) -> dict[str, float]:
    """The largest magnitudes of the maps and of the weights of a layer, which one range of colours for all needs."""
    weights = layer.get('kernels') or layer.get('incoming', {}).get('kernels', {'limit': 0.0})
    return {'map': layer['maps']['limit'], 'weights': weights['limit']}


def _in_images(top: units.Top, images: np.ndarray) -> dict[str, Any]:
    """Patches with the numbers that their images have on the page."""
    found = np.searchsorted(images, top.images)
    return {'images': found.T.tolist(), 'values': top.values.T.tolist(), 'boxes': top.boxes.swapaxes(0, 1).tolist()}


def _about_images(shown: Sequence[Shown], images: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    return {'all': [one._asdict() for one in shown], 'chosen': np.searchsorted(images, chosen).tolist()}


def _put(folder: Path, scripts: Mapping[str, Any]) -> None:
    """Writes the scripts over those of before: a page that is read meanwhile finds one or the other."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in scripts.items():
        write_script(folder, name, values)
    for old in folder.glob('*.js'):
        if old.stem not in scripts:
            old.unlink(missing_ok=True)
