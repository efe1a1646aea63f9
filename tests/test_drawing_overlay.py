"""Boxes and joints stand where they are, on images of any size."""

import numpy as np
import pytest

from cnn_jax.drawing.overlay import ANSWER, RIGHT, Overlay


@pytest.mark.parametrize('shape', [(48, 48, 1), (32, 64, 3), (300, 200, 3)])
def test_a_box_is_drawn_around_its_pixels(shape):
    overlay = Overlay(np.zeros(shape, np.uint8))
    overlay.boxes(np.array([[10, 5, 30, 25], [0, 0, 0, 0], [np.nan, 0, 9, 9]]), RIGHT)
    rows, columns = np.nonzero((overlay.pixels == RIGHT).all(-1))
    scale = overlay.scale
    assert overlay.pixels.shape == (shape[0] * scale, shape[1] * scale, 3)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (
        10 * scale,
        5 * scale,
        30 * scale,
        25 * scale,
    )


def test_joints_that_are_not_there_are_not_drawn():
    overlay = Overlay(np.zeros((48, 48, 1), np.uint8))
    places = np.array([[10.0, 10.0], [40.0, 10.0], [np.inf, 3.0]])
    overlay.joints(places, ANSWER, limbs=((0, 1), (1, 2)), seen=np.array([True, False, True]))
    rows, columns = np.nonzero((overlay.pixels == ANSWER).all(-1))
    assert abs(columns.mean() / overlay.scale - 10) < 0.5
    assert abs(rows.mean() / overlay.scale - 10) < 0.5
    overlay.joints(places, ANSWER, limbs=((0, 1), (1, 2)))
    assert np.nonzero((overlay.pixels == ANSWER).all(-1))[1].max() / overlay.scale > 39
