"""Super-resolution: an image some times larger, and how near it is to the one that it was shrunk from."""

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.shrunk import HIGH
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError
from cnn_jax.ops import bicubic
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.explained import Explained, check_unit
from cnn_jax.tasks.results import Batch, Evaluation, Results
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.super_resolution import page
from cnn_jax.tasks.super_resolution.measures import measure, to_pixels
from cnn_jax.tasks.super_resolution.quality import eight_bits
from cnn_jax.tasks.task import Task

PSNR = Metric('psnr', 'PSNR on Y', 'dB', True)
BICUBIC_PSNR = Metric('bicubic_psnr', 'PSNR of bicubic', 'dB', True)
SSIM = Metric('ssim', 'SSIM on Y', '', True)
BICUBIC_SSIM = Metric('bicubic_ssim', 'SSIM of bicubic', '', True)
MOST_PSNR = 100.0  # dB that an image counts with
BICUBIC_LOSS = Metric('bicubic_loss', 'loss of bicubic', '', False)
BESIDE = {'psnr': 'bicubic_psnr', 'ssim': 'bicubic_ssim', 'loss': 'bicubic_loss'}  # the blind baseline of each
MEASURES = (PSNR, BICUBIC_PSNR, SSIM, BICUBIC_SSIM)

Loss = Literal['l1', 'mse', 'perceptual']


@dataclasses.dataclass(frozen=True)
class SuperResolution(Task):
    """The enlarged image; the outputs are images (batch, height * scale, width * scale, channels), 0 black, 1 white.

    The model takes images of the same values: `preprocess` is `augment.to_unit_range`. The truth is the field
    `high_resolution`, and the scale is how much larger it is. The loss of an image is the mean over its numbers of
    absolute differences, as in Lim et al. 2017 (arXiv:1707.02921), or of squared ones, as in Dong et al. 2014
    (arXiv:1501.00092); or the distance of what a loss network sees, as in Johnson et al. 2016 (arXiv:1603.08155), which
    the model computes, a `models.perceptual_enlargement`.

    PSNR and SSIM are those of `quality`: answers are rounded to 8 bits and held within 0 .. 255, Y is
    MATLAB's, `scale` pixels of each border do not count; the metric is the mean over the images of a split, of PSNR in
    dB, where more than 100 counts as 100, so that a flat piece that is exact does not make it infinite. Beside each
    stands that of bicubic interpolation of the same small image, rounded alike: what needs no net. The headline is
    PSNR, and of a net with a loss network the loss.

    Attributes:
        loss_name: 'l1', 'mse' or 'perceptual'.
    """

    loss_name: Loss = 'l1'

    answers_are_images: ClassVar[bool] = True
    any_size: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return 'super_resolution'

    @property
    def metrics(self) -> tuple[Metric, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """PSNR first; of a perceptual loss the loss, as less of it is no more PSNR."""
        losses = (LOSS, BICUBIC_LOSS)
        return (*losses, *MEASURES) if self.loss_name == 'perceptual' else (*MEASURES, *losses)

    def fields(self, data: Data) -> Fields:
        height, width, channels = data.image_shape
        given = data.row_fields.get(HIGH, Field('uint8')).shape
        scale = max(1, given[0] // height) if len(given) == 3 else 2
        return {HIGH: Field('uint8', (height * scale, width * scale, channels))}

    def forward(self, apply: Callable[..., Any], variables: Any, batch: Batch, *, train: bool) -> Any:
        """The model's outputs; one with a loss network is given the truth, where there is one, to judge by."""
        if self.loss_name != 'perceptual' or HIGH not in batch:
            return apply(variables, batch['image'], train=train)
        return apply(variables, batch['image'], batch[HIGH].astype(jnp.float32) / 255, train=train)

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        if self.loss_name == 'perceptual':
            return _distance(outputs, 'distance')
        return self._missed(_enlarged(outputs), batch)

    def _missed(self, images: jax.Array, batch: Batch) -> jax.Array:
        """The loss of pixels, (batch,)."""
        missed = images.astype(jnp.float32) - _truth(images, batch).astype(jnp.float32) / 255
        each = jnp.abs(missed) if self.loss_name == 'l1' else jnp.square(missed)
        return jnp.mean(each, (1, 2, 3))

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        return {}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """`enlarged`, float32 (batch, height, width, channels), 0 black, 1 white, not rounded."""
        return {'enlarged': _enlarged(outputs).astype(jnp.float32)}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image, (batch,) arrays: `psnr` in dB and `ssim`; those and the loss of bicubic; `label`.

        A picture with a pixel that is no number has neither.
        """
        enlarged = _enlarged(outputs)
        truth = _truth(enlarged, batch).astype(jnp.float32)
        scale = truth.shape[1] // batch['image'].shape[1]
        smooth = bicubic(batch['image'], scale=scale)
        answers = jnp.concatenate([to_pixels(enlarged), to_pixels(smooth)])
        both = measure(answers, jnp.concatenate([truth, truth]), scale=scale)
        (psnr, bicubic_psnr), (ssim, bicubic_ssim) = (jnp.split(values, 2) for values in both)
        found = {'psnr': psnr, 'bicubic_psnr': bicubic_psnr, 'ssim': ssim, 'bicubic_ssim': bicubic_ssim}
        found |= {name: jnp.minimum(found[name], MOST_PSNR) for name in ('psnr', 'bicubic_psnr')}
        judged = self.loss_name == 'perceptual'
        found['bicubic_loss'] = _distance(outputs, 'bicubic_distance') if judged else self._missed(smooth, batch)
        return found | ({'label': batch['label']} if 'label' in batch else {})

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        means = {metric.name: float(np.mean(results[metric.name], dtype=np.float64)) for metric in self.metrics}
        return {**means, 'images': len(results['loss'])}

    def line(self, split: str, summary: Mapping[str, float]) -> str:
        return f'{split} PSNR {_beside(PSNR, summary)}  {split} loss {_beside(LOSS, summary)}'

    def shown(self, metric: Metric, evaluation: Evaluation) -> str:
        """The value of a metric, bicubic's beside it."""
        return _beside(metric, evaluation.summary)

    def outcome(self, split: str, evaluation: Evaluation) -> list[str]:
        rows = [(f'{split} {metric.title}', self.shown(metric, evaluation)) for metric in (PSNR, SSIM, LOSS)]
        width = max(len(title) for title, _ in rows)
        return [f'{title:<{width}} {value}' for title, value in rows]

    def table(self, evaluation: Evaluation, data: Data) -> list[tuple[str, str]]:
        """PSNR and SSIM, the PSNR of each photograph where the images are pieces of several, and the loss."""
        rows = [(metric.title, self.shown(metric, evaluation)) for metric in (PSNR, SSIM)]
        for name, summary in page.by_label(evaluation.results, data.class_names).items():
            rows.append((f'PSNR of {name}', _beside(PSNR, summary)))
        return [*rows, (LOSS.title, self.shown(LOSS, evaluation))]

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return class_names[int(example['label'])] if 'label' in example and class_names else ''

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        height, width = outputs['enlarged'].shape[:2]
        return f'{width} x {height} pixels'

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`width` and `height`, and `enlarged`, uint8 (height, width, channels)."""
        pixels = eight_bits(outputs['enlarged'])
        return {'width': pixels.shape[1], 'height': pixels.shape[0], 'enlarged': pixels}

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """The sides of the enlarged picture, whose pixels are no cell of a table."""
        return {name: answer.get(name, '') for name in ('width', 'height')}

    def as_image(self, answer: Mapping[str, Any]) -> bytes:
        """The enlarged picture, a PNG file with 8 bits a channel."""
        from PIL import Image

        pixels, buffer = np.asarray(answer['enlarged'], np.uint8), io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, 'PNG')
        return buffer.getvalue()

    def explained(self, outputs: Any, unit: int | None, class_names: Sequence[str]) -> Explained:
        """A pixel of the answer, the sum of its channels; `unit`: its number, row after row; None: the middle one.

        What a picture then shows is where a net looks to draw one pixel.
        """
        height, width, _ = np.shape(outputs)
        check_unit(unit, height * width, 'a pixel')
        row, column = (height // 2, width // 2) if unit is None else divmod(unit, width)
        mask = np.zeros(np.shape(outputs), bool)
        mask[row, column] = True
        return Explained(
            mask, 'the pixel in the middle' if unit is None else f'pixel {unit}', f'column {column}, row {row}'
        )

    @property
    def likelihoods(self) -> None:
        """None: no output is a probability."""
        return

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return _beside(PSNR, result)

    def result_columns(self, result: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        label = {'photograph': self.truth(result, class_names)} if 'label' in result else {}
        return {**label, **{metric.name: float(result[metric.name]) for metric in self.metrics}}

    def group(self, example: Mapping[str, Any]) -> int:
        return int(example.get('label', 0))

    def groups(self, class_names: Sequence[str]) -> tuple[str, ...]:
        return tuple(class_names) or ('all',)

    def remark(self, result: Mapping[str, Any]) -> str:
        return _beside(PSNR, result)

    def drawn(self, case: Case, class_names: Sequence[str]) -> np.ndarray:
        """The small image with pixels as squares, bicubic's, the net's, and the truth."""
        return page.four(case)

    def sections(self, run: Run) -> list[str]:
        return page.sections(run)

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        each = page.by_label(evaluation.results, data.class_names)
        finite = {
            name: {key: value if np.isfinite(value) else None for key, value in one.items()}
            for name, one in each.items()
        }
        return {**super().details(evaluation, data), 'by_photograph': finite}

    def short_result(self, run: Run) -> str:
        value, blind = (run.last(name, 'test') for name in ('psnr', 'bicubic_psnr'))
        return 'not evaluated' if value is None else f'test PSNR {value:.2f} dB, bicubic {blind:.2f}'

    def result(self, run: Run) -> str:
        value, blind = (run.last(name, 'test') for name in ('psnr', 'bicubic_psnr'))
        return '' if value is None else f'reaches a test PSNR on Y of {value:.2f} dB, bicubic {blind:.2f}'


def task(*, loss: Loss = 'l1') -> SuperResolution:
    """Super-resolution.

    Raises:
        CnnJaxError: another loss than 'l1', 'mse' or 'perceptual'.
    """
    if loss not in get_args(Loss):
        raise CnnJaxError(f'loss: {loss!r} given; it is one of {", ".join(get_args(Loss))}')
    return SuperResolution(loss)


def _enlarged(outputs: Any) -> jax.Array:
    return outputs['enlarged'] if isinstance(outputs, Mapping) else outputs


def _distance(outputs: Any, name: str) -> jax.Array:
    if not isinstance(outputs, Mapping):
        raise CnnJaxError(
            'task super_resolution: the loss is perceptual, and the model has no loss network; build it as a '
            'models.perceptual_enlargement.PerceptualEnlargement'
        )
    return outputs[name]


def _truth(outputs: jax.Array, batch: Batch) -> jax.Array:
    """The large images, uint8; CnnJaxError for outputs of another size."""
    truth = batch[HIGH]
    if outputs.shape != truth.shape:
        raise CnnJaxError(
            f'task super_resolution: the model gives images of {outputs.shape[1:]}, the truth has {truth.shape[1:]}; '
            "build it with the data's scale"
        )
    return truth


def _beside(metric: Metric, values: Mapping[str, Any]) -> str:
    """'25.42 dB (bicubic 25.17)'."""
    unit = ' dB' if metric.unit == 'dB' else ''
    shown = f'{metric.show(values[metric.name])}{unit}'
    return f'{shown} (bicubic {metric.show(values[BESIDE[metric.name]])})' if metric.name in BESIDE else shown
