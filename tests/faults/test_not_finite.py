"""A loss or gradient that is no number: stop or skip, and say at which step, in which images and layer."""

import re

import harness
import jax
import numpy as np
import pytest
from stop_at import StopAt

from cnn_jax.data import order
from cnn_jax.devices.stop import Stopped
from cnn_jax.errors import DivergedError

NUM_STEPS, BATCH = 12, 16


def bad_steps(row=0):
    """Numbers of the steps, from 1, whose batch holds a training image."""
    return [step + 1 for step in range(NUM_STEPS) if row in order.rows(50, 0, step, BATCH)[0]]


def said(workdir):
    return (workdir / 'log.txt').read_text()


@pytest.mark.parametrize('log_every', [1, 5])
def test_one_bad_image_stops_the_run(tmp_path, log_every):
    """F11: the step, the images of its batch, the first place that is not finite and the bad image; exit 4."""
    with pytest.raises(DivergedError) as caught:
        harness.train(tmp_path / 'w', num_bad=1, log_every=log_every, save_every=1, evaluate_every=None)
    step = bad_steps()[0]
    assert f'loss is nan at step {step}; its batch is images ' in str(caught.value)
    assert 'and 8 more; first not finite in the images after preprocessing, of image 0' in str(caught.value)
    assert caught.value.exit_code == 4
    assert '\n' not in str(caught.value)
    (batch,) = re.findall(rf'the batch of step {step} is images \[(.*)\]', said(tmp_path / 'w'))
    assert sorted(map(int, batch.split(', '))) == sorted(order.rows(50, 0, step - 1, BATCH)[0])
    assert harness.steps(tmp_path / 'w')[-1:] == ([step - 1] if step > 1 else [])
    assert f'the last good checkpoint is step {step - 1}' in str(caught.value) or step == 1


def test_one_bad_image_is_skipped_where_that_is_asked_for(tmp_path):
    """F11: the update is left out, counted and explained; the run ends well, and stopped in between bit-equal."""
    options = {'num_bad': 1, 'on_nan': 'skip', 'evaluate_every': None}
    trained = harness.train(tmp_path / 'w', **options)
    text = said(tmp_path / 'w')
    assert [int(step) for step in re.findall(r'warning: step (\d+) is skipped: loss is nan; its', text)] == bad_steps()
    assert text.count('first not finite in the images after preprocessing, of image 0') == len(bad_steps())
    assert f'{len(bad_steps())} steps were skipped' in text
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(trained.state.variables)))
    with pytest.raises(Stopped):
        harness.train(tmp_path / 'again', StopAt(5), **options)
    assert harness.bits(harness.train(tmp_path / 'again', **options).state) == harness.bits(trained.state)


def test_nothing_but_bad_images_ends_a_run_that_skips(tmp_path):
    """F11: three skipped steps in a row are the end, exit 4; nothing that is not finite was saved."""
    with pytest.raises(DivergedError, match=r'loss is nan, after 3 skipped steps in a row at step 3') as caught:
        harness.train(tmp_path / 'w', num_bad=50, on_nan='skip', save_every=1)
    assert caught.value.exit_code == 4
    found, _ = harness.newest(tmp_path / 'w')
    assert found is None or all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.state.params))


@pytest.mark.parametrize('save_every', [1, None])
def test_divergence_names_a_layer_and_the_last_good_checkpoint(tmp_path, save_every):
    """F11: a learning rate of 1e30; what is saved before the end is finite."""
    with pytest.raises(DivergedError, match=r'is (nan|inf) at step \d+|no longer finite') as caught:
        harness.train(tmp_path / 'w', learning_rate=1e30, save_every=save_every, evaluate_every=None)
    assert re.search('first not finite in (layer (conv1|norm1|fc)|the loss)', str(caught.value))
    found, rejected = harness.newest(tmp_path / 'w')
    assert rejected == []
    if found is not None:
        assert f'the last good checkpoint is step {found.step}' in str(caught.value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.state.params))


def test_a_process_ends_with_4_and_one_line(tmp_path):
    """F11: as a person sees it."""
    code, _, errors = harness.start(tmp_path / 'w', num_bad=50).finish()
    assert code == 4
    assert 'training diverged: loss is nan at step 1; its batch is images' in harness.one_error(errors)
