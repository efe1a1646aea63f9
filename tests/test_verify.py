"""The verifier passes what keeps the promises and catches what does not."""

import dataclasses

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


def test_an_experiment_that_keeps_them_all(tiny, tmp_path):
    checks = verify.verify(tiny, seed=0, data_dir=tmp_path)
    assert [check.name for check in checks] == ['repro', 'resume', 'devices', 'eval']
    assert all(check.holds for check in checks), checks


def test_the_mode_says_each(tmp_path, capsys):
    assert main(['--mode=verify', f'--experiment={TINY}', f'--data_dir={tmp_path}']) == 0
    assert 'repro    pass' in capsys.readouterr().out


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
