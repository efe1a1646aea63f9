"""What happens to a picture before the net sees it, as JSON: what the file does itself, and what comes before it."""

from typing import Any

from cnn_jax.data.formats.encoded import Decoding
from cnn_jax.data.pipeline import Data
from cnn_jax.experiment import Experiment
from cnn_jax.weights import prepared

OWN = "the experiment's function `preprocess`, which does more than standardise each channel"


def describe(experiment: Experiment) -> dict[str, Any]:
    """The preprocessing of an experiment."""
    height, width, channels = experiment.data.image_shape
    form = {'dtype': 'uint8', 'layout': 'NHWC', 'order': 'RGB' if channels == 3 else 'grey'}
    return {
        'input': {'height': height, 'width': width, 'channels': channels, **form},
        'before_the_file': _before(experiment.data),
        'inside_the_file': _inside(experiment),
    }


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
