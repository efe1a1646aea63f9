"""What every task in `cnn_jax.tasks` keeps, found by looking for `task`."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from forms import needed, sound

from cnn_jax.prediction import load

MODULES = sound('task')
TASKS = sorted(MODULES)


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
