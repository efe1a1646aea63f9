"""The number that a run is compared by."""

import json

import numpy as np
import pytest

from cnn_jax.ablate.score import metric_of, note_diverged, read_outcome, score, steps_to
from cnn_jax.errors import CnnJaxError

LINES = [
    *(
        {'step': step, 'seconds': step / 10, 'split': 'train', 'loss': 1 / step, 'top1': step / 100}
        for step in range(1, 101)
    ),
    {'step': 50, 'seconds': 5.0, 'split': 'test', 'loss': 0.5, 'top1': 0.8, 'top5': 0.9},
    {'step': 100, 'seconds': 10.0, 'split': 'test', 'loss': 0.25, 'top1': 0.9, 'top5': 1.0},
]


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('top1', 0.9),
        ('top5', 1.0),
        ('loss', 0.25),
        ('train_top1', np.mean(np.arange(91, 101)) / 100),
        ('train_loss', np.mean(1 / np.arange(91, 101))),
        ('steps_to_train_top1=0.5', 55),  # the mean of 46 .. 55 is 50.5, of 45 .. 54 it is 49.5
    ],
)
def test_scores(name, value):
    assert score(LINES, metric_of(name)) == pytest.approx(value)


def test_what_was_not_logged_is_not_a_number():
    assert np.isnan(score(LINES[:3], metric_of('top1')))
    assert np.isnan(score([{'step': 1, 'split': 'test', 'top1': None}], metric_of('top1')))


def test_a_target_that_is_never_reached_takes_the_whole_run():
    assert steps_to(np.array([10, 20]), np.array([0.1, 0.2]), 0.5) == 20
    assert steps_to(np.array([10, 20]), np.array([0.6, 0.4]), 0.5) == 20


@pytest.mark.parametrize(
    'name', ['accuracy', 'steps_to_train_top1', 'steps_to_train_top1=2', 'steps_to_train_top1=x', '']
)
def test_an_unknown_metric_lists_those_there_are(name):
    with pytest.raises(CnnJaxError, match=r'unknown metric.*top1'):
        metric_of(name)


def test_lower_losses_and_fewer_steps_are_better():
    assert metric_of('loss').signed(-0.1) > 0
    assert metric_of('steps_to_train_top1=0.5').signed(-3) > 0
    assert metric_of('top1').signed(0.1) > 0
    assert metric_of('top1').show(0.0123, sign=True) == '+1.23'


def test_states_of_a_run(tmp_path):
    assert read_outcome(tmp_path, 100).state == 'absent'
    (tmp_path / 'config.json').write_text('{}')
    assert read_outcome(tmp_path, 100).state == 'begun'
    (tmp_path / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in LINES))
    assert read_outcome(tmp_path, 100).state == 'finished'
    assert read_outcome(tmp_path, 200).state == 'begun'
    note_diverged(tmp_path, 'the loss is nan')
    assert read_outcome(tmp_path, 200).state == 'diverged'
