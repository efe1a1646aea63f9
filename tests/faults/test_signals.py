"""SIGTERM and Ctrl-C at any moment: one save, the right exit code, and a resume that leaves no trace."""

import os
import signal
import time
from typing import Any

import harness
import pytest

from cnn_jax.workdir.lock import WorkdirLock

OPTIONS: dict[str, Any] = {'num_steps': 24, 'save_every': 2, 'evaluate_every': 6}
BEFORE = 'stopped before the first step; run the same command to start'


def test_a_signal_at_every_stage(tmp_path, straight_long):
    """F4: while data are opened, the step compiles, a step runs, a save runs in the background, an evaluation."""
    workdir, reached = tmp_path / 'run', 0
    for fault, expected in [
        ('term@data:1', 143),
        ('int@step:1', 130),
        ('term@step:3', 143),
        ('int@written:2', 130),
        ('term@evaluate:2', 143),
    ]:
        process = harness.start(workdir, fault=fault, **OPTIONS)
        code, output, errors = process.finish()
        assert (code, errors, process.has_fired()) == (expected, [], True), (fault, output, errors)
        if fault == 'term@data:1':
            assert output[-1] == BEFORE
            assert harness.steps(workdir) == []
            continue
        step = harness.saved_step(output)
        assert harness.steps(workdir)[-1] == step > reached, fault
        reached = step
    trained = harness.train(workdir, **OPTIONS)
    assert harness.bits(trained.state) == harness.bits(straight_long[1].state)
    assert harness.losses(workdir) == harness.losses(straight_long[0])


def test_the_second_signal_ends_at_once_and_until_then_nobody_else_trains_there(tmp_path):
    """F4, F16: a run that hangs does not hear the first signal; a second run is refused, and the lock dies with it."""
    workdir = tmp_path / 'run'
    process = harness.start(workdir, fault='hang@step:3', **OPTIONS)
    process.wait_for(process.has_fired)
    code, _, errors = harness.start(workdir, **OPTIONS).finish()
    assert code == 5
    assert f'process {process.popen.pid} on ' in harness.one_error(errors)
    assert ', started 2' in errors[0]
    process.popen.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.popen.poll() is None
    begin = time.monotonic()
    process.popen.send_signal(signal.SIGTERM)
    code, _, errors = process.finish()
    assert (code, errors) == (-signal.SIGTERM, [])
    assert time.monotonic() - begin < 1
    lock = WorkdirLock(workdir)
    lock.acquire()
    lock.release()


def test_a_signal_to_the_whole_group_with_data_threads(tmp_path):
    """F6: the threads that read ahead end with the run; nothing is left of it, and no traceback."""
    workdir = tmp_path / 'run'
    process = harness.start(workdir, num_steps=100_000, save_every=10, evaluate_every=None, streamed=True)
    process.wait_for(lambda: 10 in harness.steps(workdir))
    os.killpg(process.popen.pid, signal.SIGTERM)
    code, output, errors = process.finish()
    assert (code, errors) == (143, [])
    assert harness.steps(workdir)[-1] == harness.saved_step(output)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.popen.pid, 0)
