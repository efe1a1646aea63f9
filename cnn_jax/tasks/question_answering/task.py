"""Questions about an image with a few choices, words (telling) or boxes (pointing), one of them right."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.sentences import text_of
from cnn_jax.data.pipeline import Data
from cnn_jax.drawing.overlay import ANSWER, RIGHT, Overlay, beside
from cnn_jax.errors import CnnJaxError
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.explained import Explained, check_unit
from cnn_jax.tasks.question_answering import asking, page
from cnn_jax.tasks.question_answering.put import put
from cnn_jax.tasks.results import Batch, Evaluation, Results, Told
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.task import Task

ACCURACY = Metric('accuracy', 'questions answered right', 'points', True)
BLIND = Metric('blind', 'the same without the image', 'points', True)
SHUFFLED = Metric('shuffled', 'the same with the image of another question', 'points', True)

UNASKED = (
    'task questionanswering: a picture needs a question; give --questions=FILE.jsonl, or '
    "net.predict(image, question='...', choices=[...])"
)
OTHER = (170, 170, 170)  # a box that is neither right nor answered

Form = Literal['telling', 'pointing']


@dataclasses.dataclass(frozen=True)
class QuestionAnswering(Task):
    """The choice of each question that scores highest is the answer; the outputs are {'scores': (batch, questions,
    choices)}.

    The loss of an image is the cross-entropy of its questions, their mean. Beside each accuracy stand those of the same
    net that is shown a grey image, and that is asked the questions of another image: what it knows without looking.

    Attributes:
        form: 'telling', choices are words of the data's `class_names`; 'pointing', they are boxes.
        kinds: names of the kinds of questions, by the numbers in the data's `kind`.
    """

    form: Form = 'telling'
    kinds: tuple[str, ...] = ('all',)

    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY, BLIND, SHUFFLED, LOSS)
    batch_metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY,)
    truths: ClassVar[tuple[str, ...]] = ('question', 'answer', 'kind')
    is_asked: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    @property
    def choices(self) -> str:
        """The field of the choices."""
        return 'choices' if self.form == 'telling' else 'choice_boxes'

    @property
    def model_inputs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return ('question', self.choices)

    @property
    def arguments(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def fields(self, data: Data) -> Fields:
        fallback = {name: Field('int32') for name in ('question', self.choices, 'answer')}
        found = {name: data.row_fields.get(name, field) for name, field in fallback.items()}
        kind = Field('int32', found['answer'].shape, least=0, most=len(self.kinds) - 1)
        return {**found, **{f'other_{name}': field for name, field in found.items()}, 'kind': kind}

    def forward(self, apply: Callable[..., Any], variables: Any, batch: Batch, *, train: bool) -> Any:
        """In evaluation `other`, scores of another image's questions, and `blind`, without the image, too."""
        if any(name not in batch for name in self.model_inputs):
            raise CnnJaxError(UNASKED)
        inputs = [batch[name] for name in self.model_inputs]
        if train or 'other_question' not in batch:
            return apply(variables, batch['image'], *inputs, train=train)
        own = batch['question'].shape[1]
        both = [jnp.concatenate([batch[name], batch[f'other_{name}']], 1) for name in self.model_inputs]
        outputs = apply(variables, batch['image'], *both, train=False)
        if 'scores' not in outputs:  # of `init`: variables
            return outputs
        blind = apply(variables, jnp.zeros_like(batch['image']), *inputs, train=False)
        scores = outputs['scores']
        return {'scores': scores[:, :own], 'other': scores[:, own:], 'blind': blind['scores']}

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs['scores'], batch['answer'])
        return jnp.mean(losses, -1)

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        return {'accuracy': jnp.mean(_right(outputs['scores'], batch['answer']), dtype=jnp.float32)}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """`probability` (batch, questions, choices), and the `scores` behind it."""
        return {'probability': jax.nn.softmax(outputs['scores']), 'scores': outputs['scores']}

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image.

        The fields, (batch, questions, ...); `probability` of each choice and the place of the `prediction`; whether it
        is `right`, and whether it is right `blind` and `shuffled`; what is no number is never right.
        """
        kept = {name: batch[name] for name in (*self.model_inputs, 'answer', 'kind')}
        return {
            **kept,
            'probability': jax.nn.softmax(outputs['scores']),
            'prediction': jnp.argmax(outputs['scores'], -1).astype(jnp.int32),
            'right': _right(outputs['scores'], batch['answer']),
            'blind': _right(outputs['blind'], batch['answer']),
            'shuffled': _right(outputs['other'], batch['other_answer']),
        }

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images = len(results['loss'])
        return {
            'accuracy': float(np.mean(results['right'])),
            'blind': float(np.mean(results['blind'])),
            'shuffled': float(np.mean(results['shuffled'])),
            'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
            'images': images,
        }

    def table(self, evaluation: Evaluation, data: Data) -> list[tuple[str, str]]:
        """The metrics, then each kind of question."""
        rows = super().table(evaluation, data)
        for name, found in page.by_kind(evaluation.results, self.kinds).items():
            shown = f'{found["right"]:.2%}, without the image {found["blind"]:.2%}, {found["questions"]:,} questions'
            rows.append((name, shown))
        return rows

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        return {**super().details(evaluation, data), 'by_kind': page.by_kind(evaluation.results, self.kinds)}

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return '; '.join(f'{one.about} {one.people}' for one in self.told(example, class_names))

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return '; '.join(f'{one.about} {one.net[0][0]}' for one in self.told(result, class_names))

    def told(self, result: Mapping[str, Any], class_names: Sequence[str]) -> list[Told]:
        """Each question; of a row of a source, which has no answers of a net, the right ones are in their place."""
        found = []
        predictions = result.get('prediction', result['answer'])
        for number, (place, right) in enumerate(zip(predictions, result['answer'], strict=True)):
            choices = [
                self._chosen(result[self.choices][number], one, class_names)
                for one in range(len(result[self.choices][number]))
            ]
            net, people = choices[int(place)], choices[int(right)]
            sure = f'{result["probability"][number][place]:.0%}' if 'probability' in result else ''
            question = text_of(result['question'][number], class_names)
            found.append(Told(question, people, [(net, sure)], bool(place == right), choices))
        return found

    def _chosen(self, choices: Any, place: int, class_names: Sequence[str]) -> str:
        return text_of(choices[place], class_names) if self.form == 'telling' else f'box {place + 1}'

    def drawn(self, case: Case, class_names: Sequence[str]) -> np.ndarray:
        """The image; of boxes that of each question, the right one green, an answer that is another orange."""
        if self.form == 'telling':
            return Overlay(case.image).pixels
        pictures = []
        for boxes, answer, right in zip(
            *(case.result[name] for name in ('choice_boxes', 'prediction', 'answer')), strict=True
        ):
            overlay = Overlay(case.image)
            for place, box in enumerate(boxes):
                colour = RIGHT if place == right else ANSWER if place == answer else OTHER
                overlay.boxes(box[None], colour, [str(place + 1)])
            pictures.append(overlay.pixels)
        return functools.reduce(beside, pictures)

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        """The choice in words of a question that was put, whose choices are `class_names`."""
        return class_names[int(np.argmax(outputs['scores']))] if outputs['scores'].ndim == 1 else ''

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`choice`, the number of the answer, and its `probability`; of several questions lists."""
        each = [(int(np.argmax(one)), float(np.max(one))) for one in outputs['probability']]
        choice, probability = (list(values) for values in zip(*each, strict=True))
        if len(each) == 1:
            return {'choice': choice[0], 'probability': probability[0]}
        return {'choice': choice, 'probability': probability}

    def asked(self, question: str, choices: Sequence[Any], class_names: Sequence[str]) -> dict[str, np.ndarray]:
        if self.form == 'telling':
            return asking.told(question, choices, class_names)
        return asking.pointed(question, choices, class_names)

    def put(self, model: Any, asked: Mapping[str, np.ndarray]) -> Any:
        return put(model, asked)

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        return {name: answer.get(name, '') for name in ('answer', 'choice', 'probability')}

    def explained(self, outputs: Any, unit: int | None, class_names: Sequence[str]) -> Explained:
        """The score of a choice of the question that was put, `unit` its place; None: the net's own answer.

        class_names: the choices in words.

        Raises CnnJaxError: no question was put, it has no such choice, or scores that are no numbers.
        """
        scores = np.asarray(outputs['scores'])
        if scores.ndim != 1:  # those of no question or of several
            raise CnnJaxError(UNASKED)
        if not np.isfinite(scores).all():
            raise CnnJaxError('the scores of the choices are not finite; there is no answer to explain')
        check_unit(unit, len(scores), 'a choice')
        place = int(np.argmax(scores)) if unit is None else unit
        about = f'{class_names[place]!r}, {np.asarray(jax.nn.softmax(scores))[place]:.0%}'
        return Explained(np.int32(place), 'the answer' if unit is None else f'choice {unit}', about)

    @property
    def likelihoods(self) -> Callable[[jax.Array], jax.Array]:
        """Softmax over the choices of a question."""
        return jax.nn.softmax

    def sections(self, run: Run) -> list[str]:
        return page.sections(run)


def task(*, form: Form = 'telling', kinds: Sequence[str] = ('all',)) -> QuestionAnswering:
    """Questions with choices; see `QuestionAnswering`.

    Raises:
        CnnJaxError: a form that is none, or no kinds.
    """
    if form not in get_args(Form):
        raise CnnJaxError(f'form: got {form!r}; it is one of {", ".join(get_args(Form))}')
    if not kinds or len(set(kinds)) < len(kinds):
        raise CnnJaxError(f'kinds: got {tuple(kinds)}; give the name of each kind of question once')
    return QuestionAnswering(form, tuple(kinds))


def _right(scores: jax.Array, answer: jax.Array) -> jax.Array:
    """Whether the right choice scores highest, bool; never where a score is no number."""
    return (jnp.argmax(scores, -1) == answer) & jnp.isfinite(scores).all(-1)
