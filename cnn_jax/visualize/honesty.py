"""What maps are worth: the same maps of a net with random weights, and what their pixels do to the score.

Cascading randomisation: Adebayo et al. 2018, arXiv:1810.03292. Insertion and deletion: Petsiuk et al. 2018,
arXiv:1806.07421.
"""

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import layers, scores
from cnn_jax.tracing.meeting import owners_in_order
from cnn_jax.visualize.engine import honesty_picture, methods, mixtures, pictures
from cnn_jax.visualize.engine.shuffling import mixed, shuffled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOGETHER = 10  # images at a time; each such group has a shuffle of its own


def visualize(
    model: Any,
    variables: Any,
    *,
    images: Any,
    targets: Any = None,
    method: str = 'guided_backprop',
    layer: str | None = None,
    most_levels: int = 8,
    num_steps: int = 20,
    seed: int = 0,
    baseline: float = 0.0,
    probability: Callable[[jax.Array], jax.Array] | None = jax.nn.softmax,
    random: Callable[[int], Any] | None = None,
) -> dict[str, np.ndarray]:
    """Returns what random weights and covered pixels say of the maps of a method:

    - `maps` (levels, 1, height, width, channels), of the first image: the map, then that of the net with the weights of
      the last layer shuffled, of the last several, and so on to all variables; `layers` (levels,), which came last;
    - `correlation` (levels, batch), Spearman's with the map of the trained net, of the magnitudes that a picture shows,
      over the pixels that any of the maps reaches;
    - `insertion` and `deletion` (num_steps + 1, batch), the target's probability as the strongest pixels of the picture
      come first or go first, and their means `insertion_score` and `deletion_score` (batch,); `measured`, what that is
      in words; `scored`, the layer of the target; `method`.

    NaN stands where a map is zero or one number everywhere, or not finite: it says nothing of the order of pixels.

    images: 30 or more, for an interval of the means; TOGETHER at a time, each such group with a shuffle of its own.
    targets, layer: as the method takes them; None: the highest score of the trained net, at all levels. For a unit of a
    layer the layers up to it are shuffled, and its activation, as a share of that on the whole image, takes the place
    of the probability. probability: the scores to probabilities in their shape, the task's own, and of a sum the mean
    is taken; None: the score as a share of that on the whole image. random: a number to all variables `shuffled`, where
    they are at hand.

    Differs from the papers: weights are shuffled within each variable instead of drawn anew, which keeps their
    distribution for any model; insertion starts from `baseline` instead of a blurred image.

    Raises: CnnJaxError for a method that is no attribution, and what the method raises.
    """
    images = scores.check_images(images)
    scored = methods.scored_layer(method, layer)
    targets = mixtures.resolve(model, variables, images, targets, scored, chunk=TOGETHER)
    net = scores.net_of(model, variables, images[:1])
    order = owners_in_order(net, variables, scored)[::-1]
    attribute = functools.partial(_attribution(method), model, layer=layer)
    look: dict[str, Any] = {'num_steps': num_steps, 'baseline': baseline, 'layer': scored, 'probability': probability}
    parts = []
    for number, start in enumerate(range(0, len(images), TOGETHER)):
        rows = slice(start, start + TOGETHER)
        known = random(number) if random else shuffled(variables, None, seed + number)
        group = images[rows], targets[rows]
        cascade = _cascade(attribute, variables, known, order, levels(len(order), most_levels), group)
        curves = {
            name: curve(model, variables, *group, _strength(cascade[0]), insert=name == 'insertion', **look)
            for name in ('insertion', 'deletion')
        }
        parts.append({'maps': cascade, 'correlation': _correlations(cascade), **curves})
    found = {
        name: np.concatenate([part[name] for part in parts], 1) for name in ('correlation', 'insertion', 'deletion')
    }
    found |= {f'{name}_score': np.trapezoid(found[name], axis=0) / num_steps for name in ('insertion', 'deletion')}
    names = ['trained', *(order[level - 1] or '(the model itself)' for level in levels(len(order), most_levels)[1:])]
    words = {'scored': scored or '', 'method': method, 'measured': _measured(scored, probability)}
    texts = {name: np.array(text) for name, text in words.items()}
    return {'maps': parts[0]['maps'][:, :1], 'layers': np.array(names), **found, **texts}


def levels(count: int, most: int) -> list[int]:
    """How many layers to shuffle, one level after the other: none, the last, then evenly to all of `count`."""
    if count < 1:
        return [0]
    return [0, *np.unique(np.linspace(1, count, min(max(most - 1, 1), count)).round().astype(int)).tolist()]


def _attribution(method: str) -> Any:
    try:
        return importlib.import_module(f'cnn_jax.visualize.{method}').attribute
    except (ImportError, AttributeError) as error:
        raise CnnJaxError(f'honesty: {method!r} is not an attribution method; give one such as gradient') from error


def _cascade(
    attribute: Any, variables: Any, random: Any, order: list[str], counts: list[int], group: tuple[Any, Any]
) -> np.ndarray:
    """The maps of some images as more and more layers are shuffled, (levels, batch, height, width, channels)."""
    changed = [random if count == len(order) and count else mixed(variables, random, order[:count]) for count in counts]
    return np.stack([np.asarray(attribute(one, *group)) for one in changed])


def _strength(maps: np.ndarray) -> np.ndarray:
    """What a picture of maps shows the stronger, the larger: (batch, height, width)."""
    return np.abs(pictures.flat(maps))


def _correlations(cascade: np.ndarray) -> np.ndarray:
    """The rank correlation of each level with the first, (levels, batch).

    Pixels that are zero in every map do not count: nothing looks there, whatever the weights, and their agreement would
    make a map of units that see the middle alone look blind to its weights.
    """
    strength = np.stack([_strength(maps) for maps in cascade])  # (levels, batch, height, width)
    seen = strength[..., (strength != 0).any((0, 1))]  # (levels, batch, pixels)
    return np.array([[rank_correlation(a, b) for a, b in zip(seen[0], other, strict=True)] for other in seen])


def _measured(scored: str | None, probability: Any) -> str:
    if scored:
        return f'share of the activation in {scored}'
    return 'probability of what is explained' if probability else 'share of the score'


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of two arrays of one shape, ties sharing their mean rank; NaN if either is constant."""
    from scipy.stats import rankdata

    if not (first.size and np.isfinite(first).all() and np.isfinite(second).all()):
        return float('nan')
    ranks = [rankdata(array.ravel()) for array in (first, second)]
    centred = [rank - rank.mean() for rank in ranks]
    norms = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    return float(centred[0] @ centred[1] / norms) if norms > 0 else float('nan')


def curve(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any,
    strength: np.ndarray,
    *,
    insert: bool,
    num_steps: int = 20,
    baseline: float = 0.0,
    layer: str | None = None,
    probability: Callable[[jax.Array], jax.Array] | None = jax.nn.softmax,
) -> np.ndarray:
    """The target's probability while equal shares of pixels come in (`insert`) or go, strongest first.

    strength: (batch, height, width). layer: of the target: its activation over that on the whole image instead; 0 where
    that is 0. Returns (num_steps + 1, batch); NaN for an image whose pixels are all as strong.
    """
    images = scores.check_images(images)
    batch, pixels = len(images), strength[0].size
    order = np.argsort(-strength.reshape(batch, -1), axis=1, kind='stable')
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(pixels)[None].repeat(batch, 0), axis=1)
    look = {'layer': layer, 'probability': probability}
    run = functools.partial(scores.precisely(_target), scores.Static(model), variables, images, targets, **look)
    found = []
    for step in range(num_steps + 1):
        strong = (place < round(step * pixels / num_steps)).reshape(strength.shape)
        found.append(np.asarray(run(strong if insert else ~strong, baseline)))
    values = np.stack(found)
    if layer is not None or probability is None:
        whole = values[-1 if insert else 0]
        values = values / np.where(whole == 0, np.inf, whole)
    ordered = np.ptp(np.where(np.isfinite(strength), strength, np.nan), axis=(1, 2)) > 0  # False for NaN
    return np.where(ordered, values, np.nan)


@functools.partial(jax.jit, static_argnums=0, static_argnames=('layer', 'probability'))
def _target(static, variables, images, targets, shown, baseline, *, layer, probability):
    inputs = jnp.where(shown[..., None], images, jnp.asarray(baseline, images.dtype))
    net = layers.trace(static.model, variables, inputs)
    outputs = net.run(variables, inputs, [net.output(layer)])[0]
    values = probability(outputs) if layer is None and probability is not None else outputs
    seeds = scores.seeds(outputs, targets).reshape(len(images), -1)
    return jnp.sum(seeds * values.reshape(len(images), -1), -1) / jnp.sum(seeds, -1)


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """The first image's map at each level with its correlation, each on its own scale, and the means of all images."""
    return honesty_picture.draw(arrays, width=width)
