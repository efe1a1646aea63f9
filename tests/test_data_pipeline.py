"""Order and batches: pure functions of (seed, step), the same for both ways of feeding and any number of hosts."""

import subprocess
import sys
import time
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.data import order, pipeline, streaming
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, DataError


class Numbered:
    """Row i is an image filled with i, of label i % 10."""

    def __init__(self, num_rows: int, shape: tuple[int, ...] = (4, 3, 1), bad_row: int | None = None):
        self.num_rows, self.shape, self.bad_row = num_rows, shape, bad_row

    def __len__(self):
        return self.num_rows

    def __getitem__(self, row: int):
        shape = self.shape if row != self.bad_row else (2, 2, 1)
        return {'image': np.full(shape, row % 256, np.uint8), 'label': row % 10}


def make_data(**changes) -> Data:
    fields = {
        'name': 'numbered',
        'batch_size': 8,
        'splits': {'train': 100, 'test': 20},
        'class_names': ('a', 'b', 'c'),
        'image_shape': (4, 3, 1),
        'open': lambda split, data_dir: Numbered(100),
        'prepare': lambda data_dir, say: None,
    }
    return Data(**(fields | changes))


def assert_batches_equal(left, right):
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key], err_msg=key)
        assert left[key].dtype == right[key].dtype, key


def test_importing_is_light():
    code = "import sys, cnn_jax.data.pipeline; print({'jax', 'grain', 'tensorflow_datasets'} & set(sys.modules))"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout == 'set()\n'


# The description


def test_data_counts():
    data = make_data()
    assert (data.num_train, data.num_test, data.num_classes) == (100, 20, 3)
    assert pipeline.is_resident(data)
    assert not pipeline.is_resident(make_data(splits={'train': 1_281_167, 'test': 50_000}, image_shape=(224, 224, 3)))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'batch_size': 0}, 'batch_size: got 0; it must be a whole number, at least 1'),
        ({'batch_size': -1}, 'batch_size: got -1'),
        ({'batch_size': 2.5}, r'batch_size: got 2\.5'),
        ({'batch_size': True}, 'batch_size: got True'),
        ({'splits': {'train': 0, 'test': 1}}, 'num_train: got 0'),
        ({'splits': {'train': 1}}, 'num_test: got 0'),
        ({'class_names': ('a',)}, 'class_names: .* at least 2'),
        ({'class_names': ('a', 'a')}, 'class_names: .* different'),
        ({'image_shape': (4, 3)}, 'image_shape: .*height, width, channels'),
        ({'image_shape': (4, 0, 1)}, 'image_shape: '),
    ],
)
def test_data_refuses(changes, message):
    with pytest.raises(CnnJaxError, match=message) as caught:
        make_data(**changes)
    assert caught.value.exit_code == 2
    assert '\n' not in str(caught.value)


def test_size_note():
    assert pipeline.size_note(make_data(), 'train', Numbered(100)) is None
    assert pipeline.size_note(make_data(), 'train', Numbered(7)) == (
        'numbered: train has 7 images here, 100 in the published set'
    )


def test_default_data_dir(monkeypatch, tmp_path):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    assert pipeline.default_data_dir() == tmp_path
    monkeypatch.delenv('TFDS_DATA_DIR')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert pipeline.default_data_dir() == tmp_path / 'tensorflow_datasets'


# The order


@given(num_rows=st.integers(1, 300), seed=st.integers(0, 2**63 - 1), batch_size=st.integers(1, 700))
@settings(max_examples=50)
def test_every_epoch_is_a_permutation(num_rows, seed, batch_size):
    num_steps = -(-3 * num_rows // batch_size)
    batches = [order.rows(num_rows, seed, step, batch_size) for step in range(num_steps)]
    index, epoch = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert index.dtype == epoch.dtype == np.int32
    np.testing.assert_array_equal(epoch, np.arange(num_steps * batch_size) // num_rows)  # batches straddle epochs
    for number in range(3):
        np.testing.assert_array_equal(np.sort(index[epoch == number]), np.arange(num_rows))


def test_orders_differ_by_epoch_and_seed():
    keys = [(seed, epoch) for seed in range(6) for epoch in range(6)]
    orders = {tuple(order.permutation(50, seed, epoch)) for seed, epoch in keys}
    assert len(orders) == len(keys)


def test_order_is_uniform():
    # Chi-squared of where row 0 lands over 6,000 epochs of 6 rows: 5 degrees of freedom, 20.5 is the 0.1 % point.
    places = [int(np.flatnonzero(order.permutation(6, 1, epoch) == 0)[0]) for epoch in range(6000)]
    assert np.sum((np.bincount(places, minlength=6) - 1000) ** 2 / 1000) < 20.5


def test_golden_order():
    """A resumed run and a new release must give the rows that the old one gave."""
    assert order.permutation(1437, 0, 0)[:6].tolist() == [1051, 998, 162, 670, 664, 185]
    assert order.permutation(1437, 0, 1)[:6].tolist() == [338, 1112, 261, 724, 958, 333]
    assert order.permutation(1437, 7, 0)[:6].tolist() == [1069, 887, 535, 1192, 753, 631]
    assert order.permutation(60_000, 0, 0)[:6].tolist() == [47848, 34552, 24994, 32827, 31943, 24289]


def test_order_is_cheap():
    order.rows(1437, 0, 0, 64)
    start = time.process_time()
    for step in range(1000):  # 44 epochs
        order.rows(1437, 0, step, 64)
    assert time.process_time() - start < 0.3  # seconds: 0.3 ms a batch, thirty times what it takes


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((0, 0, 0, 1), 'num_rows: got 0'),
        ((10, -1, 0, 1), 'seed: got -1'),
        ((10, 2**63, 0, 1), 'seed: got'),
        ((10, 0, -1, 1), 'step: got -1'),
        ((10, 0, 0, 0), 'batch_size: got 0'),
    ],
)
def test_rows_refuses(arguments, message):
    with pytest.raises(CnnJaxError, match=message):
        order.rows(*arguments)


def test_cached_order_cannot_be_changed():
    with pytest.raises(ValueError, match='read-only'):
        order.permutation(10, 0, 0)[0] = 3


@pytest.mark.parametrize('batch_size', [1, 7, 64, 360, 1000])
@pytest.mark.parametrize('num_rows', [1, 63, 64, 360])
def test_evaluation_covers_every_row_once(num_rows, batch_size):
    batches = list(order.evaluation_rows(num_rows, batch_size))
    assert all(index.shape == mask.shape == (batch_size,) for index, mask in batches)
    index, mask = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(index[mask], np.arange(num_rows))
    np.testing.assert_array_equal(index[~mask], -1)
    assert len(index) - num_rows < batch_size


# Feeding


def test_load_arrays():
    arrays = pipeline.load_arrays(Numbered(2500))  # more than two runs of 1,024
    assert arrays['image'].shape == (2500, 4, 3, 1)
    assert arrays['image'].dtype == np.uint8
    np.testing.assert_array_equal(arrays['image'][:, 0, 0, 0], np.arange(2500) % 256)
    np.testing.assert_array_equal(arrays['label'], np.arange(2500) % 10)
    assert arrays['label'].dtype == np.int32


def test_load_arrays_refuses():
    with pytest.raises(DataError, match='no rows'):
        pipeline.load_arrays(Numbered(0))
    with pytest.raises(DataError, match=r'row 1500: image is uint8 \(2, 2, 1\); needed is uint8 \(4, 3, 1\)'):
        pipeline.load_arrays(Numbered(2000, bad_row=1500))


@pytest.mark.parametrize('num_threads', [1, 3])
def test_resident_and_stream_give_the_same_batches(num_threads):
    """F3: neither the way of feeding nor the number of threads changes a batch."""
    source = Numbered(50)
    arrays = pipeline.load_arrays(source)
    stream = streaming.stream(source, seed=5, batch_size=16, num_threads=num_threads, prefetch=3)
    for step, streamed in enumerate(islice(stream, 12)):  # nearly four epochs
        index, epoch = order.rows(50, 5, step, 16)
        assert_batches_equal(streamed, pipeline.gather(arrays, index, epoch=epoch))


def test_stream_starts_at_any_step():
    whole = list(islice(streaming.stream(Numbered(20), seed=1, batch_size=6), 9))
    for step in range(9):
        restarted = next(streaming.stream(Numbered(20), seed=1, batch_size=6, start_step=step))
        assert_batches_equal(restarted, whole[step])


@pytest.mark.parametrize('num_hosts', [2, 4])
def test_hosts_share_the_batches_of_one(num_hosts):
    def stream(shard):
        return streaming.stream(Numbered(30), seed=2, batch_size=8, shard=shard)

    def evaluation(shard):
        return streaming.stream_evaluation(Numbered(30), batch_size=8, shard=shard)

    for make in (stream, evaluation):
        alone = list(islice(make((0, 1)), 4))
        hosts = [list(islice(make((host, num_hosts)), 4)) for host in range(num_hosts)]
        for step, batch in enumerate(alone):
            parts = [batches[step] for batches in hosts]
            assert_batches_equal({key: np.concatenate([part[key] for part in parts]) for key in batch}, batch)


@pytest.mark.parametrize('batch_size', [1, 7, 64, 1000])
def test_stream_evaluation_counts_every_row_once(batch_size):
    batches = list(streaming.stream_evaluation(Numbered(90), batch_size=batch_size))
    merged = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    counted = merged['mask']
    np.testing.assert_array_equal(merged['index'][counted], np.arange(90))
    np.testing.assert_array_equal(merged['image'][counted][:, 0, 0, 0], np.arange(90))
    np.testing.assert_array_equal(merged['label'][counted], np.arange(90) % 10)
    for key, padding in {'image': 0, 'label': 0, 'index': -1}.items():
        np.testing.assert_array_equal(merged[key][~counted], padding)


def test_stream_refuses_before_it_starts():
    with pytest.raises(CnnJaxError, match='batch_size: got 6; it must be a multiple of the 4 processes'):
        streaming.stream(Numbered(30), seed=0, batch_size=6, shard=(0, 4))
    with pytest.raises(CnnJaxError, match='seed: got -3'):
        streaming.stream(Numbered(30), seed=-3, batch_size=6)


def test_error_of_a_row_reaches_the_loop():
    with pytest.raises(DataError, match='row 17'):
        list(streaming.stream_evaluation(Numbered(30, bad_row=17), batch_size=4))


def test_gather_masks_and_pads():
    arrays = pipeline.load_arrays(Numbered(5))
    ((index, mask),) = order.evaluation_rows(5, 8)
    batch = pipeline.gather(arrays, index, mask=mask)
    np.testing.assert_array_equal(batch['image'][:5, 0, 0, 0], np.arange(5))
    np.testing.assert_array_equal(batch['mask'], [True] * 5 + [False] * 3)
    assert batch['image'].shape == (8, 4, 3, 1)


@given(num_rows=st.integers(1, 40), batch_size=st.integers(1, 70), repeats=st.integers(1, 5))
@settings(max_examples=50)
def test_repeats_show_each_row_so_often_and_never_twice_alike(num_rows, batch_size, repeats):
    num_steps = -(-2 * num_rows * repeats // batch_size)
    batches = [order.rows(num_rows, 3, step, batch_size, repeats) for step in range(num_steps)]
    index, epoch = (np.concatenate(parts)[: 2 * num_rows * repeats] for parts in zip(*batches, strict=True))
    assert index.dtype == epoch.dtype == np.int32
    np.testing.assert_array_equal(np.bincount(index), 2 * repeats)
    assert len({*zip(index.tolist(), epoch.tolist(), strict=True)}) == len(index)
    plain, _ = order.rows(num_rows, 3, 0, 2 * num_rows)
    np.testing.assert_array_equal(index, np.repeat(plain, repeats))
