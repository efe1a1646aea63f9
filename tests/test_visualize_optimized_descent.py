"""A descent goes on where it stopped: with Adam to the bit, with L-BFGS from the image that it had come to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.visualize.optimized import kept
from cnn_jax.visualize.optimized.descent import descend

WANTED = np.random.default_rng(0).uniform(0.2, 0.8, (1, 5, 6, 3)).astype(np.float32)
START = np.full_like(WANTED, 0.5)
STEPS, STOP = 30, 12


@jax.jit
@jax.value_and_grad
def _curved(image):
    """A narrow valley, so that 30 steps do not come to its end."""
    missed = (image - WANTED).ravel()
    return jnp.sum(jnp.square(missed) * 10 ** jnp.linspace(0, 3, missed.size)) + jnp.square(missed.sum())


def _loss(image):
    value, gradient = _curved(image)
    return (value, {'whole': value}), gradient


def _run(optimizer, **more):
    return descend(_loss, START, optimizer=optimizer, steps=STEPS, known_by=lambda: ('a valley',), **more)


@pytest.fixture(params=['adam', 'lbfgs'])
def stopped(request, tmp_path, monkeypatch):
    """The name of the optimizer, after a descent of it was stopped."""
    monkeypatch.setattr(kept, 'SAVE_EVERY_SECONDS', 0.0)

    def stop(done, loss):
        if done == STOP:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), kept.keeping(tmp_path, 'picture'):
        _run(request.param, told=stop)
    assert (tmp_path / 'picture_preview.png').exists()
    monkeypatch.setattr(kept, 'SAVE_EVERY_SECONDS', 1e9)
    return request.param


def test_it_goes_on_where_it_stopped(stopped, tmp_path):
    heard, whole = [], _run(stopped)
    with kept.keeping(tmp_path, 'picture'):
        again = _run(stopped, told=lambda done, loss: heard.append(done))
    assert heard == list(range(STOP, STEPS + 1))
    losses = again.history['loss']
    assert losses.shape == whole.history['loss'].shape == (STEPS + 1,)
    np.testing.assert_array_equal(losses[:STOP], whole.history['loss'][:STOP])
    if stopped == 'adam':
        np.testing.assert_array_equal(again.image, whole.image)
        np.testing.assert_array_equal(losses, whole.history['loss'])
    else:
        assert (np.diff(losses) <= 0).all()
        assert losses[-1] < losses[STOP] / 2
    assert list(tmp_path.iterdir()) == []


def test_another_descent_begins_anew(stopped, tmp_path):
    heard = []
    with kept.keeping(tmp_path, 'picture'):
        descend(
            _loss, START, optimizer=stopped, steps=3, known_by=lambda: ('another',),
            told=lambda done, loss: heard.append(done),
        )  # fmt: skip
    assert heard == [0, 1, 2, 3]


def test_one_that_is_done_is_not_done_again(tmp_path, monkeypatch):
    """Of two for one picture, the first is done when the second is stopped."""
    monkeypatch.setattr(kept, 'SAVE_EVERY_SECONDS', 0.0)
    first, heard = [], []

    def stop_after_the_first():
        with kept.keeping(tmp_path, 'picture'):
            first.append(_run('lbfgs'))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_the_first()
    with kept.keeping(tmp_path, 'picture'):
        again = _run('lbfgs', told=lambda done, loss: heard.append(done))
    assert heard == []
    np.testing.assert_array_equal(again.image, first[0].image)
