"""What the net takes for each class, at each step of its training: images made by one compiled step for all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax.describe import Layer
from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope import optimised
from cnn_jax.report.microscope.activity import averaged, factor_to
from cnn_jax.report.microscope.look import History
from cnn_jax.report.microscope.scripts import pack_bytes, rounded
from cnn_jax.tasks.run import Run
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.optimized import many, objectives
from cnn_jax.visualize.optimized.ascent import Ascended, Told, in_words
from cnn_jax.visualize.optimized.natural import Natural, measured
from cnn_jax.visualize.optimized.presets import recipe

MOST_MACS = 1e12  # of all ascents of all steps; a larger net has images of fewer classes
MOST_BYTES = 1 << 20  # of all images
MOST_SIDE = 64  # pixels of a kept image; larger ones are averaged
PASSES = 3  # a gradient costs as much as two passes more


class Plan(NamedTuple):
    """For which classes images are made, `classes` (numbers), and what the images of the run are like."""

    natural: Natural
    classes: np.ndarray


def plan(
    run: Run, training: Examples | None, table: Sequence[Layer], num_steps: int, num_classes: int, most: int
) -> Plan | str:
    """What is made of a run, the first classes; where nothing is, the reason in words.

    Args:
        run: the net, whose scores are those of `num_classes` classes; 0: they are of none.
        training: images whose colours and spectrum are taken; None: they are not there.
        table: the layers of the net.
        num_steps: of its history.
        num_classes: that there are.
        most: that are wanted.
    """
    if not num_classes:
        return 'the scores of this net are not those of classes'
    if training is None:
        return 'the training images, whose colours they take, are not here'
    if not most:
        return 'none are wanted, --set.classes=0'
    count = min(most, num_classes, affordable(sum(layer.macs for layer in table), run.input_shape, num_steps))
    if not count:
        return f'the net is too large to make an image of a class at each of {num_steps} steps here'
    try:
        return Plan(measured(training), np.arange(count))
    except CnnJaxError as error:  # its inputs are no scaled pixels
        return str(error)


def affordable(macs: int, input_shape: tuple[int, int, int], num_steps: int) -> int:
    """For how many classes a net of so many multiply-adds has images at so many steps."""
    height, width, channels = input_shape
    nbytes = channels * min(height, MOST_SIDE) * min(width, MOST_SIDE)
    of_class = optimised.STEPS * PASSES * max(1, macs)
    return int(min(MOST_MACS / of_class, MOST_BYTES / nbytes) / max(1, num_steps))


def about_classes(
    run: Run, history: History, steps: Sequence[int], planned: Plan | str, *, told: Callable[[str], None]
) -> dict[str, Any]:
    """`images` (steps, classes, height, width, channels) as bytes, and the `scores` (steps, classes) of their classes.

    `shrunk`: of larger images the means of squares of so many pixels. Where there are none, `left_out`: the reason.
    Each image starts from the same noise at all steps, and is moved by the same chance.

    told: hears what is made.
    """
    if isinstance(planned, str):
        return {'left_out': planned}
    found: list[Ascended] = []
    try:
        for step in steps:
            variables = jax.device_put(history.read(step, run.variables))
            found.append(at_step(run, variables, planned, in_words(told, f'classes at step {step} of its training')))
    except CnnJaxError as error:  # a score that is not finite
        return {'left_out': str(error)}
    if not found:
        return {'left_out': 'no step can be shown'}
    return {
        **_kept(np.stack([one.images for one in found])),
        'scores': rounded(np.stack([one.values for one in found])),
        'classes': planned.classes.tolist(),
        'settings': f'preset {optimised.PRESET}, {optimised.STEPS} steps, seed {optimised.SEED}',
    }


def at_step(run: Run, variables: Mapping[str, Any], planned: Plan, told: Told | None = None) -> Ascended:
    """The images of one step and the scores of their classes.

    The variables are arguments of the compiled step of the ascent, so that all steps of a training share it.

    Raises: DivergedError where a score is not finite.
    """
    classes = planned.classes
    return many.ascend_each(
        run.model, variables, lambda rows: objectives.units(classes[rows]), len(classes),
        many.with_steps(recipe(optimised.PRESET, planned.natural.size), optimised.STEPS), planned.natural,
        seed=optimised.SEED, numbers=classes, told=told,
    )  # fmt: skip


def _kept(images: np.ndarray) -> dict[str, Any]:
    steps, classes, *shape = images.shape
    flat = images.reshape(steps * classes, *shape)
    factor = factor_to(flat, MOST_SIDE)
    small = np.round(255 * np.clip(averaged(flat, factor), 0, 1)).astype(np.uint8)
    return {'images': pack_bytes(small.reshape(steps, classes, *small.shape[1:])), 'shrunk': factor}
