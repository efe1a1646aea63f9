"""Images that a net takes for its classes, made by optimisation, with one regulariser or several side by side.

    python -m cnn_jax.main --mode=visualize --workdir=RUN --method=class_images --set.presets=simonyan,yosinski3,lucid

Simonyan et al. 2013, arXiv:1312.6034; the other presets name their sources in `optimized/presets.py`. `nguyen` draws
one object in the middle, in five stages (Nguyen et al. 2016, arXiv:1602.03616).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine import image_rows
from cnn_jax.visualize.engine.examples import Absent, Examples
from cnn_jax.visualize.optimized import many
from cnn_jax.visualize.optimized.ascent import Words
from cnn_jax.visualize.optimized.natural import Natural, measured
from cnn_jax.visualize.optimized.objectives import Objective, probabilities, units
from cnn_jax.visualize.optimized.presets import NUM_OF_PROBABILITY, PRESETS, centred_stages, recipe
from cnn_jax.visualize.optimized.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_NO_IMAGE = True  # made of nothing


def visualize(
    model: Any,
    variables: Any,
    *,
    training: Examples | Absent,
    unit: int | None = None,
    told: Words | None = None,
    presets: tuple[str, ...] = ('lucid',),  # plain, simonyan, yosinski1 to yosinski4, lucid, maco, robust, nguyen
    steps: int | None = None,  # None: those of the preset
    most: int = 10,  # classes, the first ones, where no --unit is given
    seed: int = 0,  # of the start and of the random moves
    patience: int | None = None,  # ends after so many steps without a better logit; None: goes on to the end
    chunk: int | None = None,  # classes at once; None: what half a GiB holds
) -> dict[str, np.ndarray]:
    """Returns `images` (presets, classes, height, width, channels) in 0 .. 1, `values`, the logits of these images,
    `predicted`, the class whose logit is the highest, `notes`, all (presets, classes), `classes`, `presets`, and what
    was logged, for each preset `PRESET_objective`, `PRESET_gradient` and its penalties (steps, classes).

    training: images whose colours and spectrum the pictures take. unit: this class alone.

    Raises: CnnJaxError for an unknown preset or class, or inputs that are no scaled pixels; DivergedError.
    """
    natural = measured(training)
    classes = _classes(model, variables, natural, unit, most)
    found, predicted = {}, []
    for name in presets:
        found[name] = many.ascend_through(
            model, variables, _stages(name, natural.size, steps, classes), len(classes), natural, numbers=classes,
            told=told, what=name, seed=seed, chunk=chunk, patience=patience,
        )  # fmt: skip
        inputs = natural.inputs(jnp.asarray(found[name].images))
        predicted.append(np.asarray(scores.read(model, variables, inputs, (None,))[0]).argmax(-1))
    return {
        'images': np.stack([one.images for one in found.values()]),
        'values': np.stack([one.values for one in found.values()]),
        'predicted': np.stack(predicted),
        'notes': np.array([one.notes for one in found.values()]),
        'classes': classes,
        'presets': np.array(presets),
        **{f'{name}_{what}': values for name, one in found.items() for what, values in one.history.items()},
    }


def _stages(
    name: str, size: tuple[int, int], steps: int | None, classes: np.ndarray
) -> list[tuple[Recipe, many.Objectives]]:
    """The one stage of a preset, or those of `nguyen`, with what each is made for.

    Raises: CnnJaxError for an unknown name, with the close matches.
    """
    if name not in (*PRESETS, 'nguyen'):
        raise CnnJaxError(unknown('preset', name, (*PRESETS, 'nguyen')))

    def logit(rows: np.ndarray) -> Objective:
        return units(classes[rows])

    if name != 'nguyen':
        return [(many.with_steps(recipe(name, size), steps), logit)]
    stages = centred_stages(size, steps)
    return [
        (one, (lambda rows: probabilities(classes[rows])) if number < NUM_OF_PROBABILITY else logit)
        for number, one in enumerate(stages)
    ]


def _classes(model: Any, variables: Any, natural: Natural, unit: int | None, most: int) -> np.ndarray:
    """The one class, or the first of them."""
    net = scores.net_of(model, variables, natural.blank)
    shape = net.program.types[net.output(None)].shape
    if len(shape) != 2:
        raise CnnJaxError(f'class_images: the scores are {shape}, and not one for each class; use units with a --layer')
    if unit is not None and not 0 <= unit < shape[-1]:
        raise CnnJaxError(f'unit: {unit} given; a class is 0 to {shape[-1] - 1}')
    return np.arange(min(max(most, 1), shape[-1])) if unit is None else np.array([unit])


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None) -> 'Figure':
    """A row for each preset; above an image its class, the logit, and what the net says if that is another class."""
    names = np.arange(arrays['predicted'].max() + arrays['classes'].max() + 1) if class_names is None else class_names
    rows = []
    for number, preset in enumerate(arrays['presets'].tolist()):
        told = zip(arrays['classes'], arrays['values'][number], arrays['predicted'][number], strict=True)
        captions = [_caption(names, *one) for one in told]
        rows.append(image_rows.Row(preset, arrays['images'][number], captions))
    notes = sorted({note for note in arrays['notes'].ravel().tolist() if note})
    heading = 'images made by optimisation to raise the logit of a class; above each the class and its logit'
    return image_rows.draw(rows, heading=heading, notes=notes, width=width)


def _caption(names: Any, wanted: int, value: float, said: int) -> list[str]:
    return [str(names[wanted]), f'{value:.3g}', *([] if said == wanted else [f'says {names[said]}'])]
