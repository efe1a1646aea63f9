"""Distances in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data import synthetic
from cnn_jax.tasks import ordinal


def test_the_headline_is_the_mean_distance_and_no_number_is_as_far_as_can_be():
    scores = jnp.array([[9.0, 0, 0], [0, 0, 9], [np.nan, 0, 9], [0, 9, 0]])
    batch, task = {'label': jnp.array([0, 0, 2, 2])}, ordinal.task()
    results = {name: np.asarray(one) for name, one in task.results(scores, batch).items()}
    np.testing.assert_array_equal(results['distance'], [0, 2, 2, 1])
    summary = task.summarise({**results, 'loss': np.zeros(4)}, synthetic.load(batch_size=4, num_classes=3))
    assert summary == {'distance': 1.25, 'loss': 0.0, 'images': 4}


def test_the_loss_minds_how_far_an_answer_is():
    scores, batch = jnp.zeros((1, 3)), {'label': jnp.array([0])}
    assert ordinal.task(pull=0.5).loss(scores, batch)[0] == pytest.approx(np.log(3) + 0.5 * 1)
    assert ordinal.task(pull=0.0).loss(scores, batch)[0] == pytest.approx(np.log(3))
