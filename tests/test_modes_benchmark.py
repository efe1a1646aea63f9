"""The benchmark: counts that are known, memory by the compiler, and no run that does not fit."""

import json

import jax
import pytest

from cnn_jax import experiment
from cnn_jax.training import benchmark
from cnn_jax.training.benchmark import Memory, Row
from cnn_jax.workdir.log import Log

TINY = 'tests/tiny_experiment.py'


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(benchmark, 'SECONDS', 0.05)
    monkeypatch.setattr(benchmark, 'matrix_product_rate', lambda: 1e9)
    monkeypatch.setattr(benchmark, 'device_counts', lambda batch_size: [1, 2])


def run(folder):
    loaded = experiment.load(TINY, {})
    benchmark.benchmark(loaded, seed=0, data_dir=folder, parallel='mapped', workdir=folder, log=Log(None))
    return json.loads((folder / 'benchmark.json').read_text())


def test_what_is_measured(tmp_path, quick, capsys):
    found = run(tmp_path)
    assert found['macs'] == 8 * 8 * 9 * 4 + 8 * 8 * 4 * 10  # conv1, fc
    state = jax.eval_shape(lambda: experiment.load(TINY, {}).experiment.init_state(0))
    own = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    for row in found['rows']:
        assert row['memory']['state'] == pytest.approx(own, rel=0.02)  # the key counts twice: two words
        assert row['memory']['peak'] > own
        assert row['images_per_second'] == pytest.approx(16 / row['step_seconds'])
        flops = 6 * found['macs'] * row['images_per_second'] / row['devices']
        assert row['utilisation'] == pytest.approx(flops / 1e9)
        assert 0 <= row['data_wait'] < 1
        assert row['compile_seconds'] > 0.05, 'not from the cache'
    first, second = found['rows']
    assert first['efficiency'] == 1
    assert second['efficiency'] == pytest.approx(second['images_per_second'] / first['images_per_second'] / 2)
    said = capsys.readouterr().out
    assert 'data wait' in said
    assert 'the devices of a CPU share its cores' in said


def test_a_run_that_cannot_fit_is_not_started(tmp_path, quick, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, '_available', lambda devices: 1000)
    monkeypatch.setattr(benchmark, '_time', None)
    found = run(tmp_path)
    assert [row['step_seconds'] for row in found['rows']] == [None, None]
    said = capsys.readouterr().out
    assert 'warning: on 1 device a step needs 0.' in said
    assert 'so it is not run; give more devices, a smaller batch_size' in said


def test_device_counts_divide_the_batch():
    assert benchmark.device_counts(16) == [1, 2, 4, 8]
    assert benchmark.device_counts(12) == [1, 2, 4]
    assert benchmark.device_counts(5) == [1]


def test_matrix_products_are_timed():
    assert 1e6 < benchmark.matrix_product_rate(64, rounds=2) < 1e15


def test_the_table_has_a_dash_for_what_was_not_measured():
    lines = benchmark.table([Row(1, 2.0, Memory(2**20, 0, 2**20, None)), Row(2, 1.0, None, 0.5, 0.1, 32.0, 0.5, 0.25)])
    assert lines[1].split() == ['1', '2.0', 's', '-', '-', '-', '1.0', 'MiB', '1.0', 'MiB', '2.0', 'MiB', '-', '-']
    assert lines[2].split() == ['2', '1.0', 's', '500.00', 'ms', '32', '10.0%', '-', '-', '-', '25.0%', '50%']
    assert len({len(line) for line in lines}) == 1
