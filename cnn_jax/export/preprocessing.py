"""What happens to a picture before the net sees it, as JSON: what the file does itself, and what comes before it."""

from typing import Any

import numpy as np

from cnn_jax.data.formats.encoded import Decoding
from cnn_jax.experiment import Experiment
from cnn_jax.steps.inputs import evaluation_inputs

PROBES = (0, 128, 255)  # pixel values; the middle one shows that a change is linear


def describe(experiment: Experiment) -> dict[str, Any]:
    """The preprocessing of an experiment; `before` is absent where the data has no picture files."""
    height, width, channels = experiment.data.image_shape
    described = {
        'input': {'height': height, 'width': width, 'channels': channels, 'dtype': 'uint8', 'layout': 'NHWC'},
        'inside_the_file': _inside(experiment),
    }
    if channels == 3:
        described['input']['order'] = 'RGB'
    before = _before(experiment)
    return {**described, 'before_the_file': before} if before else described


def _before(experiment: Experiment) -> dict[str, Any] | None:
    """How a picture file becomes an image."""
    decoding = getattr(experiment.data.decode, '__self__', None)
    if not isinstance(decoding, Decoding):
        return None
    return {
        'short_side': decoding.resize,
        'interpolation': 'bilinear, antialiased (Pillow)',
        'centre_crop': decoding.size,
        'turned_as_exif_says': decoding.upright,
    }


def _inside(experiment: Experiment) -> dict[str, Any]:
    """The mean and the deviation of each channel, of pixels from 0 to 1, as they are measured on flat images."""
    shapes = experiment.data.row_shapes()
    batch: Any = {name: np.zeros((len(PROBES), *shape), dtype) for name, (shape, dtype) in shapes.items()}
    batch['image'][:] = np.array(PROBES, np.uint8)[:, None, None, None]
    seen = np.asarray(evaluation_inputs(batch, preprocess=experiment.preprocess)['image'], np.float64)
    least, middle, most = seen
    flat = seen.shape == batch['image'].shape and np.ptp(seen, (1, 2)).max() < 1e-6
    if flat and np.abs(least + (most - least) * PROBES[1] / 255 - middle).max() < 1e-5 and (most != least).all():
        scale = (most - least)[0, 0]
        return {
            'kind': 'standardise',
            'formula': '(pixel / 255 - mean) / std',
            'mean': [round(float(value), 6) for value in -least[0, 0] / scale],
            'std': [round(float(value), 6) for value in 1 / scale],
        }
    return {'kind': 'own', 'formula': "the experiment's function `preprocess`, which is not linear in each pixel"}
