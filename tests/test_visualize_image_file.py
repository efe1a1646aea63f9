"""Image files of a person's own: every kind comes out as the model takes it, or is one line that says why not."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import synthetic
from cnn_jax.data.formats import fitted
from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.engine import image_file

ROWS, COLUMNS = np.mgrid[:60, :90]
COLORS = np.stack([COLUMNS * 255 // 90, ROWS * 255 // 60, np.full_like(ROWS, 128)], -1).astype(np.uint8)


def read(path, shape):
    """For a set that comes as arrays."""
    return image_file.load(path, synthetic.load(batch_size=8, image_shape=shape))


def load(tmp_path, picture, name='image.png', shape=(20, 30, 3), **options):
    picture.save(tmp_path / name, **options)
    return read(tmp_path / name, shape).astype(int)


def test_colours_grey_and_cmyk_of_any_size(tmp_path):
    plain = load(tmp_path, Image.fromarray(COLORS))
    assert plain.shape == (20, 30, 3)
    np.testing.assert_allclose(plain, COLORS.reshape(20, 3, 30, 3, 3).mean((1, 3)), atol=4)  # except at the edges
    np.testing.assert_allclose(load(tmp_path, Image.fromarray(COLORS).convert('CMYK'), 'a.jpg'), plain, atol=12)
    np.testing.assert_array_equal(load(tmp_path, Image.fromarray(COLORS[..., 0])), plain[..., :1].repeat(3, -1))
    square = load(tmp_path, Image.fromarray(COLORS), shape=(20, 20, 3))
    np.testing.assert_allclose(square, plain[:, 5:25], atol=4)  # the middle
    grey = load(tmp_path, Image.fromarray(COLORS), shape=(20, 30, 1))
    np.testing.assert_allclose(grey[..., 0], plain @ [0.299, 0.587, 0.114], atol=1.5)
    assert load(tmp_path, Image.fromarray(COLORS[:1, :1])).shape == (20, 30, 3)


def test_transparency_is_white_and_16_bits_become_8(tmp_path):
    layered = np.dstack([0 * COLORS, np.where(COLUMNS < 45, 0, 255)]).astype(np.uint8)
    found = load(tmp_path, Image.fromarray(layered))
    assert (found[:, :13] == 255).all()
    assert (found[:, 17:] == 0).all()
    fine = load(tmp_path, Image.fromarray(COLORS[..., 0].astype(np.uint16) * 257), shape=(20, 30, 1))
    np.testing.assert_allclose(fine, load(tmp_path, Image.fromarray(COLORS[..., 0]), shape=(20, 30, 1)), atol=1)


def test_exif_turns_the_image(tmp_path):
    picture = Image.fromarray(COLORS)
    exif = picture.getexif()
    exif[274] = 3  # upside down
    turned = load(tmp_path, picture, 'a.png', exif=exif)
    np.testing.assert_allclose(turned, load(tmp_path, picture)[::-1, ::-1], atol=1)


@pytest.mark.parametrize(('content', 'said'), [(b'', 'no image'), (b'text', 'no image'), (None, 'not there')])
def test_what_is_no_image_is_one_line(tmp_path, content, said):
    file = tmp_path / 'image.jpg'
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CnnJaxError, match=said) as raised:
        read(file, (8, 8, 3))
    assert str(file) in str(raised.value)
    assert '\n' not in str(raised.value)


def test_damaged_and_huge_files(tmp_path, monkeypatch):
    Image.fromarray(COLORS).save(tmp_path / 'a.jpg')
    whole = (tmp_path / 'a.jpg').read_bytes()
    (tmp_path / 'cut.jpg').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CnnJaxError, match='runcated'):
        read(tmp_path / 'cut.jpg', (8, 8, 3))
    monkeypatch.setattr(fitted, 'MAX_PIXELS', 1000)
    with pytest.raises(CnnJaxError, match='90 x 60 = 5,400 pixels, at most 1,000'):
        read(tmp_path / 'a.jpg', (8, 8, 3))
