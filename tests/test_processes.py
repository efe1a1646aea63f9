"""Several real processes are one run: the same numbers, one set of files, one end."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import cluster
from cnn_jax.log import read_metrics

ROOT = Path(__file__).parent.parent
TINY = str(ROOT / 'tests' / 'tiny_experiment.py')


def free_port():
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        return probe.getsockname()[1]


def start(workdir, *options, processes=2, devices=1, port=None):
    """The processes of one run, `devices` each; they begin to train at about the same time."""
    port = port or free_port()
    command = [sys.executable, '-m', 'cnn_jax.main', f'--experiment={TINY}', f'--workdir={workdir}', *options]
    started = []
    for index in range(processes):
        several = dict(zip(cluster.LAUNCHER, (f'localhost:{port}', str(processes), str(index)), strict=True))
        environment = {
            **os.environ,
            **(several if processes > 1 else {}),
            'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
        }
        started.append(
            subprocess.Popen(
                command + (['--distributed'] if processes > 1 else []),
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def finish(started):
    """Exit codes, and the lines of stdout and stderr of each process."""
    ended = [process.communicate(timeout=150) for process in started]
    lines = [(output.splitlines(), errors.splitlines()) for output, errors in ended]
    return [process.returncode for process in started], lines


def wait_for(path, started):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert all(process.poll() is None for process in started), finish(started)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def losses(workdir):
    lines = read_metrics(workdir)
    return [(line['step'], line['split']) for line in lines], np.array([line['loss'] for line in lines])


def test_two_processes_train_as_one_and_write_once(tmp_path):
    assert finish(start(tmp_path / 'one', processes=1, devices=2))[0] == [0]
    codes, lines = finish(start(tmp_path / 'two', processes=2, devices=1))
    assert codes == [0, 0], lines
    steps, values = losses(tmp_path / 'two')
    expected_steps, expected = losses(tmp_path / 'one')
    assert steps == expected_steps, 'each line once, evaluation with an uneven last shard included'
    np.testing.assert_allclose(values, expected, rtol=2e-5)
    assert any('2 CPU devices in 2 processes' in line for line in lines[0][0])
    assert not any('test accuracy' in line for line in lines[1][0]), 'one process talks'
    assert (tmp_path / 'two' / 'report' / 'index.html').exists()


def test_a_signal_to_one_of_two_stops_both_at_the_same_step_and_they_resume(tmp_path):
    options = ['--config.num_steps=4000', '--config.save_every=20', '--config.evaluate_every=None']
    started = start(tmp_path / 'run', *options)
    wait_for(tmp_path / 'run' / 'checkpoints' / '20', started)
    started[1].send_signal(signal.SIGTERM)
    codes, lines = finish(started)
    assert codes == [143, 143], lines
    last = lines[0][0][-1]
    step = int(last.removeprefix('saved at step ').partition(';')[0])
    assert max(int(path.name) for path in (tmp_path / 'run' / 'checkpoints').iterdir()) == step

    started = start(tmp_path / 'run', *options)
    wait_for(tmp_path / 'run' / 'checkpoints' / str(step - step % 20 + 20), started)
    started[0].kill()
    codes, lines = finish(started)
    assert codes[1] == cluster.PEER_LOST
    errors = [line for line in lines[1][1] if line.startswith('cnn_jax: error:')]
    assert len(errors) == 1, lines[1]
    assert 'process 0' in errors[0]


def test_processes_with_other_options_are_told_so(tmp_path):
    port = free_port()
    started = start(tmp_path / 'run', '--seed=1', port=port)
    started[1].kill()
    started[1].communicate()
    other = start(tmp_path / 'run', '--seed=2', port=port)
    other[0].kill()
    other[0].communicate()
    codes, lines = finish([started[0], other[1]])
    assert codes == [2, 2], lines
    assert 'processes [1] were started with other options than process 0' in lines[0][1][-1]


@pytest.mark.parametrize(
    ('environment', 'several'),
    [
        ({}, False),
        ({'SLURM_NTASKS': '4'}, False),
        ({'SLURM_NTASKS': '4', 'SLURM_STEP_ID': '0'}, True),
        ({'SLURM_NTASKS': '1', 'SLURM_STEP_ID': '0'}, False),
        ({'OMPI_COMM_WORLD_SIZE': '2'}, True),
        ({'TPU_WORKER_HOSTNAMES': 'localhost'}, False),
        ({'TPU_WORKER_HOSTNAMES': 'a,b'}, True),
        ({'JOB_COMPLETION_INDEX': '0', 'JOBSET_NAME': 'run'}, True),
    ],
)
def test_clusters_are_recognised(environment, several):
    assert cluster.in_cluster(environment) is several


def test_an_abort_is_one_line_that_names_the_lost_process():
    dump = 'F1122 client.h: Terminating: /job:jax_worker/replica:0/task:3 unhealthy, heartbeat timeout'
    assert 'process 3 of the run was lost' in cluster.describe_abort(dump)
    assert 'another process of the run was lost' in cluster.describe_abort('')
