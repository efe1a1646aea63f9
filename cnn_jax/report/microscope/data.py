"""The scripts of a run's microscope, written into `report/data/`."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax import describe
from cnn_jax.data.formats.imagenet_words import in_words
from cnn_jax.describe import Layer
from cnn_jax.drawing.page import page_path
from cnn_jax.report.microscope import alive, made, matching, overview, space, training, units
from cnn_jax.report.microscope.activity import Watched, averaged, factor_to, maps_of, watch
from cnn_jax.report.microscope.findings import worst_confusion
from cnn_jax.report.microscope.look import Look
from cnn_jax.report.microscope.maps import MOST_SIDE, about_maps
from cnn_jax.report.microscope.pictures import Shown, pictures
from cnn_jax.report.microscope.scripts import pack, write_script
from cnn_jax.report.parts import part
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine.examples import Examples

DATA = 'data'  # the folder beside the page
MOST_IMAGES = 1000  # that are looked at
MOST_CHOSEN, FEWEST_CHOSEN = 40, 4  # images whose maps are kept
MAP_BYTES = 4 << 20  # of all maps that are kept
READ_BYTES = 512 << 20  # of a batch of images in all layers
VECTOR_BYTES = 256 << 20  # of the vectors of all images in all layers


def suits(task: Any) -> bool:
    """Whether a task has a microscope: one class of each image is right, and nothing else goes into the net."""
    return 'label' in task.truths and task.probabilities is not None and not task.model_inputs and not task.is_asked


def write(run: Run, look: Look, *, told: Callable[[str], None] = lambda words: None) -> None:
    """Writes the scripts of all pages, `run.js`, `images.js`, two for each layer and so on; earlier ones go.

    told: hears what is looked at.

    Raises:
        CnnJaxError: the net cannot be followed.
        OSError: they cannot be written.
    """
    table = _shown_layers(run, look.examples)
    names = tuple(layer.name for layer in table)
    class_names = in_words(tuple(run.class_names))
    examples = look.examples.first(MOST_IMAGES).at_most(READ_BYTES // _read_bytes(table))
    told('what each unit does')
    run = dataclasses.replace(run, variables=jax.device_put(run.variables))  # once, not for each batch
    size = _vector_size(examples, names)
    watched = watch(run.model, run.variables, examples, names, vectors=dict.fromkeys(names, size))
    shapes = {layer.name: _map_shape(layer) for layer in table}
    chosen = _chosen(watched, len(class_names), sum(_kept_bytes(shape) for shape in shapes.values()))
    maps = maps_of(run.model, run.variables, examples.only(watched.rows[chosen]), names)
    tops, of_units = _of_units(run, look, examples, watched, table, told)
    images = np.unique(np.concatenate([chosen, *(top.images.ravel() for top in tops.values())])).astype(int)
    told('the images')
    shown = pictures(run, examples, watched, images, class_names)
    about = overview.about_run(run, look, watched, table, class_names)
    scripts = {'images': _about_images(shown, images, chosen), 'run': about}
    scripts['matching'] = matching.about_matching(watched)
    for number, layer in enumerate(table):
        own = units.about_layer(run, layer, watched, shapes, class_names)
        own |= {'maps': _kept(maps[layer.name]), 'top': _in_images(tops[layer.name], images)}
        scripts |= {f'layer_{number}': own | {'number': number}, f'made_{number}': of_units[layer.name]}
    scripts['maps'] = _of_images(run, examples, watched, chosen, table, told) if look.costly else {}
    told('the net that runs in the page')
    scripts['alive'] = _alive(run, examples, watched, chosen, table)
    scripts |= space.about_space(examples, watched, class_names, costly=look.costly, told=told)
    if look.costly and look.history is not None and look.history.steps():
        pages = training.Pages(watched, shapes, chosen, size)
        scripts['training'] = training.about_training(run, examples, look.history, pages, told=told)
    _put(page_path(run.workdir).parent / DATA, scripts)


def _of_units(
    run: Run,
    look: Look,
    examples: Examples,
    watched: Watched,
    table: Sequence[Layer],
    told: Callable[[str], None],
) -> tuple[dict[str, units.Top], dict[str, dict[str, Any]]]:
    """What takes long, of each layer by name: the patches that excite its units most, and what is made for them."""
    names = [layer.name for layer in table]
    if not look.costly:
        return {name: units.no_patches() for name in names}, {name: {} for name in names}
    tops = {}
    for name in names:
        told(f'the patches that excite {name}')
        tops[name] = units.top_patches(run.model, run.variables, run.input_shape, name, watched.layers[name])
    return tops, made.made(run, look._replace(examples=examples), watched, table, tops, told)


def _of_images(
    run: Run,
    examples: Examples,
    watched: Watched,
    chosen: np.ndarray,
    table: Sequence[Layer],
    told: Callable[[str], None],
) -> dict[str, Any]:
    macs = sum(layer.macs for layer in table)
    make = functools.partial(about_maps, run, examples, watched, chosen, macs, told)
    return part('the maps of images', make, otherwise={})


def _alive(
    run: Run, examples: Examples, watched: Watched, chosen: np.ndarray, table: Sequence[Layer]
) -> dict[str, Any]:
    pixels = alive.pixels_of(examples, watched, chosen)
    make = functools.partial(alive.about_alive, run, examples.preprocess, table, pixels)
    return part('the net that runs in it', make, otherwise={})


def _shown_layers(run: Run, examples: Examples) -> list[Layer]:
    """The layers that the model calls itself, and that give maps or vectors for each image; of two calls the last."""
    first = examples.source[0]['image'][None]
    net = scores.net_of(run.model, run.variables, examples.inputs(first))
    found = {}
    for layer in describe.layer_table(run.model, run.input_shape, variables=run.variables):
        known = net.layers.get(layer.name)
        if layer.depth > 1 or layer.kind == 'Dropout' or known is None:  # which passes on what it reads
            continue
        if known.batched and len(known.shape) in (2, 4):
            found[layer.name] = layer
    return list(found.values())


def _read_bytes(table: Sequence[Layer]) -> int:
    """What is read of one image: the layers, and as much again of what goes into them; float32."""
    return 2 * 4 * sum(int(np.prod(layer.output_shape)) for layer in table)


def _vector_size(examples: Examples, names: Sequence[str]) -> int:
    count = len(examples.source) if examples.rows is None else len(examples.rows)
    return VECTOR_BYTES // (4 * max(1, count) * len(names))


def _map_shape(layer: Layer) -> tuple[int, int, int]:
    shape = layer.output_shape
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, 1, shape[-1])


def _kept_bytes(shape: tuple[int, int, int]) -> int:
    height, width, channels = shape
    return min(height, MOST_SIDE) * min(width, MOST_SIDE) * min(channels, units.MOST_UNITS)


def _chosen(watched: Watched, num_classes: int, bytes_of_one: int) -> np.ndarray:
    """The places of the images whose maps are kept: half of them mistakes if there are, the rest of all classes."""
    most = min(max(MAP_BYTES // max(1, bytes_of_one), FEWEST_CHOSEN), MOST_CHOSEN, len(watched.rows))
    right = watched.outputs.argmax(1) == watched.labels
    confused = worst_confusion(watched, num_classes)
    first = [] if confused is None else [confused[2]]  # a finding leads to it
    mistakes = most - min(int(right.sum()), most - most // 2)
    wrong = np.array(list(dict.fromkeys([*first, *np.flatnonzero(~right).tolist()])), int)[:mistakes]
    turns = np.zeros(len(right), int)  # the how manieth of its class an image is
    for label in np.unique(watched.labels):
        turns[watched.labels == label] = np.arange(int((watched.labels == label).sum()))
    others = np.lexsort((watched.labels, turns))
    others = others[right[others]][: most - len(wrong)]
    return np.sort(np.concatenate([wrong, others])).astype(int)


def _kept(maps: np.ndarray) -> dict[str, Any]:
    """Maps (images, height, width, channels) as bytes on one scale for the layer, (images, channels, height, width).

    Of a larger map the means of squares of `shrunk` pixels.
    """
    maps = maps[..., : units.MOST_UNITS]
    factor = factor_to(maps, MOST_SIDE)
    return {**pack(averaged(maps, factor).transpose(0, 3, 1, 2)), 'shrunk': factor}


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
