"""Fast style: pictures that show what the images show, painted as one image is."""

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.formats.fields import Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.drawing.overlay import beside
from cnn_jax.errors import CnnJaxError
from cnn_jax.losses import Normalisation, content_loss, style_loss
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.results import Batch, Evaluation, Results
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.style import page
from cnn_jax.tasks.task import Task

CONTENT = Metric('content_loss', 'loss of the content', '', False)
STYLE = Metric('style_loss', 'loss of the style', '', False)
VARIATION = Metric('variation_loss', 'loss of the variation', '', False)
PARTS = ('content_loss', 'style_loss', 'variation_loss')


@dataclasses.dataclass(frozen=True)
class Style(Task):
    """The picture; the outputs are those of `models.fast_style.Perceptual`: it, and what a loss network sees.

    The loss of an image is that of `visualize.style`: summed over the layers of the content and averaged over those of
    the style, with three weights. One thing differs: by 'share' the content's loss is a share of the squares that the
    style's picture has at a place in the mean, where that layer is one of the style's too. As a share of its own
    squares, one crop of the bundled photographs would weigh up to seven times as much as another, the flat ones most.

    There is no right answer: the headline is the loss itself. Johnson et al. 2016, arXiv:1603.08155, have
    `normalisation='neural_style'`, but sum the style over the layers and do not divide it by the number of entries.

    Attributes:
        content, style, variation: weights; the last of the mean over the pixels of squared differences.
        normalisation: see `losses.content_loss` and `losses.style_loss`.
    """

    content: float = 1.0
    style: float = 10.0
    variation: float = 20.0
    normalisation: Normalisation = 'share'

    metrics: ClassVar[tuple[Metric, ...]] = (LOSS, CONTENT, STYLE, VARIATION)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (CONTENT, STYLE)
    answers_are_images: ClassVar[bool] = True
    any_size: ClassVar[bool] = True
    draws: ClassVar[bool] = True
    case_note: ClassVar[str] = 'Left: the image; right: the picture.'

    def fields(self, data: Data) -> Fields:
        return {}

    @property
    def arguments(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def parts(self, outputs: Any) -> dict[str, jax.Array]:
        """The weighted losses of each image, (batch,), by the names of `PARTS`.

        Raises: CnnJaxError for outputs of a model without a loss network.
        """
        if not isinstance(outputs, Mapping) or 'painted' not in outputs:
            raise CnnJaxError('task style: the model has no loss network; build it with models.fast_style.Perceptual')
        how: dict[str, Any] = {'normalisation': self.normalisation}
        painted = outputs['painted']
        of_content = [self._content_loss(outputs, name) for name in outputs['shown']]
        of_style = [style_loss(painted[name], outputs['style'][name], **how) for name in painted]
        return {
            'content_loss': self.content * sum(of_content[1:], of_content[0]),
            'style_loss': self.style * jnp.mean(jnp.stack(of_style), 0),
            'variation_loss': self.variation * _variation(outputs['image']),
        }

    def _content_loss(self, outputs: Mapping[str, Any], name: str) -> jax.Array:
        """Of a layer, (batch,), not weighted."""
        shown, wanted = outputs['shown'][name], outputs['content'][name]
        if self.normalisation != 'share' or name not in outputs['style']:
            return content_loss(shown, wanted, normalisation=self.normalisation)
        squares = jnp.trace(outputs['style'][name], axis1=1, axis2=2)  # of the style's picture at a place, in the mean
        missed = jnp.square(shown - wanted).sum(-1).mean((1, 2))
        return missed / jnp.maximum(squares, jnp.finfo(missed.dtype).tiny)

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        return sum(self.parts(outputs).values(), jnp.zeros(()))

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        parts = self.parts(outputs)
        return {metric.name: jnp.mean(parts[metric.name]) for metric in self.batch_metrics}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """`picture`, whole numbers 0 .. 255, float32 (batch, height, width, channels); NaN where an output is none."""
        return {'picture': _to_pixels(outputs['image'] if isinstance(outputs, Mapping) else outputs)}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image, (batch,) arrays: its weighted losses by the names of `PARTS`."""
        return self.parts(outputs)

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        means = {metric.name: float(np.mean(results[metric.name], dtype=np.float64)) for metric in self.metrics}
        return {**means, 'images': len(results['loss'])}

    def line(self, split: str, summary: Mapping[str, float]) -> str:
        shown = ', '.join(f'{name.partition("_")[0]} {summary[name]:.4f}' for name in PARTS)
        return f'{split} loss {summary["loss"]:.4f}  ({shown})'

    def outcome(self, split: str, evaluation: Evaluation) -> list[str]:
        return [self.line(split, evaluation.summary)]

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        height, width = outputs['picture'].shape[:2]
        return f'{width} x {height} pixels'

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`width` and `height`, and `picture`, uint8 (height, width, channels)."""
        pixels = np.asarray(outputs['picture']).astype(np.uint8)
        return {'width': pixels.shape[1], 'height': pixels.shape[0], 'picture': pixels}

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """The sides of the picture, whose pixels are no cell of a table."""
        return {name: answer.get(name, '') for name in ('width', 'height')}

    def as_image(self, answer: Mapping[str, Any]) -> bytes:
        """The picture, a PNG file with 8 bits a channel."""
        from PIL import Image

        pixels, buffer = np.asarray(answer['picture'], np.uint8), io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, 'PNG')
        return buffer.getvalue()

    @property
    def likelihoods(self) -> None:
        """None: no output is a probability."""
        return

    def result_columns(self, result: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        return {metric.name: float(result[metric.name]) for metric in self.metrics}

    def drawn(self, case: Case, class_names: Sequence[str]) -> np.ndarray:
        """The image, and the picture that was made of it."""
        picture = np.asarray(case.answer['picture']).astype(np.uint8)
        return beside(*(np.broadcast_to(one, (*one.shape[:2], 3)) for one in (np.asarray(case.image), picture)))

    def sections(self, run: Run) -> list[str]:
        return page.sections(run)

    def short_result(self, run: Run) -> str:
        value = run.last('loss', 'test')
        return 'not evaluated' if value is None else f'test loss {value:.4f}'

    def result(self, run: Run) -> str:
        value = run.last('loss', 'test')
        return '' if value is None else f'reaches a test loss of {value:.4f}'


def task(
    *,
    content: float = 1.0,
    style: float = 10.0,
    variation: float = 20.0,
    normalisation: Normalisation = 'share',
) -> Style:
    """Fast style.

    Raises:
        CnnJaxError: a weight below 0, or none above it.
    """
    if min(content, style, variation) < 0 or not content + style:
        raise CnnJaxError(
            f'content {content}, style {style}, variation {variation} given; weights are at least 0, one of the first '
            'two above it'
        )
    return Style(content, style, variation, normalisation)


def _variation(images: jax.Array) -> jax.Array:
    """The mean over the pixels of squared differences with the next row and column, channels summed, (batch,).

    That of `visualize.style`: the last row and column have no neighbour and count as flat.
    """
    down, across = (jnp.sum(jnp.square(jnp.diff(images, axis=axis)), (1, 2, 3)) for axis in (1, 2))
    return (down + across) / math.prod(images.shape[1:])


def _to_pixels(images: jax.Array) -> jax.Array:
    """Images around 0 .. 1 as whole numbers 0 .. 255; what is no number stays none."""
    return jnp.round(255 * jnp.clip(images.astype(jnp.float32), 0, 1))
