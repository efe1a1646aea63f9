"""What every task in `cnn_jax.tasks` keeps, found by looking for `task`."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from forms import needed, sound, takes_part

from cnn_jax.prediction import load
from cnn_jax.report import sections
from cnn_jax.report.microscope import overview
from cnn_jax.tasks.run import Run

MODULES = sound('task')
TASKS = sorted(MODULES)
test_every_task_takes_part = takes_part('task')


def made_with_other_numbers(name: str) -> Any:
    """The task of a file, with every number other than its default."""
    parameters = inspect.signature(MODULES[name].task).parameters.values()
    numbers = {one.name: 2 * one.default for one in parameters if type(one.default) in (int, float)}
    return MODULES[name].task(**numbers, **needed(MODULES[name].task))


def test_the_tasks_are_found():
    assert {'classification', 'multilabel', 'localization', 'detection', 'segmentation', 'pose', 'captioning'} <= {
        *TASKS
    }


@pytest.mark.parametrize('name', TASKS)
def test_a_task_comes_back_from_what_a_file_of_weights_keeps(name):
    made = made_with_other_numbers(name)
    kept = json.loads(json.dumps(dict(made.arguments)))
    assert load._task(name, kept, Path('net.safetensors')) == made, (
        f'cnn_jax/tasks/{name}: give the task an `arguments` property with what `task` needs to make one that answers '
        'the same'
    )


@pytest.mark.parametrize('name', TASKS)
def test_a_run_that_was_not_evaluated_has_a_page_that_says_so(name, tmp_path):
    """Of a run that was stopped, or still trains."""
    task = made_with_other_numbers(name)
    run = Run(tmp_path, task, {'class_names': ['a', 'b'], 'experiment': 'x'}, (), None, {}, (8, 8, 1), (8, 8, 1))
    assert task.result(run) == ''
    assert 'not evaluated' in task.short_result(run)
    assert isinstance(task.cards(run), list)
    assert not ''.join(task.sections(run))


@pytest.mark.parametrize('name', TASKS)
def test_the_result_is_the_middle_of_a_sentence(name, tmp_path):
    task = made_with_other_numbers(name)
    line = {'step': 1, 'split': 'test', **{metric.name: 0.5 for metric in task.metrics}}
    run = Run(tmp_path, task, {}, [line], None, {}, (8, 8, 1), (8, 8, 1))
    assert re.match(r'(scores|gets|classifies|reaches a test (loss|PSNR)) ', task.result(run))


@pytest.mark.parametrize('name', TASKS)
def test_each_curve_stands_once_on_the_page(name, tmp_path):
    """The headline of some tasks is the loss."""
    task = made_with_other_numbers(name)
    values = {'seconds': 1.0, 'loss': 1.0, **{metric.name: 0.5 for metric in task.metrics}}
    lines = [{'step': step, 'split': split, **values} for step in (1, 2) for split in ('train', 'validation')]
    run = Run(tmp_path, task, {}, lines, None, {}, (8, 8, 1), (8, 8, 1))
    titles = [curve['title'] for curve in overview.curves(run)]
    assert titles == list(dict.fromkeys(['loss', task.headline.title]))
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sections, 'figure_html', lambda workdir, name, title, *given, **options: drawn.append(title) or ''
        )
        sections.curves(run)
    assert [title.lower() for title in drawn] == [title.lower() for title in titles]
