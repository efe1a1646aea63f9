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

from cnn_jax.drawing import figure as drawing
from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import layers, scores
from cnn_jax.tracing import program as programs
from cnn_jax.visualize.engine import methods, mixtures

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
    first: Any = None,
    random: Any = None,
) -> dict[str, np.ndarray]:
    """Returns what random weights and covered pixels say of the map of a method:

    - `maps` (levels, batch, height, width, channels): the map, then that of the net with the weights of the last layer
      shuffled, of the last several, and so on to all; `layers` (levels,), the layer that came last;
    - `correlation` (levels, batch), Spearman's with the first map, of magnitudes;
    - `insertion` and `deletion` (num_steps + 1, batch), the target's probability as the map's strongest pixels come
      first or go first, and their means `insertion_score` and `deletion_score`; `scored`, the layer of the target;
      `method`.

    targets, layer: as the method takes them; None: the highest score of the trained net, at all levels. For a unit of a
    layer the layers up to it are shuffled, and its activation, as a share of that on the whole image, takes the place
    of the probability. Differs from the papers: weights are shuffled within each variable instead of drawn anew,
    which keeps their distribution for any model; insertion starts from `baseline` instead of a blurred image. A
    correlation with a map that is one number everywhere is 0.

    first, random: where they are at hand, the map itself and all variables `shuffled`, which takes seconds for 138
    million weights.
    """
    images = scores.check_images(images)
    attribute = _attribution(method)
    scored = None if method in methods.OF_MAPS else layer
    targets = mixtures.resolve(model, variables, images, targets, scored)
    order = learned_layers(model, variables, images, scored)[::-1]
    random = shuffled(variables, None, seed) if random is None else random
    own = attribute(model, variables, images, targets, layer=layer) if first is None else first
    maps, names = [np.asarray(own)], ['trained']
    for level in levels(len(order), most_levels)[1:]:
        changed = _mixed(variables, random, order[:level])
        maps.append(np.asarray(attribute(model, changed, images, targets, layer=layer)))
        names.append(order[level - 1])
    strength = np.stack([magnitude(found) for found in maps])  # (levels, batch, height, width)
    correlation = [[rank_correlation(a, b) for a, b in zip(strength[0], other, strict=True)] for other in strength]
    look: dict[str, Any] = {'num_steps': num_steps, 'baseline': baseline, 'layer': scored}
    curves = {
        name: curve(model, variables, images, targets, strength[0], insert=name == 'insertion', **look)
        for name in ('insertion', 'deletion')
    }
    means = {f'{name}_score': np.trapezoid(values, axis=0) / num_steps for name, values in curves.items()}
    found = {'maps': np.stack(maps), 'layers': np.array(names), 'correlation': np.array(correlation)}
    return {**found, **curves, **means, 'scored': np.array(scored or ''), 'method': np.array(method)}


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


def magnitude(maps: Any) -> np.ndarray:
    """The largest magnitude over the channels, (batch, height, width)."""
    return np.abs(np.asarray(maps)).max(-1)


def learned_layers(model: Any, variables: Any, images: Any, layer: str | None = None) -> list[str]:
    """The modules that hold variables themselves and that the scores (or `layer`) need, in the order of their calls."""
    owners = {'/'.join(path[:-1]) for path in _paths(variables)}
    net = scores.net_of(model, variables, scores.check_images(images))
    steps = programs.prune(net.program, [net.output(layer)]).steps
    needed = {number for step in steps for number in step.outputs}
    return [name for name, found in net.layers.items() if name in owners and found.output in needed]


def _paths(variables: Any) -> list[tuple[str, ...]]:
    """The paths of all variables below their collections."""
    paths = jax.tree.leaves_with_path(variables)
    return [tuple(str(getattr(key, 'key', key)) for key in path[1:]) for path, _ in paths]


def shuffled(variables: Any, names: list[str] | None, seed: int) -> Any:
    """The variables with those of the layers `names` (None: of all) shuffled, each within itself, as copies."""

    def shuffle(path: Any, leaf: Any) -> Any:
        layer, name = _owner(path)
        if names is not None and layer not in names:
            return leaf
        digest = zlib.crc32(f'{layer}/{name}'.encode())
        return np.random.default_rng([seed, digest]).permutation(np.asarray(leaf).ravel()).reshape(leaf.shape)

    return jax.tree.map_with_path(shuffle, variables)


def _mixed(variables: Any, random: Any, names: list[str]) -> Any:
    """`random` for the layers `names`, else `variables`."""
    return jax.tree.map_with_path(lambda path, *both: both[_owner(path)[0] in names], variables, random)


def _owner(path: Any) -> tuple[str, str]:
    """The layer that a variable is of, and its own name."""
    *layer, name = (str(getattr(key, 'key', key)) for key in path[1:])
    return '/'.join(layer), name


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
    *,
    insert: bool,
    num_steps: int = 20,
    baseline: float = 0.0,
    layer: str | None = None,
) -> np.ndarray:
    """The target's probability while equal shares of pixels come in (`insert`) or go, strongest first.

    strength: (batch, height, width). layer: of the target: its activation over that on the whole image instead; 0 where
    that is 0. Returns (num_steps + 1, batch).
    """
    images = scores.check_images(images)
    batch, pixels = len(images), strength[0].size
    order = np.argsort(-strength.reshape(batch, -1), axis=1, kind='stable')
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(pixels)[None].repeat(batch, 0), axis=1)
    run = functools.partial(scores.precisely(_target), scores.Static(model), variables, images, targets, layer=layer)
    values = []
    for step in range(num_steps + 1):
        strong = (place < round(step * pixels / num_steps)).reshape(strength.shape)
        values.append(np.asarray(run(strong if insert else ~strong, baseline)))
    if layer is None:
        return np.stack(values)
    whole = values[-1 if insert else 0]
    return np.stack(values) / np.where(whole == 0, np.inf, whole)


@functools.partial(jax.jit, static_argnums=0, static_argnames='layer')
def _target(static, variables, images, targets, shown, baseline, *, layer):
    inputs = jnp.where(shown[..., None], images, jnp.asarray(baseline, images.dtype))
    net = layers.trace(static.model, variables, inputs)
    outputs = net.run(variables, inputs, [net.output(layer)])[0]
    values = jax.nn.softmax(outputs) if layer is None else outputs
    return jnp.sum((scores.seeds(outputs, targets) * values).reshape(len(images), -1), -1)


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """The first image's map at each level with its correlation, each on its own scale, and the two curves."""
    maps, names = magnitude(arrays['maps'][:, 0]), arrays['layers']
    size = min((width - 0.8) / len(maps) - 0.1, 1.6)  # inches
    with drawing.style():
        figure = drawing.new_figure(width, size + 3.6, layout=None)
        whole, shown = figure.get_figheight(), None
        what = f'{str(arrays["method"]).replace("_", " ")}: magnitude of the map as weights are shuffled'
        figure.text(0.1 / width, 1 - 0.22 / whole, what, fontsize=10)
        for level, (picture, name, value) in enumerate(zip(maps, names, arrays['correlation'][:, 0], strict=True)):
            place = (0.1 + level * (size + 0.25)) / width, 1 - (size + 0.95) / whole
            axes = figure.add_axes((*place, size / width, size / whole))
            largest = picture.max() or 1
            shown = axes.imshow(picture / largest, cmap=drawing.diverging(), vmin=-1, vmax=1)
            shuffle = f'shuffled{" from the end to" if level > 1 else ""}\n{_short(name, int(17 * size))}'
            said = shuffle if level else 'trained weights\n'
            state = f'rank corr. {value:.2f}\nup to {largest:.2g}' if picture.any() else 'zero everywhere\n'
            axes.set_title(f'{said}\n{state}', fontsize=7, pad=2)
            axes.set_axis_off()
        assert shown is not None
        right = (0.1 + len(maps) * (size + 0.25)) / width
        bar = figure.colorbar(shown, cax=figure.add_axes((right, 1 - (size + 0.95) / whole, 0.01, size / whole)))
        bar.set_label('share of the largest', fontsize=7)
        bar.ax.tick_params(labelsize=7)
        bar.ax.set_ylim(0, 1)
        boxes = [(x, 0.6 / whole, 0.4, 1.65 / whole) for x in (0.06, 0.56)]
        first, second = (figure.add_axes(box) for box in boxes)
        _draw_curves(first, second, arrays)
    return figure


def _short(name: str, most: int) -> str:
    """The end of a layer's name, which says more than its beginning."""
    return name if len(name) <= most else f'…{name[1 - most :]}'


def _draw_curves(first: Any, second: Any, arrays: Mapping[str, np.ndarray]) -> None:
    names, scored = arrays['layers'], str(arrays['scored'])
    first.plot(range(len(names)), arrays['correlation'].mean(1), color=drawing.BLUE, marker='o', ms=4)
    first.set_xticks(range(len(names)), [_short(name, 16) for name in names], rotation=20, ha='right', fontsize=7)
    first.set_ylim(min(-0.05, arrays['correlation'].min() - 0.05), 1.05)
    first.set_title('rank correlation, shuffled from the last layer to …', fontsize=9)
    for name, color in (('insertion', drawing.BLUE), ('deletion', drawing.ORANGE)):
        values = arrays[name].mean(1)
        score = float(arrays[f'{name}_score'].mean())
        second.plot(np.linspace(0, 1, len(values)), values, color=color, label=f'{name} {score:.2f}')
    second.set_title(f'share of the activation in {scored}' if scored else 'probability of the class', fontsize=9)
    second.set_xlabel('share of pixels, strongest first')
    second.set_ylim(0, None if scored else 1.05)
    second.legend(loc='best', fontsize=7, handlelength=1.0)
