"""The disk is full, fails, is not writable; the clock is wrong: the last good checkpoint stays, and the run says so."""

import contextlib
import resource
import sys
import time
from typing import Any

import harness
import jax
import pytest
from stop_at import StopAt

from cnn_jax.devices.stop import Stopped
from cnn_jax.errors import StorageError
from cnn_jax.main import main
from cnn_jax.workdir.config import default_path
from cnn_jax.workdir.log import Log

WIDE: dict[str, Any] = {
    'width': 64,
    'evaluate_every': None,
}  # checkpoints of half a megabyte, more than a file may have below


@contextlib.contextmanager
def full_disk(limit=50_000):
    """No file of this process grows beyond `limit` bytes; needs no privilege and ends with the block."""
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # Python leaves a .pyc that is cut short as it is
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    cached = jax.config.values['jax_persistent_cache_min_compile_time_secs']
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 1e6)  # nothing of the tests' own cache is cut short
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = written
        jax.config.update('jax_persistent_cache_min_compile_time_secs', cached)


class FullFrom(Log):
    """A log that fills the disk at the metrics of one step, and frees it at those of another."""

    def __init__(self, workdir, full, free):
        super().__init__(workdir)
        self.full, self.free, self.disk = full, free, full_disk()

    def metrics(self, step, split, seconds, **values):
        if step == self.full and split == 'train':
            self.disk.__enter__()
        if step == self.free and split == 'train':
            self.disk.__exit__(None, None, None)
        super().metrics(step, split, seconds, **values)


@pytest.fixture(scope='module')
def straight_wide(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('wide') / 'run'
    return workdir, harness.train(workdir, **WIDE)


def test_a_full_disk_ends_a_process_with_5_and_the_same_command_goes_on(tmp_path, straight_wide):
    """F9: full at the second save: a line names the folder and the step that is left; with room made, the same end."""
    workdir = tmp_path / 'run'
    process = harness.start(workdir, fault='full@save:2', **WIDE)
    code, output, errors = process.finish()
    assert (code, process.has_fired()) == (5, True), (output, errors)
    line = harness.one_error(errors)
    assert f'saving step 10 to {workdir}/checkpoints failed: the disk is full' in line
    assert 'MiB free' in line
    assert 'the checkpoint of step 5 is intact' in line
    assert not any('test accuracy' in text for text in output)
    trained = harness.train(workdir, **WIDE)
    assert harness.bits(trained.state) == harness.bits(straight_wide[1].state)
    assert harness.losses(workdir) == harness.losses(straight_wide[0])


def test_a_run_may_go_on_without_a_save(tmp_path, straight_wide, capsys):
    """F9: `on_save_error='go_on'`: a warning, the next save works, the end is the same."""
    workdir = tmp_path / 'run'
    workdir.mkdir()
    log = FullFrom(workdir, full=4, free=9)
    trained = harness.train(workdir, log=log, on_save_error='go_on', save_every=2, **WIDE)
    said = capsys.readouterr().out
    assert said.count('warning: saving step') == said.count('training goes on without it') > 0
    assert 'the disk is full' in said
    assert harness.bits(trained.state) == harness.bits(straight_wide[1].state)
    assert harness.steps(workdir)[-1] == 12
    assert harness.newest(workdir, **WIDE)[1] == []


def test_the_last_save_must_work(tmp_path):
    """F9, F10: a run whose last checkpoint is not on the disk is not done, whatever the option says."""
    workdir = tmp_path / 'run'
    workdir.mkdir()
    with full_disk(), pytest.raises(StorageError, match=r'saving step 6 .*the disk is full'):
        harness.train(workdir, on_save_error='go_on', num_steps=6, save_every=None, **WIDE)


def test_an_error_in_the_background_ends_the_process(tmp_path):
    """F10: the last save fails after it has begun: exit 5, the step is named, and nothing says that all is done."""
    process = harness.start(tmp_path / 'run', fault='fail@written:3')
    code, output, errors = process.finish()
    assert (code, process.has_fired()) == (5, True)
    assert 'saving step 12 to' in harness.one_error(errors)
    assert 'Input/output error' in errors[0]
    assert 'the checkpoint of step 10 is intact' in errors[0]
    assert not any('test accuracy   ' in line for line in output)


def test_a_full_disk_for_the_log_is_one_line_too(tmp_path, capsys):
    """F9: not even the metrics find room."""
    with full_disk(1000):
        code = main([f'--experiment={harness.TINY}', f'--workdir={tmp_path}/run', '--config.save_every=None'])
    assert code == 5
    lines = capsys.readouterr().err.splitlines()
    assert 'File too large' in harness.one_error(lines)


def test_a_clock_that_goes_back_changes_nothing(tmp_path, straight, monkeypatch):
    """F25: checkpoints are in the order of their steps, times are of a clock that only goes on."""
    now = [time.time()]

    def backwards():
        now[0] -= 1000
        return now[0]

    monkeypatch.setattr(time, 'time', backwards)
    workdir = tmp_path / 'run'
    with pytest.raises(Stopped):
        harness.train(workdir, StopAt(7))
    trained = harness.train(workdir)
    assert harness.bits(trained.state) == harness.bits(straight[1].state)
    assert harness.losses(workdir) == harness.losses(straight[0])
    assert harness.steps(workdir)[-1] == 12


def test_two_runs_in_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    """F25: a clock that was put back must not lead a new run into an old folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, 'strftime', lambda form: '2026-11-22_01-30-00')
    first = default_path('tiny')
    first.mkdir(parents=True)
    second = default_path('tiny')
    second.mkdir()
    assert len({first, second, default_path('tiny')}) == 3
