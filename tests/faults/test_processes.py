"""Several real processes are one run: the same numbers, one set of files, one end, and a lost one is named."""

import signal
import socket
import time
from typing import Any

import harness
import jax
import numpy as np
import pytest

from cnn_jax.devices import cluster

# A process that was told to stop takes a second for each step from then on (see broken): long enough for the other.
OPTIONS: dict[str, Any] = {'num_steps': 60, 'save_every': 20, 'evaluate_every': 20}
HEARTBEAT = 'cnn_jax.devices.processes.HEARTBEAT_SECONDS=4'
WATCHDOG = f'{HEARTBEAT},cnn_jax.training.watchdog.LEAST_SECONDS=4'


def finish(processes):
    """Exit codes, and the lines of stdout and stderr of each process."""
    codes, output, errors = zip(*(process.finish() for process in processes), strict=True)
    return list(codes), output, errors


def losses(workdir):
    lines = harness.losses(workdir)
    return [line[:2] for line in lines], np.array([line[2] for line in lines])


@pytest.fixture(scope='module')
def straight_two(tmp_path_factory):
    """An uninterrupted run of two processes."""
    workdir = tmp_path_factory.mktemp('two') / 'run'
    codes, output, errors = finish(harness.start_together(2, workdir, **OPTIONS))
    assert codes == [0, 0], errors
    return workdir, output


def test_two_processes_train_as_one_and_write_once(tmp_path, straight_two, monkeypatch):
    """F17: two processes with a device each, one process with two: each line once, an uneven last shard included."""
    workdir, output = straight_two
    make_mesh = harness.mapping.make_mesh
    monkeypatch.setattr(harness.mapping, 'make_mesh', lambda count=None: make_mesh(count or 2))
    harness.train(tmp_path / 'one', **OPTIONS)
    steps, values = losses(workdir)
    expected_steps, expected = losses(tmp_path / 'one')
    assert steps == expected_steps
    np.testing.assert_allclose(values[:12], expected[:12], rtol=2e-5)  # the rounding grows from there on
    assert any('2 CPU devices in 2 processes' in line for line in output[0])
    assert not any('test accuracy' in line for line in output[1]), 'one process talks'
    assert (workdir / 'report' / 'index.html').exists()


def test_signals_and_losses_in_turn(tmp_path, straight_two):
    """F5, F18: one is told to stop, either is killed, one is stuck; in the end, the run that nothing touched."""
    workdir = tmp_path / 'run'
    processes = harness.start_together(2, workdir, victim=1, fault='term@step:3', **OPTIONS)
    codes, output, errors = finish(processes)
    assert codes == [143, 143], errors
    assert processes[1].has_fired()
    assert harness.steps(workdir)[-1] == harness.saved_step(output[0]) > 0
    for victim, fault, settings, words in [
        (0, 'kill@step:2', HEARTBEAT, 'process 0'),
        (1, 'kill@step:2', HEARTBEAT, 'process 1'),
        (1, 'stop@step:2', HEARTBEAT, 'process 1 of the run was lost, or is stopped'),
        (1, 'hang@step:2', WATCHDOG, 'no training step has ended'),
    ]:
        processes = harness.start_together(2, workdir, victim=victim, fault=fault, settings=settings, **OPTIONS)
        code, _, errors = processes[1 - victim].finish()
        processes[victim].wake()
        errors += processes[victim].finish()[2]
        assert processes[victim].has_fired()
        assert code == cluster.PEER_LOST, (fault, errors)
        said = [line for line in errors if line.startswith('cnn_jax: error: ')]
        assert any(words in line for line in said), (fault, said)
        assert len(said) <= 2
    codes, output, errors = finish(harness.start_together(2, workdir, **OPTIONS))
    assert codes == [0, 0], errors
    assert losses(workdir)[0] == losses(straight_two[0])[0]
    np.testing.assert_array_equal(losses(workdir)[1], losses(straight_two[0])[1])


def test_one_that_waits_for_the_others_hears_a_signal(tmp_path):
    """F5: it hangs in the runtime for minutes otherwise, in which no handler of Python's runs."""
    port = harness.free_port()
    process = harness.start_one_of(2, tmp_path / 'run', 0, port, **OPTIONS)

    def waits():
        with socket.socket() as probe:
            return probe.connect_ex(('localhost', port)) == 0

    process.wait_for(waits)
    begin = time.monotonic()
    process.popen.send_signal(signal.SIGTERM)
    code, _, errors = process.finish()
    assert (code, errors) == (143, [])
    assert time.monotonic() - begin < 10


def test_one_four_one(tmp_path, straight):
    """F17: one process, then four, then one again: the same data order, the same end but for rounding."""
    workdir = tmp_path / 'run'
    first = harness.start(workdir, fault='term@step:3')
    assert first.finish()[0] == 143
    codes, output, errors = finish(harness.start_together(4, workdir, victim=2, fault='term@step:4'))
    assert codes == [143] * 4, errors
    assert any('4 CPU devices in 4 processes' in line for line in output[0])
    assert harness.steps(workdir)[-1] > 4
    last = harness.train(workdir)
    assert losses(workdir)[0] == losses(straight[0])[0]
    np.testing.assert_allclose(losses(workdir)[1], losses(straight[0])[1], rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), last.state.params, straight[1].state.params)


def test_processes_with_other_options_are_told_so(tmp_path):
    """F14: processes of one run that were started differently."""
    port = harness.free_port()
    processes = [
        harness.start_one_of(2, tmp_path / 'run', index, port, f'--seed={seed}') for index, seed in ((0, 1), (1, 2))
    ]
    codes, _, errors = finish(processes)
    assert codes == [2, 2], errors
    assert 'processes [1] were started with other options than process 0' in errors[0][-1]
