"""Questions about an image with a few choices: an answer in words, or a box on the image.

Zhu, Groth, Bernstein and Fei-Fei 2016, "Visual7W", arXiv:1511.03416; the gated product is that of Kim et al. 2017,
"Hadamard product for low-rank bilinear pooling", arXiv:1610.04325.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.data.formats.sentences import END
from cnn_jax.layers.grid import seen_by, with_places
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG


class QuestionAnswerer(nn.Module):
    """A question read word by word, with each choice a statement; how true it is of what a trunk sees.

    Takes standardised images (batch, height, width, channels), questions int32 (batch, questions, length), and choices:
    words int32 (batch, questions, choices, length), or boxes float (batch, questions, choices, 4) in pixels of the
    images; returns {'scores': logits (batch, questions, choices)}. No score depends on the other choices, nor a
    question on the others. Images alone are asked one question without words, which makes the parameters.

    A choice of words is the mean of its words. Question and choice together look at the cells of `layers.grid`:
    some heads of attention, and the mean of all cells, both in a gated product with the statement. A box is the mean of
    the cells that it covers, by area, and its edges, in a gated product with the question.

    Differs from the paper: attention asked by the question and a choice, once, in the place of attention at each word
    and a choice read behind it; that a choice is judged with the question is as in Jabri et al. 2016, "Revisiting
    visual question answering baselines", arXiv:1606.08390.

    Learned parameters: `resnet50` 31,745,793 at 224x224x3, `cifar8` 389,105 at 48x48x1,
    `resnet50_boxes` 29,756,161 at 224x224x3.

    Raises:
        ValueError: units are no multiple of heads.
    """

    trunk: nn.Module
    num_words: int = 10_000
    units: int = 512
    embedding: int = 300
    heads: int = 8  # of attention, each with its share of the units
    finest: int | None = None  # of the trunk's maps: the one where a pyramid ends; None: the coarsest map is looked at
    boxes: bool = False  # whether choices are boxes, not words
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        questions: jax.Array | None = None,
        choices: jax.Array | None = None,
        *,
        train: bool,
    ) -> dict[str, jax.Array]:
        if self.units % self.heads:
            raise ValueError(f'units: {self.units} given, with {self.heads} heads; give a multiple of these')
        if questions is None or choices is None:
            questions, choices = nothing_asked(images, boxes=self.boxes)
        options = {'finest': self.finest, 'shrink': not self.boxes, 'dtype': self.dtype}
        grid = with_places(seen_by(self.trunk(images, train=train), train=train, **options), waves=2)
        dense = partial(nn.Dense, self.units, dtype=self.dtype)
        wide = nn.initializers.normal(1.0)  # a word that is nearly 0 is learnt late
        embed = nn.Embed(self.num_words, self.embedding, dtype=self.dtype, embedding_init=wide, name='words')
        asked = nn.LayerNorm(dtype=self.dtype, name='norm')(self._read(embed, questions))[:, :, None]
        if self.boxes:
            sides = jnp.array([images.shape[2], images.shape[1]] * 2, jnp.float32)
            edges = choices / sides[None, None, None]
            regions = jnp.concatenate([_regions(grid, edges), edges.astype(grid.dtype)], -1)
            seen, statement = nn.relu(dense(name='seen')(regions)), asked  # (batch, questions, choices, units)
        else:
            words = _mean_of_words(embed, choices)
            asked = jnp.broadcast_to(asked, (*words.shape[:3], self.units))
            statement = nn.relu(dense(name='statement')(jnp.concatenate([asked, words], -1)))
            seen = self._looked_at(grid, statement)
        gate = nn.tanh(nn.Dense(seen.shape[-1], dtype=self.dtype, name='gate')(statement))
        found = nn.relu(dense(name='found')(gate * seen))
        return {'scores': nn.Dense(1, dtype=self.dtype, name='score')(found)[..., 0].astype(jnp.float32)}

    def _looked_at(self, grid: jax.Array, statement: jax.Array) -> jax.Array:
        """What each head sees for a statement, and the mean of all cells, (batch, questions, choices, 2 units)."""
        batch, questions, choices, _ = statement.shape
        dense = partial(nn.Dense, self.units, dtype=self.dtype)
        cells = nn.relu(dense(name='seen')(grid.reshape(batch, -1, grid.shape[-1])))
        keys, values = (self._by_head(dense(name=name)(cells)) for name in ('key', 'value'))
        wanted = self._by_head(dense(name='query')(statement.reshape(batch, questions * choices, -1)))
        found = nn.dot_product_attention(wanted, keys, values).reshape(*statement.shape)
        mean = dense(name='mean')(cells.mean(1))[:, None, None]
        return jnp.concatenate([found, jnp.broadcast_to(mean, found.shape)], -1)

    def _by_head(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def _read(self, embed: nn.Embed, questions: jax.Array) -> jax.Array:
        """What is remembered behind the last word, (batch, questions, units)."""
        flat = questions.reshape(-1, questions.shape[-1])
        nothing = jnp.where(flat[:, :1] < 0, 1.0, 0.0)  # zeros that belong to the questions, as a scan needs them
        carry = (jnp.broadcast_to(nothing, (flat.shape[0], self.units)),) * 2
        cell = nn.OptimizedLSTMCell(self.units, dtype=self.dtype, name='lstm')
        lengths = jnp.sum(flat != END, -1)
        words: Any = nn.RNN(cell, name='reader')(embed(flat), initial_carry=carry)
        last = jnp.take_along_axis(words, jnp.maximum(lengths - 1, 0)[:, None, None], 1)[:, 0]
        return last.reshape(*questions.shape[:2], self.units)


def nothing_asked(images: jax.Array, *, boxes: bool) -> tuple[jax.Array, jax.Array]:
    """A question without words about each image, and its one choice: no words, or the whole image."""
    batch, height, width, _ = images.shape
    whole = jnp.array([0, 0, width, height], jnp.float32)
    choices = jnp.broadcast_to(whole, (batch, 1, 1, 4)) if boxes else jnp.full((batch, 1, 1, 1), END, jnp.int32)
    return jnp.full((batch, 1, 1), END, jnp.int32), choices


def _mean_of_words(embed: nn.Embed, choices: jax.Array) -> jax.Array:
    """The mean of the words of each choice, (batch, questions, choices, embedding); 0 of one without words."""
    there = (choices != END)[..., None]
    return jnp.sum(jnp.where(there, embed(choices), 0), -2) / jnp.maximum(jnp.sum(there, -2), 1)


def _regions(grid: jax.Array, edges: jax.Array) -> jax.Array:
    """The mean of a map (batch, rows, columns, channels) over boxes (batch, questions, choices, 4), by area.

    edges: in shares of the image's sides.
    """

    def covered(low: jax.Array, high: jax.Array, count: int) -> jax.Array:
        ends = (jnp.arange(count + 1) / count)[None, None, None]
        shared = jnp.minimum(high[..., None], ends[..., 1:]) - jnp.maximum(low[..., None], ends[..., :-1])
        return jnp.maximum(shared, 0) * count  # of each cell, 0 .. 1

    across = covered(edges[..., 0], edges[..., 2], grid.shape[2])
    down = covered(edges[..., 1], edges[..., 3], grid.shape[1])
    area = jnp.maximum(across.sum(-1) * down.sum(-1), 1e-6)[..., None]
    return jnp.einsum('bqcy,bqcx,byxf->bqcf', down, across, grid) / area


VARIANTS: dict[str, Callable[..., Any]] = {
    **{f'resnet{depth}': partial(QuestionAnswerer, trunk=ResNet(depth=depth, maps=True)) for depth in (18, 34, 50)},
    'resnet50_boxes': partial(QuestionAnswerer, trunk=ResNet(depth=50, maps=True), boxes=True),
    'vgg16': partial(QuestionAnswerer, trunk=VGG(maps=True)),
    'cifar8': partial(
        QuestionAnswerer,
        trunk=ResNet(depth=8, layout='cifar', maps=True),
        num_words=34,
        units=128,
        embedding=64,
        finest=0,
    ),
}
