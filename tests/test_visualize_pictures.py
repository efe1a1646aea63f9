"""From raw maps to colours: channels, scales, and the states of a map that are said."""

from typing import Any

import numpy as np

from cnn_jax.visualize.engine import pictures


def test_channels_are_summed_but_copies_are_one_map():
    maps = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    np.testing.assert_array_equal(pictures.flat(maps), maps.sum(-1))
    copies = np.repeat(maps[..., :1], 3, axis=-1)  # an occlusion map keeps its unit, the drop of the score
    np.testing.assert_array_equal(pictures.flat(copies), maps[..., 0])
    assert [pictures.recorded(values)['channels'] for values in (maps, copies)] == ['summed', 'copies']


def test_zero_constant_and_broken_maps_are_named_on_a_scale_centred_on_zero():
    ones = np.ones((4, 4))
    states = [pictures.state(picture) for picture in (0 * ones, ones, np.nan * ones, np.eye(4))]
    assert [state[:9] for state in states] == ['zero ever', 'one numbe', 'not finit', '']
    maps = np.stack([0 * ones, -ones, np.eye(4)])[..., None]
    figure = pictures.draw(maps, np.zeros((3, 4, 4, 1)), ['a', 'b', 'c'], label='the gradient')
    written = [text.get_text() for text in figure.texts]
    assert [written.count(said) for said in states[:3]] == [1, 1, 0]
    shown: Any = figure.artists
    assert [image.get_clim() for image in shown[1:12:4]] == [(-1, 1)] * 3
    assert 'the gradient' in [text.get_text() for text in figure.texts]
