"""What a map is worth: the same map of a net with random weights, and what its pixels do to the score.

Cascading randomisation: Adebayo et al. 2018, arXiv:1810.03292. Insertion and deletion: Petsiuk et al. 2018,
arXiv:1806.07421.
"""

import functools
import importlib
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize import figure as drawing
from cnn_jax.visualize.engine import layers, mixtures, scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
) -> dict[str, np.ndarray]:
    """Returns what random weights and covered pixels say of the map of a method:

    - `maps` (levels, batch, height, width, channels): the map, then that of the net with the weights of the last layer
      shuffled, of the last two, and so on to all; `layers` (levels,), the layer that came last;
    - `correlation` (levels, batch), Spearman's with the first map, of magnitudes;
    - `insertion` and `deletion` (num_steps + 1, batch), the target's probability as the map's strongest pixels come
      first or go first, and their means `insertion_score` and `deletion_score`.

    targets: classes; None: the highest score of the trained net, at all levels. layer: whose maps
    a class map is made of. Differs from the papers: weights are shuffled within each variable instead of drawn anew,
    which keeps their distribution for any model; insertion starts from `baseline` instead of a blurred image. A
    correlation with a map that is one number everywhere is 0.
    """
    images = scores.check_images(images)
    attribute = _attribution(method)
    targets = mixtures.resolve(model, variables, images, targets, None)
    order = learned_layers(model, variables, images)[::-1]
    kept = np.unique(np.linspace(0, len(order), min(most_levels, len(order) + 1)).round().astype(int))
    maps, names = [], []
    for level in kept:
        changed = shuffled(variables, order[:level], seed)
        maps.append(np.asarray(attribute(model, changed, images, targets, layer=layer)))
        names.append(order[level - 1] if level else 'trained')
    strength = np.stack([magnitude(found) for found in maps])  # (levels, batch, height, width)
    correlation = [[rank_correlation(a, b) for a, b in zip(strength[0], other, strict=True)] for other in strength]
    curves = {
        name: curve(model, variables, images, targets, strength[0], num_steps, baseline, insert=name == 'insertion')
        for name in ('insertion', 'deletion')
    }
    means = {f'{name}_score': np.trapezoid(values, axis=0) / num_steps for name, values in curves.items()}
    return {'maps': np.stack(maps), 'layers': np.array(names), 'correlation': np.array(correlation), **curves, **means}


def _attribution(method: str) -> Any:
    try:
        return importlib.import_module(f'cnn_jax.visualize.{method}').attribute
    except (ImportError, AttributeError) as error:
        raise CnnJaxError(f'honesty: {method!r} is not an attribution method; give one such as gradient') from error


def magnitude(maps: Any) -> np.ndarray:
    """The largest magnitude over the channels, (batch, height, width)."""
    return np.abs(np.asarray(maps)).max(-1)


def learned_layers(model: Any, variables: Any, images: Any) -> list[str]:
    """The modules that hold variables themselves, in the order of their calls."""
    owners = {'/'.join(path[:-1]) for path in _paths(variables)}
    called = scores.net_of(model, variables, scores.check_images(images)).layers
    return [name for name in called if name in owners]


def _paths(variables: Any) -> list[tuple[str, ...]]:
    """The paths of all variables below their collections."""
    paths = jax.tree.leaves_with_path(variables)
    return [tuple(str(getattr(key, 'key', key)) for key in path[1:]) for path, _ in paths]


def shuffled(variables: Any, names: list[str], seed: int) -> Any:
    """The variables with those of the layers `names` shuffled, each within itself; the given ones stay as they are."""
    chosen = set(names)

    def shuffle(path: Any, leaf: Any) -> Any:
        *layer, name = (str(getattr(key, 'key', key)) for key in path[1:])
        if '/'.join(layer) not in chosen:
            return leaf
        digest = zlib.crc32('/'.join([*layer, name]).encode())
        return np.random.default_rng([seed, digest]).permutation(np.asarray(leaf).ravel()).reshape(leaf.shape)

    return jax.tree.map_with_path(shuffle, variables)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of two arrays of one shape, ties sharing their mean rank; 0 if either is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(array.ravel()) for array in (first, second)]
    centred = [rank - rank.mean() for rank in ranks]
    norms = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    return float(centred[0] @ centred[1] / norms) if norms > 0 else 0.0


def curve(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any,
    strength: np.ndarray,
    num_steps: int,
    baseline: float = 0.0,
    *,
    insert: bool,
) -> np.ndarray:
    """The target's probability while equal shares of pixels come in (`insert`) or go, strongest first.

    strength: (batch, height, width). Returns (num_steps + 1, batch).
    """
    images = scores.check_images(images)
    batch, pixels = len(images), strength[0].size
    order = np.argsort(-strength.reshape(batch, -1), axis=1, kind='stable')
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(pixels)[None].repeat(batch, 0), axis=1)
    run = scores.precisely(functools.partial(_probabilities, scores.Static(model), variables, images, targets))
    values = []
    for step in range(num_steps + 1):
        strong = (place < round(step * pixels / num_steps)).reshape(strength.shape)
        values.append(np.asarray(run(strong if insert else ~strong, baseline)))
    return np.stack(values)


@functools.partial(jax.jit, static_argnums=0)
def _probabilities(static, variables, images, targets, shown, baseline):
    inputs = jnp.where(shown[..., None], images, jnp.asarray(baseline, images.dtype))
    net = layers.trace(static.model, variables, inputs)
    outputs = net.run(variables, inputs, [net.output(None)])[0]
    return jnp.sum(scores.seeds(outputs, targets) * jax.nn.softmax(outputs), -1)


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """The first image's map at each level with its correlation, each on its own scale, and the two curves."""
    maps, names = magnitude(arrays['maps'][:, 0]), arrays['layers']
    with drawing.style():
        figure = drawing.new_figure(width, 4.6)
        halves: Any = figure.subfigures(2, 1, height_ratios=[1.0, 1.25])
        upper, lower = halves
        shown: Any = None
        for axes, picture, name, value in zip(
            upper.subplots(1, len(maps), squeeze=False)[0], maps, names, arrays['correlation'][:, 0], strict=True
        ):
            largest = picture.max() or 1
            shown = axes.imshow(picture / largest, cmap=drawing.diverging(), vmin=-1, vmax=1)
            state = f'rank corr. {value:.2f}' if picture.any() else 'zero everywhere'
            axes.set_title(f'{name}\n{state}\nup to {largest:.2g}', fontsize=7)
            axes.set_axis_off()
        bar = upper.colorbar(shown, ax=upper.axes, fraction=0.02, pad=0.01)
        bar.set_label('share of the largest')
        bar.ax.set_ylim(0, 1)
        first, second = lower.subplots(1, 2)
        first.plot(range(len(maps)), arrays['correlation'].mean(1), color=drawing.BLUE, marker='o', ms=4)
        first.set_xticks(range(len(maps)), names, rotation=30, ha='right', fontsize=7)
        first.set_ylim(-0.15, 1.05)
        first.set_title('rank correlation, weights shuffled from the end')
        for name, color in (('insertion', drawing.BLUE), ('deletion', drawing.ORANGE)):
            values = arrays[name].mean(1)
            score = float(arrays[f'{name}_score'].mean())
            second.plot(np.linspace(0, 1, len(values)), values, color=color, label=f'{name} {score:.2f}')
        second.set_title('probability of the class')
        second.set_xlabel('share of pixels, strongest first')
        second.set_ylim(0, 1.05)
        second.legend()
    return figure
