"""A data source that breaks while a run reads it."""

import dataclasses

import harness
import pytest
from tiny_experiment import Rows

from cnn_jax import experiment
from cnn_jax.devices.stop import StopRequest
from cnn_jax.errors import DataError
from cnn_jax.training import train as training
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.log import Log


class Broken(Rows):
    """Row 17 cannot be read."""

    def __getitem__(self, row):
        if row == 17:
            raise OSError(5, 'Input/output error', 'images.array_record')
        return super().__getitem__(row)


@pytest.mark.parametrize('streamed', [False, True])
def test_a_source_that_fails_is_exit_3(tmp_path, streamed):
    """F19: an error in a thread that reads ahead ends the run; the line says which step and what was wrong."""
    made = experiment.load(harness.TINY, {'streamed': streamed, 'evaluate_every': None}).experiment
    data = dataclasses.replace(made.data, open=lambda split, folder: Broken(50, 0))
    with pytest.raises(
        DataError, match=r'the batch of step \d+ cannot be read: OSError: .*images\.array_record'
    ) as caught:
        training.train(
            Setup(dataclasses.replace(made, data=data), data_dir=tmp_path),
            workdir=tmp_path,
            seed=0,
            log=Log(None),
            stop=StopRequest(),
        )
    assert caught.value.exit_code == 3
