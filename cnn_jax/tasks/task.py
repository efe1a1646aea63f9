"""What a task is: the only place that knows what an answer is. Training, evaluation, reports and comparisons ask it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cnn_jax.data.formats.fields import Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks import page
from cnn_jax.tasks.explained import Explained, of_classes
from cnn_jax.tasks.results import Batch, Evaluation, Results, Told, unread_lines, worst_of
from cnn_jax.tasks.run import Run

if TYPE_CHECKING:
    import jax

BLIND = ('blind', 'blind_cider', 'shuffled')  # metrics of answers without the image, or with another one


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model is trained to answer; a value of the experiment.

    A task is one file: a subclass with the five functions that raise NotImplementedError here, and `metrics`. The
    others have a form that suits most tasks. What a model returns is called its outputs.

    Attributes:
        metrics: of a split, in the order of `summarise`; the first is the headline, by which runs are compared.
        batch_metrics: of training batches, beside the loss.
        model_inputs: fields that the model takes after the images.
        truths: the arrays of `results` that are not the model's: the same for every model.
        places: the arrays of `read` that are places (..., 2) or boxes (..., 4) in pixels of what the net is shown: a
            prediction has them in pixels of the picture.
        answers_are_images: whether `as_image` makes a file of an answer.
        is_asked: whether a picture needs a question, which `asked` takes.
        any_size: whether a picture is answered at its own size, whatever the size of the data's images.
        draws: whether `drawn` shows answers on images.
        units_are_classes: whether a unit of `explained` is a class, which may be called by its name.
        shares: those of `places` that `read`, which does not see the image, gives as shares of its sides.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    batch_metrics: ClassVar[tuple[Metric, ...]] = ()
    model_inputs: ClassVar[tuple[str, ...]] = ()
    truths: ClassVar[tuple[str, ...]] = ()
    places: ClassVar[tuple[str, ...]] = ()
    shares: ClassVar[tuple[str, ...]] = ()
    answers_are_images: ClassVar[bool] = False
    is_asked: ClassVar[bool] = False
    any_size: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    units_are_classes: ClassVar[bool] = False

    @property
    def headline(self) -> Metric:
        """The metric that runs are compared by."""
        return self.metrics[0]

    # What the data must have, and what the numbers are.

    def fields(self, data: Data) -> Fields:
        """The fields that a row must carry beside its image for this task."""
        raise NotImplementedError

    def loss(self, outputs: Any, batch: Batch) -> 'jax.Array':
        """The loss of each image, (batch,), of the model's outputs in training or evaluation."""
        raise NotImplementedError

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, 'jax.Array']:
        """Scalars of a training batch, by the names of `batch_metrics`."""
        raise NotImplementedError

    def results(self, outputs: Any, batch: Batch) -> dict[str, 'jax.Array']:
        """What is kept of each image of an evaluation, (batch, ...) arrays; computed on the devices.

        Each depends on its own image alone: that makes the metrics exact for any batch size and device count. Scores
        that are not numbers must never look right.
        """
        raise NotImplementedError

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        """The metrics of a split, by name, in the order of `metrics`, and `images`."""
        raise NotImplementedError

    def forward(self, apply: Callable[..., Any], variables: Any, batch: Batch, *, train: bool) -> Any:
        """The model's outputs of a batch: one call of `apply(variables, images, *inputs, train=...)`."""
        inputs = [batch[name] for name in self.model_inputs]
        return apply(variables, batch['image'], *inputs, train=train)

    def asked(self, question: str, choices: Sequence[Any], class_names: Sequence[str]) -> dict[str, np.ndarray]:
        """A question about one image as the `model_inputs`, without the batch axis; boxes in pixels of its picture.

        `decode` then gives `choice`, the place of the answer among the choices.

        Raises: CnnJaxError for what the net cannot be asked.
        """
        raise CnnJaxError(f'task {self.name}: it answers no questions; ask a run of scenes_vqa or scenes_point')

    def put(self, model: Any, asked: Mapping[str, np.ndarray]) -> Any:
        """A model that takes images alone, is asked one question about each, and whose classes are its choices."""
        raise NotImplementedError

    def check(self, data: Data) -> None:
        """Raises CnnJaxError for a data set that does not declare what this task needs."""
        declared = data.row_fields
        for name, field in self.fields(data).items():
            if name not in declared:
                raise CnnJaxError(
                    f'task {self.name}: {data.name} has no {name!r} in its rows; it has {", ".join(declared)}; '
                    'give the experiment another task, or other data'
                )
            if declared[name] != field:
                raise CnnJaxError(f'task {self.name}: {name!r} of {data.name} is {declared[name]}; needed is {field}')

    def check_loss(self, data: Data) -> None:
        """Raises CnnJaxError for a loss that does not fit the metrics: a better answer must have a lower loss."""

    @property
    def name(self) -> str:
        """In one word, for messages."""
        return type(self).__name__.lower()

    @property
    def arguments(self) -> dict[str, Any]:
        """What `task` of its file needs to make one that answers the same, values for JSON; kept with weights."""
        return {}

    # What people read.

    def progress(self, values: Mapping[str, float]) -> str:
        """Loss and metrics of a training batch in one short text."""
        shown = [LOSS.in_words(values['loss'])]
        shown += [metric.in_words(values[metric.name], 1) for metric in self.batch_metrics if metric.name in values]
        return '  '.join(shown)

    def line(self, split: str, summary: Mapping[str, float]) -> str:
        """An evaluation during training in one line: 'test accuracy 97.22%  test loss 0.1226'."""
        return '  '.join(f'{split} {metric.in_words(summary[metric.name])}' for metric in (self.headline, LOSS))

    def outcome(self, split: str, evaluation: Evaluation) -> list[str]:
        """The last evaluation of a run, a line for each number; beside the headline what needs no image."""
        metrics = (self.headline, *(one for one in self.metrics if one.name in BLIND), LOSS)
        rows = [(f'{split} {metric.title}', self.shown(metric, evaluation)) for metric in metrics]
        width = max(len(title) for title, _ in rows)
        return [f'{title:<{width}} {value}' for title, value in rows]

    def shown(self, metric: Metric, evaluation: Evaluation) -> str:
        """The value of a metric in words, as wide as the others."""
        value = evaluation.summary[metric.name]
        return f'{value:7.2%}' if metric.unit == 'points' else f' {value:.4f}'

    def words(self, evaluation: Evaluation, data: Data) -> str:
        """An evaluation in words, as --mode=evaluate prints it."""
        rows = [('images', f'{len(evaluation.results["index"])}')]
        rows += self.table(evaluation, data)
        width = max(len(title) for title, _ in rows) + 2
        lines = [f'{title:<{width}}{value}' for title, value in rows]
        return '\n'.join([*lines, *unread_lines(evaluation.unread, len(evaluation.results['index']))])

    def table(self, evaluation: Evaluation, data: Data) -> list[tuple[str, str]]:
        """Titles and values of an evaluation, for a table of several runs."""
        return [(metric.title, self.shown(metric, evaluation).strip()) for metric in self.metrics]

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        """What is right for a row of a source, or for one image of `results`, in words."""
        return ''

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        """What the model says of one image, in words; `outputs` as `read` gives them, on the host, of that image."""
        return ''

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """What the model says of one image as plain values, for JSON and for programs.

        outputs: as `read` gives them, on the host, without the batch axis.
        """
        return {'answer': self.answer(outputs, class_names)}

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """What `decode` gives as the cells of a table, by column; of no answer, `{}`, the columns with empty cells."""
        return dict.fromkeys(('answer',), '') | dict(answer)

    def records(self, row: Mapping[str, Any], number: int, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """What a picture, the `number`-th, adds to a .json file: its `row`, of answer or error, or the field's form."""
        return [dict(row)]

    def files(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        """An evaluation in the field's exchange formats: plain values for JSON, by the name of their file."""
        return {}

    @property
    def probabilities(self) -> 'Callable[[jax.Array], jax.Array] | None':
        """Turns scores (batch, classes) into the probability of each class; None: the outputs are no such scores."""
        return None

    def read(self, outputs: Any) -> Any:
        """The outputs as a prediction gives them, (batch, ...) arrays on the devices; probabilities where there are."""
        return self.probabilities(outputs) if self.probabilities is not None else outputs

    def explained(self, outputs: Any, unit: int | None, class_names: Sequence[str]) -> Explained:
        """The number among the outputs of one image that a picture explains; of no `unit`, None, the net's own answer.

        outputs: of the model, on the host, without the batch axis; of several arrays those called 'scores' count.

        Raises: CnnJaxError for a unit that the image has not, which says what there is.
        """
        return of_classes(outputs, unit, class_names)

    @property
    def likelihoods(self) -> 'Callable[[jax.Array], jax.Array] | None':
        """Turns the scores that `explained` points at into probabilities, in their shape; None: they are none."""
        return self.probabilities

    def as_image(self, answer: Mapping[str, Any]) -> bytes:
        """What `decode` gives as a PNG file, of a task whose answers are images."""
        raise NotImplementedError

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        """What the model says of one image, in words, from its `results`."""
        return ''

    def result_columns(self, result: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """One image of `results` as the cells of a table, by column."""
        truth, answer = self.truth(result, class_names), self.result_answer(result, class_names)
        return {'truth': truth, 'answer': answer, 'loss': float(result['loss'])}

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        """The numbers of an evaluation as plain values, for JSON; what is no number is None."""
        return {name: float(value) if np.isfinite(value) else None for name, value in evaluation.summary.items()}

    def group(self, example: Mapping[str, Any]) -> int:
        """The number in `groups` of a row of a source: what pictures of many images colour it by."""
        return 0

    def groups(self, class_names: Sequence[str]) -> tuple[str, ...]:
        """The names of the groups that `group` gives; one where rows belong to no class."""
        return ('all',)

    def shows(self, example: Mapping[str, Any], class_names: Sequence[str]) -> Sequence[int]:
        """The classes that a row of a source shows, as numbers in `class_names`; none where rows belong to none."""
        return (self.group(example),) if 1 < len(self.groups(class_names)) == len(class_names) else ()

    def targets(self, batch: Batch, data: Data) -> dict[str, np.ndarray]:
        """What the loss compares with of a training batch on the host, for the contact sheet and its numbers."""
        return {name: np.asarray(batch[name]) for name in self.fields(data) if name in batch}

    def captions(self, targets: Results, data: Data) -> list[str]:
        """A short text for each image of `targets`."""
        count = len(next(iter(targets.values()))) if targets else 0
        rows = ({name: values[place] for name, values in targets.items()} for place in range(count))
        return [self.truth(row, data.class_names) for row in rows]

    # What a comparison asks.

    def headline_over(self, results: Results, data: Data) -> Callable[[np.ndarray], float]:
        """The headline over some images, given by their places in `results`, which may repeat."""
        name = self.headline.name
        return lambda rows: self.summarise({key: values[rows] for key, values in results.items()}, data)[name]

    def right(self, results: Results) -> np.ndarray | None:
        """Whether each image is answered right, (images,) bool; None where an answer is more or less right."""
        return None

    # What the page shows.

    def worst(self, results: Results, *, most: int = 42) -> np.ndarray:
        """The places in `results` of the images that the page shows: the highest losses, highest first."""
        return worst_of(results, np.arange(len(results['loss'])), most)

    def drawn(self, case: Any, class_names: Sequence[str]) -> np.ndarray:
        """An image (a `tasks.cases.Case`) with what is right drawn on it, beside it with the answer: uint8 RGB."""
        raise NotImplementedError

    def remark(self, result: Mapping[str, Any]) -> str:
        """A number of one image of `results` that stands under its picture."""
        return f'loss {result["loss"]:.2f}'

    def told(self, result: Mapping[str, Any], class_names: Sequence[str]) -> list[Told]:
        """What people and the net say of one image of `results`, where that is text; it stands under its picture."""
        return []

    def sections(self, run: Run) -> list[str]:
        """The sections of the page that are the task's own, as HTML."""
        return [page.hardest(run)]

    def cards(self, run: Run) -> list[tuple[str, str, str]]:
        """Titles, values and remarks for the numbers on top of the page."""
        return page.cards(run)

    def short_result(self, run: Run) -> str:
        """The result in a few words, for the title of the page."""
        return page.short_result(run)

    def result(self, run: Run) -> str:
        """The result as the middle of a sentence, 'scores 98.9 % on the test images (accuracy)'; '' if none."""
        return page.result(run)
