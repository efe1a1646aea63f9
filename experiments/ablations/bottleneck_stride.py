"""The stride of a bottleneck on its first 1x1 convolution (v1) or on its 3x3 (v1.5).

    python -m cnn_jax.main --mode=ablate --experiment=ablations/bottleneck_stride
    python -m cnn_jax.main --mode=ablate --experiment=ablations/bottleneck_stride --config.size=full

Published: NVIDIA, DeepLearningExamples, ResNet50 v1.5: about 0.5 points of top-1 accuracy more than v1, which is that
of He et al. 2015, arXiv:1512.03385; first in fb.resnet.torch (Gross and Wilber 2016). Desk size: two bottlenecks in
each of four stages, an eighth of the filters, digits of 16x16 pixels.
"""

from typing import Literal

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models.resnet import ResNet

from . import _sizes

ABLATION = Ablation(
    vary={'version': ('v1', 'v1.5')},
    claims=(
        Claim(
            cell={'version': 'v1.5'},
            against={'version': 'v1'},
            sign='better',
            published='top-1 accuracy about 0.5 points higher (NVIDIA)',
        ),
    ),
)


def experiment(
    *,
    version: Literal['v1', 'v1.5'] = 'v1.5',
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    first = version == 'v1'
    if size == 'full' and not smoke:
        model = ResNet(num_classes=_sizes.IMAGENET, depth=50, stride_on_first=first)
        return _sizes.on_imagenet(model, _sizes.RESNET, given)
    blocks = 1 if smoke else 2
    narrow = ResNet(
        num_classes=_sizes.DIGITS,
        depth=50,
        stage_sizes=(blocks,) * 4,
        stem='small',
        width=0.125,
        stride_on_first=first,
    )
    return _sizes.desk(narrow, _sizes.Recipe(4e-3, 8.0), given)
