"""The spectra of a mean and of a difference."""

import numpy as np

from cnn_jax.visualize import filter_spectra


def test_a_mean_passes_frequency_0_and_a_difference_stops_it():
    kernel = np.zeros((2, 2, 1, 2), np.float32)
    kernel[..., 0, 0], kernel[0, :, 0, 1] = 0.25, (1, -1)
    found = filter_spectra.visualize(None, {'params': {'conv1': {'kernel': kernel}}}, size=8)
    np.testing.assert_allclose(found['spectra'][:, 4, 4], [1, 0], atol=1e-6)
    np.testing.assert_allclose(found['spectra'][1, :, 0], 2, rtol=1e-6)  # the highest frequency across
    assert found['layer'] == 'conv1'
