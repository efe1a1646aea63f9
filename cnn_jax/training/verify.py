"""The promises, tried on one experiment in small: repeatable, resumable, free of devices, exactly evaluated."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax.devices import mapping
from cnn_jax.experiment import Experiment
from cnn_jax.steps.state import TrainState
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.progress import Working, silent

STEPS = 6
LOSS_TOLERANCE = 1e-4  # between device counts, relative: sums are rounded in another order


class Check(NamedTuple):
    """One promise: its name, whether it holds, and the evidence or the first difference."""

    name: str
    holds: bool
    detail: str


class Trial(NamedTuple):
    """A short training run: the losses of its steps, and the state after the last."""

    losses: np.ndarray
    state: TrainState


def verify(experiment: Experiment, *, seed: int, data_dir: Path, working: Working = silent) -> list[Check]:
    """Trains `experiment` for a few steps in several ways and compares.

    Args:
        seed: of the runs.
        data_dir: where the data set lies.
        working: told which promise is tried.

    Returns:
        `repro`: the same seed twice is bit-equal; `resume`: stopped, saved, restored and finished is bit-equal;
        `devices`: the losses on one device and on all of them agree; `eval`: so does every image's result, at any
        batch size.
    """
    trial = _Trials(dataclasses.replace(experiment, num_steps=STEPS), seed, data_dir)
    most = max(n for n in range(1, jax.device_count() + 1) if experiment.data.batch_size % n == 0)
    with working('trying', 5) as told:
        told.next('a first run')
        straight = trial.run(most)
        told.next('repro')
        how = f'the same seed twice, {STEPS} steps on {most} devices'
        checks = [_bit_equal('repro', straight, trial.run(most), how)]
        told.next('resume')
        checks.append(
            _bit_equal('resume', straight, trial.resumed(most), f'stopped after {STEPS // 2} of {STEPS} steps')
        )
        told.next('devices')
        checks.append(_devices(trial.run(1), straight, most))
        told.next('eval')
        return [*checks, _evaluation(trial, straight.state, most)]


class _Trials:
    """Runs of one experiment, seed and data set."""

    def __init__(self, experiment: Experiment, seed: int, data_dir: Path):
        self.experiment, self.seed, self.data_dir = experiment, seed, data_dir

    def setup(self, num_devices: int, eval_batch_size: int | None = None) -> Setup:
        return Setup(self.experiment, data_dir=self.data_dir, num_devices=num_devices, eval_batch_size=eval_batch_size)

    def run(self, num_devices: int, *, state: TrainState | None = None, until: int = STEPS) -> Trial:
        """Trains up to step `until`, from the start or from `state`."""
        setup = self.setup(num_devices)
        feed = setup.open_feed(self.seed)
        state = setup.initial_state(self.seed) if state is None else state
        losses: list[float] = []
        for number in range(int(jax.device_get(state.step)), until):
            state, metrics = setup.train_step(state, feed.train(number))
            losses.append(float(jax.device_get(metrics['loss'])))
        return Trial(np.array(losses), state)

    def resumed(self, num_devices: int) -> Trial:
        """Half of the run, a checkpoint, and the other half from what the disk gives back."""
        first = self.run(num_devices, until=STEPS // 2)
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder) / 'checkpoints')
            checkpoints.save(STEPS // 2, first.state)
            checkpoints.close()
            restored = checkpoints.restore(STEPS // 2, self.setup(num_devices).like)
        second = self.run(num_devices, state=restored.state)
        return Trial(np.concatenate([first.losses, second.losses]), second.state)

    def counts(self, variables: Any, num_devices: int, batch_size: int) -> dict[str, np.ndarray]:
        """The whole numbers among the results of each test image: ranks, predictions, matches."""
        setup = self.setup(num_devices, batch_size)
        on_devices = mapping.replicate(setup.mesh, mapping.fetch(variables))
        results = setup.evaluate(on_devices, setup.open_feed(self.seed), self.experiment.data.choosing_split).results
        return {name: values for name, values in results.items() if values.dtype.kind in 'biu'}


def _bit_equal(name: str, one: Trial, other: Trial, how: str) -> Check:
    different = [path for path, a, b in _pairs(one.state, other.state) if a.tobytes() != b.tobytes()]
    if not different:
        return Check(name, True, f'{how}: the state is bit-equal')
    steps = np.flatnonzero(one.losses != other.losses)
    where = f'the loss of step {steps[0] + 1}' if len(steps) else different[0]
    return Check(name, False, f'{how}: {len(different)} arrays differ, first {where}')


def _devices(one: Trial, many: Trial, num_devices: int) -> Check:
    gap = np.abs(one.losses - many.losses) / np.maximum(np.abs(one.losses), 1e-6)
    how = f'losses of {STEPS} steps on 1 and {num_devices} devices differ by {gap.max():.1e} at most'
    if num_devices == 1:
        return Check('devices', True, 'only one device here: nothing to compare')
    return Check('devices', bool(gap.max() <= LOSS_TOLERANCE), f'{how} (allowed {LOSS_TOLERANCE:.0e})')


def _evaluation(trial: _Trials, state: TrainState, most: int) -> Check:
    ways = [(1, 7), (1, trial.experiment.data.batch_size), (most, 64)]
    expected, *others = [trial.counts(state.variables, devices, size) for devices, size in ways]
    images = len(expected['index'])
    for (devices, size), found in zip(ways[1:], others, strict=True):
        for name, values in found.items():
            changed = np.flatnonzero((values != expected[name]).reshape(images, -1).any(1))
            if len(changed):
                how = f'at batch {size} on {devices} devices'
                what = f'{len(changed)} images have another {name} {how}, first image {changed[0]}'
                return Check('eval', False, what)
    sizes = ', '.join(f'{size} on {devices}' for devices, size in ways)
    return Check('eval', True, f'{images} images have the same results at batch size {sizes} device(s)')


def _pairs(one: Any, other: Any) -> list[tuple[str, np.ndarray, np.ndarray]]:
    def plain(tree: TrainState):
        tree = dataclasses.replace(tree, rng=jax.random.key_data(tree.rng))
        return jax.tree_util.tree_flatten_with_path(mapping.fetch(tree))[0]

    pairs = zip(plain(one), plain(other), strict=True)
    return [(jax.tree_util.keystr(path, simple=True, separator='/'), a, b) for (path, a), (_, b) in pairs]
