"""What happens to a picture before the net sees it, as JSON: what the file does itself, and what comes before it."""

from typing import Any

from cnn_jax.data.formats.encoded import Decoding
from cnn_jax.data.pipeline import Data
from cnn_jax.experiment import Experiment
from cnn_jax.weights import prepared

OWN = "the experiment's function `preprocess`, which does more than standardise each channel"

_CENTRE = """import numpy as np
from PIL import {packages}
picture = {opened}.convert('RGB')
sides = [int({short} * length / min(picture.size)) for length in picture.size]
left, top = [round((length - {side}) / 2) for length in sides]
picture = picture.resize(sides, Image.Resampling.{filter}).crop((left, top, left + {side}, top + {side}))
images = np.asarray(picture)[None]  # uint8 (1, {side}, {side}, 3)"""
_FITTED = """import numpy as np
from PIL import Image, ImageOps
picture = ImageOps.exif_transpose(Image.open('picture.jpg')).convert('{mode}')
picture = ImageOps.fit(picture, {size}, Image.Resampling.BILINEAR)
images = np.asarray(picture).reshape{shape}  # uint8"""


def describe(experiment: Experiment) -> dict[str, Any]:
    """The preprocessing of an experiment."""
    height, width, channels = experiment.data.image_shape
    form = {'dtype': 'uint8', 'layout': 'NHWC', 'order': 'RGB' if channels == 3 else 'grey'}
    return {
        'input': {'height': height, 'width': width, 'channels': channels, **form},
        'before_the_file': _before(experiment.data),
        'inside_the_file': _inside(experiment),
    }


def from_a_file(data: Data) -> str:
    """Lines of Python, of Pillow and NumPy alone, that make `images` of one picture file; '' of a `decode` of its own.

    They are what evaluation does, but of pictures over four times as long as wide, and of transparent ones.
    """
    height, width, channels = data.image_shape
    how = getattr(data.decode, '__self__', None)
    if isinstance(how, Decoding):
        opened = "ImageOps.exif_transpose(Image.open('picture.jpg'))" if how.upright else "Image.open('picture.jpg')"
        return _CENTRE.format(
            packages='Image, ImageOps' if how.upright else 'Image', opened=opened, short=how.resize, side=how.size,
            filter=how.interpolation.upper(),
        )  # fmt: skip
    if data.decode is None:
        return _FITTED.format(
            mode='L' if channels == 1 else 'RGB', shape=(1, height, width, channels), size=(width, height)
        )
    return ''


def _before(data: Data) -> dict[str, Any]:
    """How a picture file becomes an image."""
    decoding = getattr(data.decode, '__self__', None)
    if isinstance(decoding, Decoding):
        return {
            'short_side': decoding.resize,
            'interpolation': f'{decoding.interpolation}, antialiased (Pillow)',
            'centre_crop': decoding.size,
            'turned_as_exif_says': decoding.upright,
        }
    if data.decode is None:
        return {
            'fitted': 'the short side is scaled to fit, the middle is cut out, what is transparent becomes white',
            'interpolation': 'bilinear, antialiased (Pillow)',
            'turned_as_exif_says': True,
        }
    return {'kind': 'own', 'formula': 'the function `decode` of the data'}


def _inside(experiment: Experiment) -> dict[str, Any]:
    """The mean and the deviation of each channel, of pixels from 0 to 1, in the order in which the net takes them."""
    found = prepared.of_experiment(experiment.data, experiment.preprocess)
    if found is None:
        return {'kind': 'own', 'formula': OWN}
    return {
        'kind': 'standardise',
        'formula': '(pixel / 255 - mean) / std',
        'order': found.channels,
        'mean': list(found.mean),
        'std': list(found.std),
    }
