"""A small net as a program that the page runs in the reader's browser: layers, scores and Grad-CAM of what is drawn."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.describe import Layer
from cnn_jax.ops.implementation import implementation
from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.portable import INTO, Refused, portable
from cnn_jax.report.microscope.scripts import pack_bytes, rounded
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import layers
from cnn_jax.tracing import program as programs
from cnn_jax.visualize.engine import placing
from cnn_jax.visualize.engine.examples import Examples

MOST_PARAMETERS, MOST_MACS = 100_000, 5_000_000  # a LeNet-5 has 61,706 and 416,520
MOST_PIXELS = 64 * 64  # of an image that is drawn


class Pixels(NamedTuple):
    """Images that a drawing can begin with: `rows` in the split, `images` uint8, `outputs` the scores of the run."""

    rows: np.ndarray
    images: np.ndarray
    outputs: np.ndarray


def pixels_of(examples: Examples, watched: Watched, places: np.ndarray) -> Pixels:
    """The images at some places among those that were watched."""
    rows = watched.rows[places]
    images = np.concatenate([images for _, images, _ in examples.only(rows).batches()])
    return Pixels(rows, images, watched.outputs[places])


def about_alive(run: Run, preprocess: Callable[[Any], Any], table: Sequence[Layer], pixels: Pixels) -> dict[str, Any]:
    """The values of `alive.js`: the program, and what it is tested by; of a net that does not suit, `refused`.

    Args:
        run: its net and weights.
        preprocess: uint8 images (batch, ...) to model inputs; can be traced.
        table: the layers that are shown.
        pixels: images of the run.
    """
    if run.task.probabilities is None or not pixels.outputs.shape[1]:
        return {'refused': 'its answers are not the probabilities of classes'}
    top = [layer for layer in table if layer.depth == 1]
    parameters, macs = (sum(getattr(layer, name) for layer in top) for name in ('parameters', 'macs'))
    if parameters > MOST_PARAMETERS or macs > MOST_MACS or np.prod(run.image_shape[:2]) > MOST_PIXELS:
        height, width, _ = run.image_shape
        return {
            'refused': f'it has {parameters:,} parameters and {macs:,} multiply-adds on images of {height} x {width}; '
            f'the page carries nets of at most {MOST_PARAMETERS:,} and {MOST_MACS:,} on {MOST_PIXELS:,} pixels'
        }
    try:
        found = program_of(run, preprocess, [layer.name for layer in table], pixels.outputs.shape[-1])
    except Refused as refused:
        return {'refused': f'{refused}, which the page cannot compute'}
    return {
        'image': list(run.image_shape),
        'program': found,
        'parameters': int(sum(np.size(leaf) for leaf in jax.tree.leaves(run.variables))),
        'rows': pixels.rows.tolist(),
        'pixels': pack_bytes(pixels.images),
        'scores': rounded(pixels.outputs, 7),
    }


def program_of(run: Run, preprocess: Callable[[Any], Any], names: Sequence[str], num_classes: int) -> dict[str, Any]:
    """The program as plain values, see `portable`.

    Its inputs are the pixels of one image, 0 to 255, and a weight for each class: one for the class that is explained,
    0 for the others. Its outputs are `scores`, `probabilities`, `layer:NAME` for each layer, and for those with maps
    `cam:NAME`, what `grad_cam.attribute(layer=NAME)` gives.

    Raises: Refused where the page does not know an operation.
    """
    image = jax.ShapeDtypeStruct((1, *run.image_shape), np.uint8)
    found: list[str] = []

    def arrays(variables: Any, image: jax.Array, weights: jax.Array) -> list[jax.Array]:
        made = _computed(run, preprocess, names, variables, image, weights)
        found[:] = list(made)
        return list(made.values())

    with implementation('lax'):
        closed = jax.make_jaxpr(arrays)(run.variables, image, jax.ShapeDtypeStruct((1, num_classes), np.float32))
    program = programs.flatten(closed, INTO)
    known = dict(zip(program.inputs, jax.tree.leaves(run.variables), strict=False))
    return portable(programs.prune(program, program.outputs), found, known)


def _computed(
    run: Run,
    preprocess: Callable[[Any], Any],
    names: Sequence[str],
    variables: Any,
    image: jax.Array,
    weights: jax.Array,
) -> dict[str, jax.Array]:
    """All that the page shows of one image, by name."""
    inputs = preprocess(image)
    net = layers.trace(run.model, variables, inputs)
    numbers = {name: net.output(name) for name in names}
    with_maps = [name for name in names if len(net.layers[name].shape) == 4 and max(net.layers[name].shape[1:3]) > 1]

    def upper(added: dict[int, jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        outputs, *maps = net.run(variables, inputs, [net.output(None), *numbers.values()], added=added)
        return outputs, maps

    kinds = {numbers[name]: net.program.types[numbers[name]] for name in with_maps}
    zeros = {number: jnp.zeros(kind.shape, kind.dtype) for number, kind in kinds.items()}
    outputs, pull, maps = jax.vjp(upper, zeros, has_aux=True)
    (slopes,) = pull(weights.astype(outputs.dtype))
    assert run.task.probabilities is not None  # see `about_alive`
    found = {'inputs': inputs, 'scores': outputs, 'probabilities': run.task.probabilities(outputs)}
    found |= {f'layer:{name}': values for name, values in zip(names, maps, strict=True)}
    for name in with_maps:
        centres = placing.centres_for(run.model, run.variables, run.input_shape, name, 'fields')
        if placing.spatial_axes(net, name, centres) == (1, 2):
            size = (inputs.shape[1], inputs.shape[2])
            found[f'cam:{name}'] = _cam(found[f'layer:{name}'], slopes[numbers[name]], size, centres)
    return found


def _cam(maps: jax.Array, slopes: jax.Array, size: tuple[int, int], centres: Any) -> jax.Array:
    combined = jnp.sum(maps * jnp.mean(slopes, (1, 2), keepdims=True), -1, keepdims=True)
    return placing.enlarged(jax.nn.relu(combined), size, centres)
