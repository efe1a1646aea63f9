"""What is right of the images that were watched, and what the net says of them, as the task of the run has it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.look import Look
from cnn_jax.tasks.results import Results, Told
from cnn_jax.tasks.run import Run

MOST_WORDS = 200  # letters of what is right, or of what the net says


class Judged(NamedTuple):
    """The images that were watched, as people and the net see them.

    Attributes:
        classes: the names of what images show; none where the task knows no classes.
        shows: (images, classes) bool: which of them each image shows.
        truths, answers: of each image what is right and what the net says, in words; '' where that is not known.
        right: (images,) bool, whether both are the same; None: an answer is more or less right, or was not evaluated.
        losses: (images,); None where they were not evaluated.
        results: rows of `Results` of these images; empty where they were not evaluated.
    """

    classes: Sequence[str]
    shows: np.ndarray
    truths: Sequence[str]
    answers: Sequence[str]
    right: np.ndarray | None
    losses: np.ndarray | None
    results: Results

    def result(self, place: int) -> dict[str, Any]:
        """The row of one image."""
        return {name: values[place] for name, values in self.results.items()}

    @property
    def of_one_class(self) -> bool:
        """Whether the highest score is the answer, which was read from the outputs themselves."""
        return self.right is not None and self.losses is None

    @property
    def worst(self) -> np.ndarray:
        """Places of the images that are answered wrong, or where that is not known of all with the highest losses."""
        if self.right is not None:
            return np.flatnonzero(~self.right)
        if self.losses is None:
            return np.zeros(0, int)
        return np.argsort(-np.nan_to_num(self.losses, nan=np.inf), kind='stable')


def has_one_class(task: Any) -> bool:
    """Whether one class of each image is right, and the outputs are the scores of the classes."""
    return 'label' in task.truths and task.probabilities is not None and not task.model_inputs and not task.is_asked


def judged(run: Run, look: Look, watched: Watched, class_names: Sequence[str]) -> Judged:
    """What the task of the run says of the images that were watched.

    class_names: in words.
    """
    rows = [look.examples.source[int(row)] for row in watched.rows]
    shows = np.zeros((len(rows), len(class_names)), bool)
    for place, row in enumerate(rows):
        shows[place, list(run.task.shows(row, class_names))] = True
    classes = class_names if shows.any() else ()
    shows = shows[:, : len(classes)]
    if has_one_class(run.task):
        answers = watched.outputs.argmax(1)
        truths, said = ([class_names[int(one)] for one in labels] for labels in (watched.labels, answers))
        return Judged(classes, shows, truths, said, answers == watched.labels, None, {})
    results = rows_of(look.results, watched.rows)
    if not results:
        truths = [_words(run.task.truth(row, class_names)) for row in rows]
        return Judged(classes, shows, truths, [''] * len(rows), None, None, {})
    each = [{name: values[place] for name, values in results.items()} for place in range(len(rows))]
    truths = [_words(run.task.truth(one, class_names)) for one in each]
    said = [_words(run.task.result_answer(one, class_names)) for one in each]
    return Judged(classes, shows, truths, said, run.task.right(results), np.asarray(results['loss']), results)


def rows_of(results: Results, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The results of some rows of their split, in that order; none where one of them has none."""
    if not results:
        return {}
    place_of: Mapping[int, int] = {int(row): place for place, row in enumerate(results['index'])}
    if any(int(row) not in place_of for row in rows):
        return {}
    places = [place_of[int(row)] for row in rows]
    return {name: values[places] for name, values in results.items()}


def shares_of(run: Run, outputs: np.ndarray, count: int) -> np.ndarray | None:
    """The probability of each class, of outputs (images, classes) that are the scores of `count` classes; else None."""
    likelihoods = run.task.likelihoods
    if likelihoods is None or outputs.ndim != 2 or not 0 < outputs.shape[1] == count:
        return None
    return np.asarray(likelihoods(jnp.asarray(outputs)), np.float64)


def told(run: Run, result: Mapping[str, Any], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """What people and the net say of an image, where that is text: plain values."""
    found: Sequence[Told] = run.task.told(result, class_names) if result else ()
    return [
        {'about': one.about, 'people': one.people, 'net': [list(pair) for pair in one.net], 'right': bool(one.right)}
        for one in found
    ]


def _words(text: str) -> str:
    return text if len(text) <= MOST_WORDS else text[: MOST_WORDS - 1] + '\u2026'
