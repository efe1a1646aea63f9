"""The verifier passes what keeps the promises and catches what does not."""

import contextlib
import dataclasses
import io

import flax.linen as nn
import numpy as np
import pytest

from cnn_jax import experiment
from cnn_jax.data.augment import on_images
from cnn_jax.main import main
from cnn_jax.training import verify

TINY = 'tests/tiny_experiment.py'


@pytest.fixture(scope='module')
def tiny():
    return experiment.load(TINY, {}).experiment


@pytest.fixture(scope='module')
def kept(tmp_path_factory):
    """The checks of an experiment that keeps all promises, the exit code of the mode and what it says."""
    folder, found, said = tmp_path_factory.mktemp('kept'), [], io.StringIO()
    inner = verify.verify

    def heard(*arguments, **options):
        found.extend(inner(*arguments, **options))
        return found

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(verify, 'verify', heard)
        code = main(['--mode=verify', f'--experiment={TINY}', f'--data_dir={folder}'])
    return found, code, said.getvalue()


def test_an_experiment_that_keeps_them_all(kept):
    checks, _, _ = kept
    assert [check.name for check in checks] == ['repro', 'resume', 'devices', 'eval']
    assert all(check.holds for check in checks), checks


def test_the_mode_says_each(kept):
    _, code, said = kept
    assert code == 0
    assert 'repro    pass' in said


class PerDeviceDropout(nn.Module):
    """A model that draws other noise on each device."""

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Dropout(0.5, deterministic=not train)(images.reshape(images.shape[0], -1))
        return nn.Dense(10)(x)


def test_noise_that_sees_the_device_count_is_caught(tiny, tmp_path):
    model = dataclasses.replace(tiny, model=PerDeviceDropout())
    checks = {check.name: check for check in verify.verify(model, seed=0, data_dir=tmp_path)}
    assert not checks['devices'].holds
    assert checks['repro'].holds


def test_noise_from_outside_is_caught(tiny, tmp_path):
    rng = np.random.default_rng()

    def noisy(keys, images):  # traced once a run: another constant each time
        return images / 255 + rng.normal()

    checks = {
        check.name: check
        for check in verify.verify(dataclasses.replace(tiny, preprocess=on_images(noisy)), seed=0, data_dir=tmp_path)
    }
    assert not checks['repro'].holds
    assert 'first the loss of step 1' in checks['repro'].detail
