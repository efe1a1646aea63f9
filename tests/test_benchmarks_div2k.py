"""Whole pictures of DIV2K: the numbers of a net that adds nothing are bicubic's, and the three have closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import div2k as benchmark
from cnn_jax.data import augment, div2k
from cnn_jax.data.formats.shrunk import read_whole
from cnn_jax.models.edsr import EDSR
from cnn_jax.prediction.net import Net
from cnn_jax.tasks import super_resolution


def test_rgb_and_y_have_their_own_borders():
    truth = np.full((40, 40, 3), 100, np.uint8)
    answer = truth + np.uint8(10)
    found = benchmark.measure(answer, truth, 2)
    assert found.rgb == pytest.approx(20 * np.log10(255 / 10))
    assert found.psnr == pytest.approx(20 * np.log10(255 / (10 * 219 / 255)))
    answer = truth.copy()
    answer[7] = 0  # within the border of RGB, not of Y
    found = benchmark.measure(answer, truth, 2)
    assert found.rgb == np.inf
    assert np.isfinite(found.psnr)


def test_a_net_that_adds_nothing_is_bicubic_on_whole_pictures(tmp_path):
    div2k.write_small(tmp_path / div2k.NAME)
    model = EDSR(scale=3, filters=4, blocks=1, residual=True)
    net = Net(
        model=model, variables=dict(model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)),
        task=super_resolution.task(), class_names=(), preprocess=augment.on_images(augment.to_unit_range),
        image_shape=(16, 16, 3), read_file=read_whole, source='a test',
    )  # fmt: skip
    rows = list(benchmark.measure_pictures(net, tmp_path / div2k.NAME))
    assert [name for name, _, _ in rows] == ['DIV2K_valid 0007', 'DIV2K_valid 0008']
    for _, own, other in rows:
        assert own == other
        assert 15 < own.psnr < 70
    assert len(list(benchmark.measure_pictures(net, tmp_path / div2k.NAME, first=1))) == 1
    assert f'RGB {rows[0][1].rgb:.2f} dB' in benchmark.in_words(*rows[0])
