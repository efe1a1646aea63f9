"""The space of the last hidden layer in two dimensions: PCA, and t-SNE (van der Maaten and Hinton 2008)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.sheet import Sheet
from cnn_jax.drawing.text import SMALLEST, columns_of, height_of
from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.engine import tsne
from cnn_jax.visualize.engine.examples import Examples, features

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito 2008, for all kinds of colour vision; the markers differ too.
_COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#000000', '#B8A800')
_MARKERS = 'osD^vP*X'
MOST_NAMED = 60  # classes with a colour of their own; more nobody tells apart
MOST_EXACT = 3000  # points that our t-SNE lays out; see benchmarks/tsne.py


def visualize(
    model: Any,
    variables: Any,
    *,
    examples: Examples,
    layer: str | None = None,
    most: int = 1000,
    perplexity: float = 30.0,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Returns `pca` and `tsne` (images, 2), `explained_variance_ratio` (2,), `kl_divergence` and `trustworthiness` of
    the t-SNE (12 neighbours), `labels` and `rows`.

    layer: None: what the last layer reads, after its ReLU. t-SNE runs on the first 50 principal components, from the
    PCA, with early exaggeration 12; perplexity is lowered where there are few images. Its axes and distances between
    groups mean nothing; look at the neighbourhoods.

    Raises: CnnJaxError for fewer than 4 images.
    """
    found = features(model, variables, examples, layer=layer, most=most)
    points = two_dimensions(found.values, perplexity=perplexity, seed=seed)
    return {**points, 'labels': found.labels, 'rows': found.rows, 'layer': np.array(found.layer)}


def two_dimensions(values: np.ndarray, *, perplexity: float = 30.0, seed: int = 0) -> dict[str, np.ndarray]:
    """PCA and t-SNE of (points, features), and what says how good they are.

    scikit-learn's engines; the t-SNE of up to MOST_EXACT points is ours, where it is quicker and as trustworthy.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE, trustworthiness

    count = len(values)
    if count < 4:
        raise CnnJaxError(f'embedding: {count} images given; it needs at least 4')
    values = np.asarray(values, np.float32)
    if not np.ptp(values, 0).any():
        raise CnnJaxError('embedding: all images have the same features (dead units?); there is nothing to lay out')
    pca = PCA(min(50, count, values.shape[1]), random_state=seed, svd_solver='full').fit(values)
    reduced = pca.transform(values)
    plane = np.pad(reduced, ((0, 0), (0, max(0, 2 - reduced.shape[1]))))[:, :2]
    perplexity = min(perplexity, (count - 1) / 3)
    if count <= MOST_EXACT:
        laid, divergence = tsne.lay_out(reduced, plane, perplexity=perplexity)
    else:
        begin: Any = plane / np.std(plane[:, 0]) * 1e-4  # what its init='pca' does
        engine = TSNE(perplexity=perplexity, init=begin, random_state=seed, learning_rate='auto')
        laid = engine.fit_transform(reduced)
        divergence = engine.kl_divergence_
    neighbours = min(12, (count - 1) // 2)
    return {
        'pca': plane,
        'tsne': laid,
        'explained_variance_ratio': pca.explained_variance_ratio_[:2],
        'kl_divergence': np.array(divergence),
        'trustworthiness': np.array(trustworthiness(values, laid, n_neighbors=neighbours)),
    }


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None) -> 'Figure':
    """Both planes, a colour and a marker for each class, and the key to them; PCA's axes say how much they hold.

    Of more than MOST_NAMED classes the largest have colours, the others are grey.
    """
    groups = _groups(arrays['labels'], class_names)
    rows = columns_of([f'mm {group.name}' for group in groups], width - 0.4, 8)  # a marker is as wide as two letters
    beneath = height_of(len(rows[0]), 8) + 0.1
    ratio = arrays['explained_variance_ratio']
    side = (width - 1.2) / 2
    with drawing.style():
        sheet = Sheet(width, side + 0.75 + beneath)
        planes = [sheet.axes(left, 0.3, side, side, bare=False) for left in (0.7, width - side - 0.1)]
        for axes, name in zip(planes, ('pca', 'tsne'), strict=True):
            for group in groups:
                axes.scatter(*arrays[name][group.members].T, s=9, linewidths=0, label=group.name, **group.look)
            axes.set_aspect('equal', 'datalim')
            axes.tick_params(labelsize=SMALLEST)
        first, second = planes
        first.set_title('PCA')
        first.set_xlabel(f'{ratio[0]:.0%} of the variance')
        first.set_ylabel(f'{ratio[1]:.0%} of the variance' if len(ratio) > 1 else '')
        second.set_title(f't-SNE, trustworthiness {float(arrays["trustworthiness"]):.3f}')
        second.set_xticks([])
        second.set_yticks([])
        sheet.figure.legend(
            *first.get_legend_handles_labels(), loc='lower left', ncols=len(rows), fontsize=8, markerscale=2,
            borderaxespad=0.2, columnspacing=1.0, handletextpad=0.2, labelspacing=0.25,
        )  # fmt: skip
    return sheet.figure


class _Group(NamedTuple):
    """Images of one class, or of the classes that have no colour of their own."""

    name: str
    members: np.ndarray  # bool (images,)
    look: dict[str, Any]


def _groups(labels: np.ndarray, class_names: Any) -> list[_Group]:
    values, counts = np.unique(labels, return_counts=True)
    named = values if len(values) <= MOST_NAMED else np.sort(values[np.argsort(-counts, kind='stable')[:MOST_NAMED]])
    groups = [
        _Group(
            str(class_names[label] if class_names is not None else label),
            labels == label,
            {'color': color, 'marker': _MARKERS[number % len(_MARKERS)]},
        )
        for number, (label, color) in enumerate(zip(named, palette(len(named)), strict=True))
    ]
    rest = ~np.isin(labels, named)
    if not rest.any():
        return groups
    others = _Group(f'{len(values) - len(named)} other classes', rest, {'color': drawing.RULE, 'marker': '.'})
    return [others, *groups]  # beneath the others


def palette(count: int) -> list[Any]:
    """Colours for `count` classes, all different: hues around the circle of Oklab, dark and light in turn."""
    if count <= len(_COLORS):
        return list(_COLORS[:count])
    return wheel(count, (0.42, 0.74, 0.58), (0.12, 0.12, 0.16))


def wheel(count: int, lightness: Sequence[float], strength: Sequence[float]) -> list[Any]:
    """Hues around the circle of Oklab, which take their lightness and strength in turn, as red, green, blue."""
    hues, turns = 2 * np.pi * np.arange(count) / count, np.arange(count)
    lights, strengths = (np.array(one)[turns % len(one)] for one in (lightness, strength))
    return list(drawing.oklab_to_rgb(np.stack([lights, strengths * np.cos(hues), strengths * np.sin(hues)], -1)))
