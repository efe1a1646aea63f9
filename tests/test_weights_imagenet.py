"""Images and words of ImageNet for people who load its weights: as the data source and the evaluation have them."""

import numpy as np
import pytest
from small_imagenet import cut

from cnn_jax.data import imagenet as source
from cnn_jax.data.formats import imagenet_words
from cnn_jax.errors import CnnJaxError
from cnn_jax.weights import imagenet


def test_the_words_stand_in_the_order_of_the_classes():
    lines = [line.split('\t')[0] for line in imagenet_words.CLASSES.read_text().splitlines() if line[0] != '#']
    assert tuple(lines) == source.class_names()
    names = imagenet.class_names()
    assert len(names) == 1000
    # As everyone's weights have them.
    for number, word in (
        (0, 'tench'),
        (1, 'goldfish'),
        (207, 'golden retriever'),
        (281, 'tabby'),
        (999, 'toilet tissue'),
    ):
        assert names[number].startswith(word)


def test_an_image_is_what_evaluation_sees(tmp_path):
    """Its pixels at the size at which nothing is resized: the centre, standardised."""
    picture = cut(0, 80, 64)
    picture.save(tmp_path / 'a.png')
    seen = imagenet.read_image(tmp_path / 'a.png', image_size=48, resize=64)
    assert seen.shape == (1, 48, 48, 3)
    assert seen.dtype == np.float32
    centre = np.asarray(picture)[8:56, 16:64]
    expected = (centre / 255 - [[imagenet.MEAN]]) / [[imagenet.STD]]
    np.testing.assert_allclose(seen[0], expected, rtol=1e-5, atol=1e-6)


def test_mistakes_say_what_to_do(tmp_path):
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(CnnJaxError, match=r'cannot read .*nowhere.png: No such file or directory; give an image file'):
        imagenet.read_image(tmp_path / 'nowhere.png')
    with pytest.raises(CnnJaxError, match=r'text.png: no image.*; give a JPEG or PNG file'):
        imagenet.read_image(tmp_path / 'text.png')
    with pytest.raises(CnnJaxError, match='image_size: got 300 with resize 256'):
        imagenet.read_image(tmp_path / 'text.png', image_size=300)
