"""Runs that advance at once are ordinary runs: they resume, they end by themselves, each is evaluated as its own."""

import dataclasses
import functools
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import experiment
from cnn_jax.ablate import together
from cnn_jax.ablate.cells import Shared, run_cell, unify_steps
from cnn_jax.ablate.grid import Cell
from cnn_jax.data import order
from cnn_jax.data.augment import on_images
from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.workdir.log import read_metrics

TINY = 'tests/tiny_experiment.py'
OPTIONS = {'num_steps': 4, 'save_every': 2, 'evaluate_every': None}


class StopBeforeStep(StopRequest):
    """A signal that comes before one step."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    def poll(self, message: str, *, step: int | None = None) -> None:
        if step == self.number:
            self.signal_number = signal.SIGTERM
        super().poll(message, step=step)


def cells(seeds=(0, 1)):
    return [Cell(number, 'cell', OPTIONS, seed) for number, seed in enumerate(seeds)]


def shared_of(folder, stop=None, **options):
    loaded = experiment.load(TINY, OPTIONS | options)
    return Shared(loaded, data_dir=folder, stop=stop or StopRequest())


def losses(run):
    return [(line['step'], line['split'], line['loss']) for line in read_metrics(run)]


def test_a_stop_is_taken_up_again(tmp_path):
    stopping = shared_of(tmp_path, StopBeforeStep(3))
    with pytest.raises(Stopped, match='saved at step 3'):
        together.run_together([(stopping, cell) for cell in cells()], tmp_path / 'at_once')
    for way in ('at_once', 'straight'):
        shared = shared_of(tmp_path)
        together.run_together([(shared, cell) for cell in cells()], tmp_path / way)
    for cell in cells():
        stopped, straight = (tmp_path / way / cell.folder for way in ('at_once', 'straight'))
        assert 'resuming at step 3 of 4' in (stopped / 'log.txt').read_text()
        assert losses(stopped) == losses(straight)
        train = [line for line in read_metrics(straight) if line['split'] == 'train']
        assert all('data_wait' in line and 'images_per_second' in line for line in train)
        assert train[-1]['images_per_second'] > 0
        assert sorted(int(path.name) for path in (straight / 'checkpoints').iterdir() if path.name.isdigit()) == [2, 4]


def test_one_that_diverges_says_where_and_the_others_go_on(tmp_path):
    """Image 0 is poisoned: of two seeds one meets it in its first two steps."""
    options = {'num_bad': 1, 'num_steps': 2, 'save_every': None}
    met = {seed: any(0 in order.rows(50, seed, step, 16)[0] for step in (0, 1)) for seed in range(20)}
    bad, good = (next(seed for seed, value in met.items() if value is wanted) for wanted in (True, False))
    shared = shared_of(tmp_path, **options)
    together.run_together([(shared, cell) for cell in cells((bad, good))], tmp_path)
    ruined, other = (tmp_path / cell.folder for cell in cells((bad, good)))
    reason = json.loads((ruined / 'outcome.json').read_text())['reason']
    assert 'first not finite in the images after preprocessing, of image 0' in reason
    assert not (ruined / 'checkpoints' / '2').exists()
    assert not (other / 'outcome.json').exists()
    assert [line['split'] for line in read_metrics(other)][-1] == 'test'


def scaled(keys, images, *, scale):
    del keys
    return images.astype(jnp.float32) * scale


def test_each_is_evaluated_with_the_preprocessing_of_its_own_cell(tmp_path):
    runs = []
    for number, scale in enumerate((1 / 255, 1 / 100)):
        shared = shared_of(tmp_path)
        made = dataclasses.replace(shared.experiment, preprocess=on_images(functools.partial(scaled, scale=scale)))
        loaded = shared.loaded._replace(experiment=made)
        runs.append(
            (Shared(loaded, data_dir=tmp_path, stop=StopRequest()), Cell(number, f'scale_{number}', OPTIONS, 0))
        )
    distinct = [shared for shared, _ in runs]
    assert together.share_images(distinct)
    program = unify_steps(distinct)
    assert program is not None
    together.run_together(runs, tmp_path / 'at_once', program)
    for shared, cell in runs:
        run_cell(shared, cell, tmp_path / 'alone' / cell.folder)
    found = [[losses(tmp_path / way / cell.folder) for _, cell in runs] for way in ('at_once', 'alone')]
    np.testing.assert_allclose(*[[line[-1] for run in way for line in run] for way in found], rtol=1e-5)
    assert abs(found[0][0][-1][-1] - found[0][1][-1][-1]) > 1e-3, 'the cells differ'


def test_cells_with_other_images_do_not_share_them(tmp_path):
    assert not together.share_images([shared_of(tmp_path), shared_of(tmp_path, num_bad=3)])
    assert jax.default_backend() == 'cpu'
