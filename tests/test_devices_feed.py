"""Both feeds give the same batches, from any step on."""

import jax
import numpy as np
import pytest

from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import ResidentFeed, StreamedFeed, open_feed

TINY = 'tests/tiny_experiment.py'


def make(kind, num_devices=2):
    data = experiment.load(TINY, {}).experiment.data
    return kind(data, data_dir=None, seed=3, mesh=mapping.make_mesh(num_devices))


def test_small_sets_are_resident():
    assert type(make(open_feed)) is ResidentFeed


@pytest.mark.parametrize('first', [0, 4])
def test_streamed_and_resident_batches_are_equal(first):
    resident, streamed = make(ResidentFeed), make(StreamedFeed)
    for step in range(first, first + 5):
        one, other = jax.device_get((resident.train(step), streamed.train(step)))
        assert set(one) == {'image', 'label', 'mask', 'index', 'epoch'}
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_streamed_feed_can_go_back():
    streamed = make(StreamedFeed)
    first = jax.device_get(streamed.train(0))
    streamed.train(1)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(streamed.train(0)), first)


@pytest.mark.parametrize('kind', [ResidentFeed, StreamedFeed])
@pytest.mark.parametrize('batch_size', [1, 7, 100])
def test_evaluation_gives_every_image_once(kind, batch_size):
    feed = make(kind, num_devices=8)
    batches = jax.device_get(list(feed.all_of('test', batch_size)))
    assert all(len(batch['index']) % 8 == 0 for batch in batches)
    index = np.concatenate([batch['index'][batch['mask']] for batch in batches])
    np.testing.assert_array_equal(index, np.arange(23))
    images = np.concatenate([batch['image'][batch['mask']] for batch in batches])
    np.testing.assert_array_equal(images, feed.images('test', np.arange(23)))


class Unreadable:
    """A source of which row 4 cannot be read."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source)

    def __getitem__(self, row):
        return {**self.source[row], 'readable': row != 4}


@pytest.mark.parametrize('kind', [ResidentFeed, StreamedFeed])
def test_what_cannot_be_read_is_masked_in_evaluation(kind):
    feed = make(kind)
    feed._sources['test'] = Unreadable(feed.source('test'))
    (batch,) = jax.device_get(list(feed.all_of('test', 24)))
    np.testing.assert_array_equal(batch['mask'], [row not in (4, 23) for row in range(24)])
    assert batch['index'][4] == 4


def test_batches_need_no_implicit_transfer():
    feed = make(ResidentFeed)
    with jax.transfer_guard_host_to_device('disallow'):
        feed.train(0)
        next(feed.all_of('test', 8))
