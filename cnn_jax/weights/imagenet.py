"""What nets with ImageNet's weights take and say: an image file as their input, and the words for their classes."""

from pathlib import Path

import numpy as np

from cnn_jax.data.formats import image_header
from cnn_jax.data.formats.imagenet_words import class_names, in_words, words
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.errors import CnnJaxError
from cnn_jax.weights.preprocessing import Preprocessing

__all__ = ['MEAN', 'STD', 'class_names', 'in_words', 'read_image', 'words']


def read_image(
    file: str | Path, *, image_size: int = 224, resize: int = 256, preprocessing: Preprocessing | None = None
) -> np.ndarray:
    """An image file as a batch of one, float32 (1, image_size, image_size, 3), standardised, as evaluation sees it.

    The short side becomes `resize` pixels, bilinear with antialias, and the centre is taken (torchvision's first
    weights; its second ones have `resize=232`). As there, EXIF does not turn the image and transparency is dropped.

    Args:
        preprocessing: of the weights, `known_preprocessing('timm/resnet50.a1_in1k')`, in the place of the other two.

    Raises:
        CnnJaxError: no such file, no image, or a damaged one.
    """
    path = Path(file).expanduser()
    how = preprocessing or Preprocessing(image_size, resize)
    try:
        pixels = how.decode(image_header.read(path))
    except OSError as error:
        raise CnnJaxError(f'cannot read {path}: {error.strerror}; give an image file') from error
    except image_header.BadImage as error:
        raise CnnJaxError(f'{path}: {error}; give a JPEG or PNG file') from error
    return how.standardise(pixels[None])  # (1, image_size, image_size, 3)
