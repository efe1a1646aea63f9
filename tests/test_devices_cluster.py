"""How the processes of a run are found, and what is said of a lost one. With real ones: tests/faults."""

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
