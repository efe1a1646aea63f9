"""How the processes of a run are found, and what is said of a lost one. With real ones: tests/faults."""

import signal
import subprocess
import sys

import pytest

from cnn_jax.devices import cluster


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


@pytest.mark.parametrize(
    ('me', 'count', 'silent', 'stopped', 'words'),
    [
        (0, 3, '1\n', False, 'process 1 of the run was lost, or is stopped'),
        (2, 3, '1\n', False, 'process 1 of the run was lost, or is stopped'),
        (0, 4, '1\n2\n', False, 'process 1 and 2 of the run was lost, or is stopped'),
        (1, 3, '1\n', False, 'it did not run for a while'),  # it woke up, and was told
        (0, 3, '1\n2\n', False, 'it did not run for a while'),  # all others are silent to the one who slept
        (0, 2, '1\n', True, 'it did not run for a while'),
    ],
)
def test_the_silent_process_is_named_and_not_the_one_that_tells(monkeypatch, me, count, silent, stopped, words):
    """The runtime's own words; in a run of two its parent has to know who was stopped."""
    monkeypatch.setenv('JAX_PROCESS_ID', str(me))
    monkeypatch.setenv('JAX_NUM_PROCESSES', str(count))
    dump = (
        'F1127 client.h:80] Terminating process because the JAX distributed service detected fatal errors. '
        f'UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):\n{silent}The tasks have crashed.'
    )
    line = cluster.describe_abort(dump, stopped=stopped)
    assert line.startswith(f'cnn_jax: error: process {me} of {count} ended: {words}')


def test_a_runtime_that_crashes_is_a_lost_process(monkeypatch, capsys, signal_handlers):
    """When another process is killed the runtime may end with SIGSEGV, and not with its own words."""
    crash = f'import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})'
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, 'Popen', lambda command, **how: start([sys.executable, '-c', crash], **how))
    children = signal.getsignal(signal.SIGCHLD)
    assert cluster.watch([]) == 6
    signal.signal(signal.SIGCHLD, children)
    (line,) = capsys.readouterr().err.splitlines()
    assert 'was ended by SIGSEGV' in line
    assert 'another process was lost' in line
