"""Sentences about an image: a trunk, and a recurrent net that says one word after the other.

Vinyals, Toshev, Bengio and Erhan 2015, "Show and tell", arXiv:1411.4555; Xu et al. 2015, "Show, attend and tell",
arXiv:1502.03044.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.data.formats.sentences import END
from cnn_jax.layers.grid import seen_by, with_places
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.vgg import VGG

NEVER = -1e9  # the logarithm of no probability, finite so that sums of it are numbers


class Seen(NamedTuple):
    """The cells of images (batch, places, channels) and their keys (batch, places, units), which attention compares.

    No word changes the keys: they are made once, outside of the steps. Without attention they have no units.
    """

    cells: jax.Array
    keys: jax.Array


class Speaker(nn.Module):
    """One step: the word before, the memory, and the cells of the image; the scores of the next word.

    Takes a carry, words (sentences,) and what is `Seen`; returns the carry, scores (sentences, words) and the attention
    (sentences, places), which sums to 1.
    """

    num_words: int
    units: int
    embedding: int
    attention: bool
    dtype: Any

    @nn.compact
    def __call__(self, carry: Any, words: jax.Array, seen: Seen) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        cells, dense = seen.cells, partial(nn.Dense, dtype=self.dtype)
        hidden = carry[1]
        word = nn.Embed(self.num_words, self.embedding, dtype=self.dtype, name='words')(words)
        if self.attention:
            keys = nn.tanh(seen.keys + dense(self.units, name='query')(hidden)[:, None])
            weights = nn.softmax(dense(1, use_bias=False, name='energy')(keys)[..., 0].astype(jnp.float32))
            gate = nn.sigmoid(dense(cells.shape[-1], name='gate')(hidden))
            looked = gate * jnp.sum(weights[..., None] * cells, 1)
        else:
            weights = jnp.full(cells.shape[:2], 1 / cells.shape[1], jnp.float32)
            looked = jnp.zeros((words.shape[0], 0), word.dtype)
        cell = nn.OptimizedLSTMCell(self.units, dtype=self.dtype, name='lstm')
        carry, hidden = cell(carry, jnp.concatenate([word, looked], -1))
        said = word + dense(self.embedding, name='from_hidden')(hidden)
        if self.attention:
            said = said + dense(self.embedding, use_bias=False, name='from_image')(looked)
        return carry, (dense(self.num_words, name='scores')(said).astype(jnp.float32), weights)


class Captioner(nn.Module):
    """The last map of a trunk, cell by cell, and a recurrent net that looks at the cells while it speaks.

    Takes standardised images (batch, height, width, channels) and, where the words are given, `captions` int32 (batch,
    captions, length); returns

    - with captions, 'given': the scores (batch, captions, length, num_words) of each word behind those before it;
    - outside of training, and without captions, 'sentences' int32 (batch, beams, length), the most probable first,
      their 'log_probability' (batch, beams), and of the first 'scores' (batch, length, num_words) and 'attention'
      (batch, length, rows, columns).

    Differs from the papers: the place of each cell is appended to it; with `attention` False the mean of the cells is
    the first state of the memory, not the first word; there is no penalty on cells that are never looked at.

    Learned parameters: `resnet50` 45,833,042 at 224x224x3, `cifar8` 275,912 at 48x48x1.
    """

    trunk: nn.Module
    num_words: int = 10_000
    length: int = 20  # the words of a sentence, with its end
    beams: int = 3  # sentences that are kept while one is searched; 1: the best word is taken each time
    units: int = 512
    embedding: int = 512
    attention: bool = True
    finest: int | None = None  # of the trunk's maps: the one where a pyramid ends; None: the coarsest map is looked at
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters

    @nn.compact
    def __call__(self, images: jax.Array, captions: jax.Array | None = None, *, train: bool) -> dict[str, jax.Array]:
        maps = self.trunk(images, train=train)
        grid = with_places(seen_by(maps, finest=self.finest, train=train, dtype=self.dtype))
        batch, rows, columns, channels = grid.shape
        cells = grid.reshape(batch, rows * columns, channels)
        speaker = Speaker(self.num_words, self.units, self.embedding, self.attention, self.dtype, name='speaker')
        mean = cells.mean(1)
        start = tuple(
            nn.tanh(nn.Dense(self.units, dtype=self.dtype, name=name)(mean)) for name in ('first_cell', 'first_hidden')
        )
        keys = nn.Dense(self.units, dtype=self.dtype, name='keys')(cells) if self.attention else cells[..., :0]
        seen, found = Seen(cells, keys), {}
        if captions is not None:
            count = captions.shape[1]
            spread = (repeated(start, count), captions.reshape(batch * count, -1), repeated(seen, count))
            scores, _ = teach(speaker, *spread)
            found['given'] = scores.reshape(*captions.shape, self.num_words)
        if not train or captions is None:
            if self.is_initializing():  # a search makes no parameters
                searched = Searched(jnp.full((batch, 1, self.length), END, jnp.int32), jnp.zeros((batch, 1)))
            else:
                searched = search(speaker, start, seen, self.beams, self.length)
            scores, attention = teach(speaker, start, searched.sentences[:, 0], seen)
            found |= searched._asdict()
            found |= {'scores': scores, 'attention': attention.reshape(batch, -1, rows, columns)}
        return found


class Searched(NamedTuple):
    """Sentences int32 (batch, beams, length), the most probable first, and the logarithm of each one's probability."""

    sentences: jax.Array
    log_probability: jax.Array


def repeated(tree: Any, count: int) -> Any:
    """Arrays (batch, ...) as (batch * count, ...): each row `count` times, one behind the other."""
    return jax.tree.map(lambda values: jnp.repeat(values, count, 0), tree)


def teach(speaker: Speaker, carry: Any, sentences: jax.Array, seen: Seen) -> tuple[jax.Array, jax.Array]:
    """The scores (sentences, length, words) of each word behind the right ones before it, and the attention."""
    before = jnp.pad(sentences[:, :-1], ((0, 0), (1, 0)), constant_values=END)

    def step(speaker: Speaker, carry: Any, words: jax.Array) -> Any:
        return speaker(carry, words, seen)

    scan = nn.scan(step, variable_broadcast='params', split_rngs={'params': False}, in_axes=1, out_axes=1)
    return scan(speaker, carry, before)[1]


def search(speaker: Speaker, carry: Any, seen: Seen, beams: int, length: int) -> Searched:
    """The most probable sentences that a search finds which keeps `beams` of them after each word; 1 is greedy."""
    batch, words = seen.cells.shape[0], speaker.num_words
    wide = repeated(seen, beams)

    def step(speaker: Speaker, state: Any, place: jax.Array) -> Any:
        carry, said, total, ended = state
        last = jnp.where(place == 0, END, jnp.take(said, place - 1, axis=2, mode='clip'))
        carry, (scores, _) = speaker(carry, last.reshape(-1), wide)
        each = jax.nn.log_softmax(scores).reshape(batch, beams, words)
        only_end = jnp.where(jnp.arange(words)[None, None] == END, 0.0, NEVER)  # an ended sentence stays as it is
        each = total[..., None] + jnp.where(ended[..., None], only_end, each)
        total, chosen = jax.lax.top_k(each.reshape(batch, beams * words), beams)
        origin, word = chosen // words, (chosen % words).astype(jnp.int32)
        rows = (jnp.arange(batch)[:, None] * beams + origin).reshape(-1)
        carry = jax.tree.map(lambda values: values[rows], carry)
        said = jnp.take_along_axis(said, origin[..., None], 1).at[:, :, place].set(word)
        ended = jnp.take_along_axis(ended, origin, 1) | (word == END)
        return (carry, said, total, ended), None

    no = (
        seen.cells[:, :1, 0] > 0
    ) & False  # False of each image: what a scan carries belongs to the images from the start
    ended = jnp.broadcast_to(no, (batch, beams))
    total = jnp.where(ended | (jnp.arange(beams)[None] == 0), 0.0, NEVER)  # all beams begin as one
    said = jnp.broadcast_to(jnp.where(no, END, END)[..., None], (batch, beams, length)).astype(jnp.int32)
    state = (repeated(carry, beams), said, total, ended)
    scan = nn.scan(step, variable_broadcast='params', split_rngs={'params': False})
    (_, said, total, _), _ = scan(speaker, state, jnp.arange(length))
    return Searched(said, total)


VARIANTS: dict[str, Callable[..., nn.Module]] = {
    **{f'resnet{depth}': partial(Captioner, trunk=ResNet(depth=depth, maps=True)) for depth in (18, 34, 50)},
    'vgg16': partial(Captioner, trunk=VGG(maps=True)),
    'cifar8': partial(
        Captioner, trunk=ResNet(depth=8, layout='cifar', maps=True), num_words=22, units=128, embedding=64
    ),
}
