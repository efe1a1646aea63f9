"""What a layer still knows of an image: another image whose features are the same, or more of the same.

    python -m cnn_jax.main --mode=visualize --workdir=RUN --method=invert --image=cat.jpg
    python -m cnn_jax.main --mode=visualize --workdir=RUN --method=invert --image=cat.jpg --set.caricature

Mahendran and Vedaldi 2014, arXiv:1412.0035: the squared distance of the features, with the sixth powers and the total
variation of the pixels. Differences: Adam, whose steps do not depend on the net, in place of momentum; and the total
variation costs a share of what the features cost, measured on the image, since the published weights, for photographs,
leave of a digit nothing but grey. A caricature, from Lucid, has the features' direction and not their size.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import scores
from cnn_jax.tracing.layers import Net
from cnn_jax.visualize.engine import image_rows
from cnn_jax.visualize.engine.examples import Absent, Examples
from cnn_jax.visualize.engine.picture_file import whole
from cnn_jax.visualize.optimized import many
from cnn_jax.visualize.optimized.ascent import Words, in_words
from cnn_jax.visualize.optimized.natural import Natural, measured
from cnn_jax.visualize.optimized.objectives import Caricature, Match, Objective
from cnn_jax.visualize.optimized.parameterisation import Pixels
from cnn_jax.visualize.optimized.presets import recipe
from cnn_jax.visualize.optimized.recipe import Recipe
from cnn_jax.visualize.optimized.regularisers import Powers, TotalVariation
from cnn_jax.visualize.optimized.step import features
from cnn_jax.visualize.optimized.steps import Steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_NO_CLASS = True  # a net whose head is missing will do
SIXTH_POWERS = 1.7  # 8e-10 / 2 at 0 .. 255, over the squared norm of an image: here times 255 ** 4
FARTHEST = 0.55  # of ImageNet's mean colour to white, for which that weight is made
COLUMNS = 3  # pictures beside each other, where there is one image
VARIATIONS = (0.01, 0.05, 0.2)  # of layers in the first, second and last third


def visualize(
    model: Any,
    variables: Any,
    *,
    images: Any,
    training: Examples | Absent,
    photograph: np.ndarray | None = None,
    layer: str | None = None,
    told: Words | None = None,
    layers: int = 5,  # that are inverted, spread from the first to the last, where no --layer is given
    steps: int = 300,
    variation: float | None = None,  # cost of the image's own total variation; None: 0.01, 0.05 or 0.2, by depth
    powers: float = 1.0,  # times the published weight of the sixth powers
    size: int | None = None,  # pixels of the long side of the picture, whole; None: as the net is shown it
    caricature: bool = False,  # exaggerates what the layer sees in the image
    seed: int = 0,  # of the noise that it begins with
    chunk: int | None = None,  # images at once; None: what half a GiB holds
) -> dict[str, np.ndarray]:
    """Returns `images` (layers, batch, height, width, channels) in 0 .. 1, `originals`, `residuals`, the squared
    distances of the features as shares of their squares, `pixel_errors`, root mean squares in 0 .. 1, and `notes`, all
    (layers, batch), `layers`, and what was logged, `LAYER_objective` and others (steps, batch).

    images: model inputs. photograph: uint8 (height, width, channels) of any size, which takes the place of the images
    where a `size` is given.

    Raises: CnnJaxError for an unknown layer, or inputs that are no scaled pixels; DivergedError.
    """
    natural = measured(training)
    net = scores.net_of(model, variables, natural.blank)
    names = [layer] if layer is not None else _spread(net, layers)
    originals = np.asarray(natural.images(jnp.asarray(images)) if size is None else whole(photograph, size))
    natural, found, residuals = natural.of_size(*originals.shape[1:3]), {}, []
    inputs = natural.inputs(jnp.asarray(originals))
    for name in names:
        wanted = features(model, variables, inputs, (name,))[0]

        def objective_of(rows: np.ndarray, wanted: Any = wanted, name: str = name) -> Objective:
            return Caricature(wanted[rows], name) if caricature else Match(wanted[rows], name)

        cost = _variation(net, name, variation)
        made = recipe('lucid', natural.size) if caricature else inversion(natural, originals, cost, powers)
        found[name] = many.ascend_each(
            model, variables, objective_of, len(inputs), many.with_steps(made, steps), natural, seed=seed, chunk=chunk,
            told=in_words(told, name),
        )  # fmt: skip
        there = features(model, variables, natural.inputs(jnp.asarray(found[name].images)), (name,))[0]
        residuals.append(_residual(np.asarray(there), np.asarray(wanted)))
    pictures = np.stack([one.images for one in found.values()])
    return {
        'images': pictures,
        'originals': originals,
        'residuals': np.stack(residuals),
        'pixel_errors': np.sqrt(np.square(pictures - originals[None]).mean((2, 3, 4))),
        'layers': np.array(names),
        'notes': np.array([one.notes for one in found.values()]),
        **{f'{name.replace("/", ".")}_{what}': v for name, one in found.items() for what, v in one.history.items()},
    }


def inversion(natural: Natural, images: np.ndarray, variation: float, powers: float) -> Recipe:
    """The settings of an inversion; variation: what the total variation of the images themselves, in 0 .. 1, costs."""
    size, squares = float(np.prod(natural.shape)), float(natural.norm) ** 2
    farthest = float(jnp.maximum(natural.mean, 1 - natural.mean).max())
    own = float(TotalVariation(1.0)(natural.centred(jnp.asarray(images))).mean())
    return Recipe(
        Pixels(float(np.sqrt(squares / size))),
        Steps('adam', 0.05, last=0.05),
        penalties=(
            ('sixth_powers', Powers(powers * SIXTH_POWERS * size / squares, 6, farthest / FARTHEST)),
            ('total_variation', TotalVariation(variation / own if own else 0.0)),
        ),
        clip=True,
    )


def _residual(values: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(batch,) the squared distance over the squares; 0 over 0 is 0."""
    axes = tuple(range(1, features.ndim))
    missed, whole = np.square(values - features).sum(axes), np.square(features).sum(axes)
    return missed / np.where(whole > 0, whole, 1)


def _spread(net: Net, count: int) -> list[str]:
    """So many layers with variables from the first to the last, of a block the block and not what is inside."""
    learned = [one.name for one in net.layers.values() if one.learned and one.batched]
    outer = [name for name in learned if not any(name.startswith(f'{other}/') for other in learned)]
    if count < 1:
        raise CnnJaxError(f'layers: {count} given; it is at least 1')
    places = np.unique(np.linspace(0, len(outer) - 1, min(count, len(outer))).round().astype(int))
    return [outer[place] for place in places]


def _variation(net: Net, layer: str, given: float | None) -> float:
    if given is not None:
        return given
    order = list(net.layers)
    place = order.index(layer) / len(order) if layer in order else 1.0
    return VARIATIONS[min(int(3 * place), 2)]


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """The images, and beneath them what each layer still knows of them; of one image, layer beside layer."""
    names, count = arrays['layers'].tolist(), len(arrays['originals'])
    missed = [[f'{value:.3g} missed' for value in row] for row in arrays['residuals']]
    if count == 1:
        images = np.concatenate([arrays['originals'], arrays['images'][:, 0]])
        captions = [['image', ''], *([name, one] for name, (one,) in zip(names, missed, strict=True))]
        parts = [slice(first, first + COLUMNS) for first in range(0, len(images), COLUMNS)]
        rows = [image_rows.Row('', images[part], captions[part]) for part in parts]
    else:
        rows = [image_rows.Row('image', arrays['originals'], [['']] * count)]
        for name, images, said in zip(names, arrays['images'], missed, strict=True):
            rows.append(image_rows.Row(name, images, [[one] for one in said]))
    heading = 'images of the same features; above each the squared distance of the features as a share of their squares'
    notes = sorted({note for note in arrays['notes'].ravel().tolist() if note})
    return image_rows.draw(rows, heading=heading, notes=notes, width=width)
