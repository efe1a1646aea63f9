"""What the page of a run shows, put together from its work folder, its weights and what they do on the test split."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax.data.pipeline import Source
from cnn_jax.devices.feed import Feed
from cnn_jax.errors import DataError
from cnn_jax.experiment import Experiment
from cnn_jax.report.microscope import Look
from cnn_jax.report.microscope.settings import DEFAULTS, Settings
from cnn_jax.steps.predict import make_predict_step
from cnn_jax.tasks.cases import Case, places_of
from cnn_jax.tasks.results import Results
from cnn_jax.tasks.run import Run
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.subject import preprocessing
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.config import existing_config
from cnn_jax.workdir.history import History
from cnn_jax.workdir.log import read_metrics


def as_run(
    experiment: Experiment, workdir: Path, variables: Mapping[str, Any], results: Results, feed: Feed | None
) -> Run:
    """A run as its page needs it; the configuration and the metrics are those of the work folder now.

    Args:
        experiment: of the run.
        workdir: its folder.
        variables: on the host; none: the page is without weights.
        results: of the test split; none: the page is without them.
        feed: the data, where there are results.
    """
    task = experiment.task
    about = {
        'workdir': workdir,
        'task': task,
        'config': existing_config(workdir),  # which has the time of the first start
        'metrics': read_metrics(workdir),
        'model': experiment.model,
        'variables': variables,
        'image_shape': experiment.data.image_shape,
        'input_shape': experiment.input_shape,
    }
    if not results or feed is None:
        return Run(**about)
    worst = task.worst(results)
    return Run(**about, results=results, worst=worst, images=feed.images('test', results['index'][worst]))


def look_of(
    experiment: Experiment,
    feed: Feed,
    split: str,
    *,
    step: int,
    workdir: Path,
    costly: bool,
    variables: Any,
    results: Results,
    settings: Settings = DEFAULTS,
) -> Look:
    """What the microscope of a run looks at.

    Args:
        experiment: of the run.
        feed: its data.
        split: the images.
        step: of the weights.
        workdir: whose checkpoints are listed, and whose history is looked at.
        costly: see `Look`.
        variables: of that step.
        results: of the split; empty: it was not evaluated.
        settings: how much is looked at.
    """
    preprocess = preprocessing(experiment.preprocess)
    examples = Examples(feed.source(split), preprocess, group=experiment.task.group)
    source = _training_images(feed) if costly else None
    training = None if source is None else Examples(source, preprocess)
    steps = Checkpoints(workdir / 'checkpoints').steps()
    cases = functools.partial(_cases_of, experiment, feed.source(split), variables, results)
    shown = cases if experiment.task.draws and results else None
    return Look(examples, split, step, steps, costly, training, History(workdir), results, shown, settings)


def _training_images(feed: Feed) -> Source | None:
    """The training images; None where they are not there."""
    try:
        return feed.source('train')
    except DataError:
        return None


def with_cases(run: Run, experiment: Experiment, feed: Feed) -> Run:
    """The run with single images and all that is known of them, where its task draws answers on images."""
    if not experiment.task.draws or not run.results:
        return run
    return dataclasses.replace(run, cases=_cases(experiment, feed, run.variables, run.results))


def _cases(experiment: Experiment, feed: Feed, variables: Any, results: Results) -> dict[str, list[Case]]:
    source = feed.source('test')
    return {
        kind: _cases_of(experiment, source, variables, results, results['index'][places])
        for kind, places in places_of(results).items()
    }


def _cases_of(
    experiment: Experiment, source: Source, variables: Any, results: Results, index: np.ndarray
) -> list[Case]:
    """Some rows of a split, `index`, with all that is known of them; all are in `results`."""
    places = {int(row): place for place, row in enumerate(results['index'])}
    rows = [source[int(row)] for row in index]
    answers = [None] * len(rows)
    if experiment.task.answers_are_images:  # too large to be kept of a whole split
        answers = _answers(experiment, variables, rows, index)
    return [
        Case(row['image'], {name: values[places[int(number)]] for name, values in results.items()}, row, answer)
        for number, row, answer in zip(index, rows, answers, strict=True)
    ]


def _answers(experiment: Experiment, variables: Any, rows: Sequence[Mapping[str, Any]], index: np.ndarray) -> list[Any]:
    """What the net says of some rows of a split, `index`."""
    batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    batch |= {'index': index.astype(np.int32), 'epoch': np.zeros(len(rows), np.int32)}
    answers = jax.device_get(jax.jit(make_predict_step(experiment))(variables, batch))
    return [jax.tree.map(lambda values, row=row: values[row], answers) for row in range(len(rows))]
