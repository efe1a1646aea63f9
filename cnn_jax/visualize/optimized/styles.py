"""What a picture shows and how it is painted: features of a content image, Gram matrices of style images.

Gatys, Ecker and Bethge 2015, arXiv:1508.06576. With N channels, M places, features F (M, N) and Gram matrices F'F / M
the content costs sum((F - P)^2) / 2, and the style of a layer sum((F'F / M - A)^2) / (4 N^2), which for images of one
size is the paper's sum((F'F - A'A)^2) / (4 N^2 M^2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cnn_jax.losses import Normalisation, content_loss, gram_matrices, style_loss
from cnn_jax.visualize.optimized.objectives import STATIC, Objective, Read, Sum
from cnn_jax.visualize.optimized.step import features, net_of, number_of

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Content(Objective):
    """Minus the squared distance of features: times a half, times 1 / size, or as a share of the squares of `features`.

    features: (batch, ...) in the shape of the layer's output.
    """

    features: Array
    layer: str | None = field(default=None, metadata=STATIC)
    normalisation: Normalisation = field(default='paper', metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        return -content_loss(read(self.layer), self.features, normalisation=self.normalisation)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Style(Objective):
    """Minus the squared distance of Gram matrices: by the paper, by neural-style (4 / N^2 of it), or as a share.

    grams: (batch, channels, channels) as `losses.gram_matrices` gives them, or (1, channels, channels) for all images.
    """

    grams: Array
    layer: str | None = field(default=None, metadata=STATIC)
    normalisation: Normalisation = field(default='paper', metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        return -style_loss(gram_matrices(read(self.layer)), self.grams, normalisation=self.normalisation)


class Targets(NamedTuple):
    """What an image shall show and how: by layer, the features (1, ...), and the Gram matrices (1, N, N)."""

    content: dict[str, Array]
    style: dict[str, Array]

    def objectives(self, normalisation: Normalisation) -> tuple[Objective, Objective]:
        """Of the content, summed over its layers; of the style, the mean of its layers."""
        shown = tuple(Content(one, name, normalisation) for name, one in self.content.items())
        painted = tuple(Style(one, name, normalisation) for name, one in self.style.items())
        return Sum(shown, (1.0,) * len(shown)), Sum(painted, (1 / len(painted),) * len(painted))


def targets(
    model: Any,
    variables: Any,
    content: Any,
    styles: list[Any],
    *,
    content_layers: tuple[str, ...],
    style_layers: tuple[str, ...],
    blend: tuple[float, ...] = (),
    margin: int = 0,
) -> Targets:
    """The targets of model inputs (1, height, width, channels), where each image may have a size of its own.

    blend: how much each of the styles counts; empty: all the same. margin: pixels at each border that do not count.
    """

    def seen(image: Any, layers: tuple[str, ...]) -> list[Array]:
        return [inside(one, image.shape, margin) for one in features(model, variables, image, layers)]

    parts = jnp.asarray(blend or (1.0,) * len(styles)) / sum(blend or (1.0,) * len(styles))
    found = [[gram_matrices(one) for one in seen(style, style_layers)] for style in styles]
    mixed = [jnp.tensordot(parts, jnp.stack(row), 1) for row in zip(*found, strict=True)]
    shown = seen(content, content_layers)
    return Targets(dict(zip(content_layers, shown, strict=True)), dict(zip(style_layers, mixed, strict=True)))


def values(
    model: Any, variables: Any, inputs: Array, objectives: Sequence[Objective], *, margin: int = 0
) -> list[Array]:
    """Objectives, each (batch,), of model inputs in one call of the net; to be differentiated and compiled.

    margin: pixels at each border that do not count.
    """
    names = tuple(dict.fromkeys(name for one in objectives for name in one.layers))
    net = net_of(model, variables, inputs, names)
    outputs = net.run(variables, inputs, [number_of(net, one) for one in names])
    found = {name: inside(one, inputs.shape, margin) for name, one in zip(names, outputs, strict=True)}
    return [one(found.__getitem__) for one in objectives]


def inside(maps: Array, shape: tuple[int, ...], margin: int) -> Array:
    """Maps without what lies in the margin of inputs of that shape; one place of them is left at least.

    What is mirrored beyond a border would count its pixels twice, and with them what a net makes of its padding.
    """
    rows, columns = (
        min(
            round(min(margin, (size - 1) // 3) * count / size), (count - 1) // 2
        )  # a short side is mirrored but for one
        for size, count in zip(shape[1:3], maps.shape[1:3], strict=True)
    )
    return maps[:, rows : maps.shape[1] - rows, columns : maps.shape[2] - columns]
