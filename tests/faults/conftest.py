"""The run that no fault has touched."""

import harness
import pytest


@pytest.fixture(scope='session')
def straight(tmp_path_factory):
    """An uninterrupted run of 12 steps; 50 images in batches of 16, so the epochs end inside batches."""
    workdir = tmp_path_factory.mktemp('straight') / 'run'
    return workdir, harness.train(workdir)


@pytest.fixture(scope='session')
def straight_long(tmp_path_factory):
    """An uninterrupted run of 24 steps with a checkpoint every second step."""
    workdir = tmp_path_factory.mktemp('straight_long') / 'run'
    return workdir, harness.train(workdir, num_steps=24, save_every=2, evaluate_every=6)
