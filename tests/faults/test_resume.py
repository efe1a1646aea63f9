"""Stopped anywhere and started again: the same parameters bit for bit, the same log."""

import json
from pathlib import Path

import harness
import jax
import numpy as np
import pytest
from stop_at import StopAt

from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import Stopped
from cnn_jax.training import states
from cnn_jax.workdir.checkpoint import Checkpoints

GOLDEN = Path(__file__).parent.parent / 'data' / 'golden_losses.json'  # written by make_golden_losses.py beside it


@pytest.mark.parametrize('polls', [[1], [5], [4, 2], [3, 3, 3, 3]])
def test_a_stopped_run_resumes_bit_equal(tmp_path, straight, polls):
    """F1: stopped after one step, before and inside an evaluation, at the end of an epoch, four times in a row."""
    for count in polls:
        with pytest.raises(Stopped, match=r'saved at step \d+; run the same command to go on') as caught:
            harness.train(tmp_path / 'w', StopAt(count))
        assert caught.value.exit_code == 143
    resumed = harness.train(tmp_path / 'w')
    workdir, trained = straight
    assert harness.bits(resumed.state) == harness.bits(trained.state)
    assert harness.losses(tmp_path / 'w') == harness.losses(workdir)


def test_the_same_seed_twice_is_bit_equal(tmp_path, straight):
    """F2: two fresh runs."""
    assert harness.bits(harness.train(tmp_path / 'again').state) == harness.bits(straight[1].state)


def test_the_first_losses_are_those_of_earlier_versions(straight):
    """F2: five stored losses; they change only where the recipe is meant to."""
    found = [loss for _, split, loss in harness.losses(straight[0]) if split == 'train'][:5]
    np.testing.assert_allclose(found, json.loads(GOLDEN.read_text()), rtol=1e-5)


def test_a_run_goes_back_to_its_last_checkpoint(tmp_path, straight):
    """F7: the steps after the last checkpoint are lost, and are trained again."""
    with pytest.raises(Stopped):
        harness.train(tmp_path / 'w', StopAt(9))
    newest = tmp_path / 'w' / 'checkpoints' / str(harness.steps(tmp_path / 'w')[-1])
    newest.rename(tmp_path / 'lost')  # as if the process had been killed before it could save
    resumed = harness.train(tmp_path / 'w')
    assert harness.bits(resumed.state) == harness.bits(straight[1].state)
    assert harness.losses(tmp_path / 'w') == harness.losses(straight[0])


def test_a_damaged_newest_checkpoint_costs_only_its_steps(tmp_path, straight, capsys):
    """F8: one warning, the step before it, the same end."""
    with pytest.raises(Stopped):
        harness.train(tmp_path / 'w', StopAt(9))
    newest = tmp_path / 'w' / 'checkpoints' / str(harness.steps(tmp_path / 'w')[-1])
    (newest / 'state' / 'manifest.ocdbt').write_bytes(b'')
    resumed = harness.train(tmp_path / 'w')
    assert capsys.readouterr().out.count(f'warning: checkpoint {newest} is not usable') == 1
    assert harness.bits(resumed.state) == harness.bits(straight[1].state)
    assert (tmp_path / 'w' / 'rejected_checkpoints' / newest.name).exists()


def test_another_number_of_devices_goes_on_with_the_same_data(tmp_path, straight, monkeypatch):
    """F17: 8 devices, then 1, 4, 2 and 8 again: the state comes back bit-equal, the losses agree within 1e-4."""
    make_mesh = mapping.make_mesh
    made = experiment.load(harness.TINY, {}).experiment
    for devices in (8, 1, 4, 2):
        monkeypatch.setattr(mapping, 'make_mesh', lambda count=None, devices=devices: make_mesh(count or devices))
        with pytest.raises(Stopped):
            harness.train(tmp_path / 'w', StopAt(3))
        checkpoints = Checkpoints(tmp_path / 'w' / 'checkpoints')
        restored = [
            checkpoints.restore(checkpoints.steps()[-1], states.abstract_state(made, make_mesh(count))).state
            for count in (devices, 8)
        ]
        assert harness.bits(restored[0]) == harness.bits(restored[1])
    monkeypatch.setattr(mapping, 'make_mesh', make_mesh)
    resumed = harness.train(tmp_path / 'w')
    found, expected = harness.losses(tmp_path / 'w'), harness.losses(straight[0])
    assert [line[:2] for line in found] == [line[:2] for line in expected]
    np.testing.assert_allclose([line[2] for line in found], [line[2] for line in expected], rtol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4),
        resumed.state.params,
        straight[1].state.params,
    )
