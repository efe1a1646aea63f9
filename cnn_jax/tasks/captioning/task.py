"""Captioning: a sentence about an image, judged by those of people."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.sentences import END, counted, text_of
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.captioning import agreement, page
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.explained import Explained, check_unit
from cnn_jax.tasks.results import Batch, Evaluation, Results, Told
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.task import Task

EXACT = Metric('exact', 'exact sentences', 'points', True)
CIDER = Metric('cider', 'CIDEr-D', '', True)
BLEU = tuple(
    Metric(f'bleu{order}', f'BLEU-{order} (sacrebleu, tokenizer {agreement.TOKENIZER})', 'points', True)
    for order in range(1, agreement.LONGEST + 1)
)
BLIND = Metric('blind', 'exact sentences of the commonest caption', 'points', True)
BLIND_CIDER = Metric('blind_cider', 'CIDEr-D of the commonest caption', '', True)
WORDS = Metric('words', 'words right behind the right ones', 'points', True)

Judge = Literal['exact', 'cider']


@dataclasses.dataclass(frozen=True)
class Captioning(Task):
    """A sentence for each image, in words of the data's `class_names`; see `models.captioner` for the outputs.

    The loss of an image is the cross-entropy of a word behind the right ones, its mean over the words and ends of all
    captions of the image.

    Attributes:
        judged_by: the headline, 'exact' where there is one right sentence, else 'cider'.
    """

    judged_by: Judge = 'exact'

    metrics: ClassVar[tuple[Metric, ...]] = (EXACT, CIDER, *reversed(BLEU), BLIND, BLIND_CIDER, LOSS)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (WORDS,)
    truths: ClassVar[tuple[str, ...]] = ('captions',)
    draws: ClassVar[bool] = True

    @property
    def headline(self) -> Metric:
        return EXACT if self.judged_by == 'exact' else CIDER

    @property
    def arguments(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def fields(self, data: Data) -> Fields:
        declared = data.row_fields.get('captions', Field('int32', (1, 20), least=0))
        return {'captions': declared._replace(dtype='int32', most=data.num_classes - 1)}

    def forward(self, apply: Callable[..., Any], variables: Any, batch: Batch, *, train: bool) -> Any:
        """The model is given the captions where there are some: a picture of one's own has none."""
        inputs = [batch['captions']] if 'captions' in batch else []
        return apply(variables, batch['image'], *inputs, train=train)

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        if outputs['given'].shape[-2] != batch['captions'].shape[-1]:
            raise CnnJaxError('task captioning: the model says sentences of another length than the data has')
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs['given'], batch['captions'])
        counts = _counts(batch['captions'])
        return jnp.sum(losses * counts, (1, 2)) / jnp.maximum(jnp.sum(counts, (1, 2)), 1)

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        counts = _counts(batch['captions'])
        right = jnp.argmax(outputs['given'], -1) == batch['captions']
        return {'words': jnp.sum(right & counts, dtype=jnp.float32) / jnp.maximum(jnp.sum(counts), 1)}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """`sentences`, `log_probability`, and the `attention` of the first, as the model gives them."""
        return {name: outputs[name] for name in ('sentences', 'log_probability', 'attention')}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image.

        `captions` (batch, captions, length); `sentences` (batch, beams, length) with their `log_probability`;
        `attention` of the first; whether that is `exact` one of the captions, (batch,), never where its probability is
        no number.
        """
        read, captions = self.read(outputs), batch['captions']
        same = jnp.all(read['sentences'][:, :1] == captions, -1) & (captions[..., 0] != END)
        known = jnp.isfinite(read['log_probability'][:, 0])
        return {'captions': captions, **read, 'exact': jnp.any(same, -1) & known}

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images, words = len(results['loss']), data.class_names
        answers = [text_of(one, words) for one in results['sentences'][:, 0]]
        right = [_captions(one, words) for one in results['captions']]
        commonest, blind = _commonest(right), np.array([texts[0] if texts else '' for texts in right])
        scores = dict(zip((metric.name for metric in BLEU), agreement.bleu(answers, right), strict=True))
        return {
            'exact': float(np.mean(results['exact'])),
            'cider': float(np.mean(agreement.cider(answers, right))),
            **dict(reversed(scores.items())),
            'blind': float(np.mean(blind == commonest)),
            'blind_cider': float(np.mean(agreement.cider([commonest] * images, right))),
            'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
            'images': images,
        }

    def headline_over(self, results: Results, data: Data) -> Callable[[np.ndarray], float]:
        """CIDEr-D of some images weighs words by all images of the split, as their scores do not change so."""
        if self.judged_by == 'exact':
            return lambda rows: float(np.mean(results['exact'][rows]))
        answers = [text_of(one, data.class_names) for one in results['sentences'][:, 0]]
        each = agreement.cider(answers, [_captions(one, data.class_names) for one in results['captions']])
        return lambda rows: float(np.mean(each[rows]))

    def right(self, results: Results) -> np.ndarray | None:
        return results['exact'] if self.judged_by == 'exact' else None

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return ' / '.join(_captions(example['captions'], class_names))

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return text_of(outputs['sentences'][0], class_names)

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return self.answer(result, class_names)

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`caption`, its `log_probability`, and the other `beams`, [[sentence, log-probability], ...]."""
        texts = [text_of(one, class_names) for one in outputs['sentences']]
        sure = [float(value) for value in outputs['log_probability']]
        beams = [list(pair) for pair in zip(texts, sure, strict=True)][1:]
        return {'caption': texts[0], 'log_probability': sure[0], 'beams': beams}

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """The sentence and the logarithm of its probability."""
        return {name: answer.get(name, '') for name in ('caption', 'log_probability')}

    def explained(self, outputs: Any, unit: int | None, class_names: Sequence[str]) -> Explained:
        """The score of a word behind those before it, `unit` its place; None: the sum over the sentence and its end.

        A method that changes the image, such as occlusion, may have other words said before it.
        """
        scores = np.asarray(outputs['scores'])
        sentence = np.asarray(outputs['sentences'][0])
        if not np.isfinite(scores).all():
            raise CnnJaxError('the scores of the words are not finite; there is no sentence to explain')
        check_unit(unit, max(1, int(np.sum(sentence != END))), 'the place of a word')
        target = np.zeros(scores.shape, bool)
        if unit is None:
            target[np.arange(len(sentence)), sentence] = counted(sentence)
            return Explained(target, 'the sentence')
        target[unit, sentence[unit]] = True
        sure = float(np.asarray(jax.nn.softmax(scores[unit]))[sentence[unit]])
        return Explained(target, f'word {unit} of the sentence', f'{class_names[int(sentence[unit])]!r}, {sure:.0%}')

    @property
    def likelihoods(self) -> Callable[[jax.Array], jax.Array]:
        """Softmax over the words of each place."""
        return jax.nn.softmax

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        right = [_captions(one, data.class_names) for one in evaluation.results['captions']]
        return {**super().details(evaluation, data), 'commonest_caption': _commonest(right)}

    def told(self, result: Mapping[str, Any], class_names: Sequence[str]) -> list[Told]:
        said = [text_of(one, class_names) for one in result['sentences']]
        notes = [f'log-probability {value:.2f}' for value in result['log_probability']]
        people = self.truth(result, class_names)
        return [Told('', people, list(zip(said, notes, strict=True)), bool(result['exact']))]

    def drawn(self, case: Case, class_names: Sequence[str]) -> np.ndarray:
        """The image, and where the net looked for each word."""
        return page.word_by_word(case, class_names)

    def sections(self, run: Run) -> list[str]:
        return page.sections(run)


def task(*, judged_by: Judge = 'exact') -> Captioning:
    """Captioning; see `Captioning`.

    Raises:
        CnnJaxError: a headline that is none.
    """
    if judged_by not in get_args(Judge):
        raise CnnJaxError(f'judged_by: got {judged_by!r}; it is one of {", ".join(get_args(Judge))}')
    return Captioning(judged_by)


def _counts(captions: jax.Array) -> jax.Array:
    """Which words count in the loss, bool (batch, captions, length): none of a caption that is not there."""
    return counted(captions) & (captions[..., :1] != END)


def _captions(captions: Any, words: Sequence[str]) -> list[str]:
    """The captions of an image that are there."""
    return [text for text in (text_of(one, words) for one in np.asarray(captions)) if text]


def _commonest(right: Sequence[Sequence[str]]) -> str:
    """The caption that the most images have, the first by its letters among equals; '' where there are none."""
    counts = Counter(text for texts in right for text in texts)
    return min(counts, key=lambda text: (-counts[text], text), default='')
