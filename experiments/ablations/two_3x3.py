"""Two 3x3 convolutions against one 5x5 with the same field of view.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/two_3x3
    python -m cnn_jax.main --mode=ablate --experiment=ablations/two_3x3 --config.size=full

Published: Simonyan and Zisserman 2014, arXiv:1409.1556, section 4.1: B with each pair of 3x3 convolutions replaced by
one 5x5 has a top-1 error 7 points higher, on the centre crop. Desk size: both with BatchNorm, narrow.
"""

import flax.linen as nn
import jax

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.layers import Dense, Dropout, MaxPool, conv_stage

from . import _sizes

ABLATION = Ablation(
    vary={'two_3x3': (False, True)},
    claims=(
        Claim(
            cell={'two_3x3': True},
            against={'two_3x3': False},
            sign='better',
            published='top-1 error 7 points lower (section 4.1)',
        ),
    ),
)


class ConfigurationB(nn.Module):
    """VGG's configuration B, or its shallow twin with one 5x5 convolution for each pair of 3x3.

    Takes standardised images (batch, height, width, channels), returns logits (batch, num_classes).
    """

    two_3x3: bool
    num_classes: int
    width: float = 1.0
    batch_norm: str | None = None
    dropout_rate: float = 0.5

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x, start = images, nn.initializers.glorot_uniform()
        options = {'batch_norm': self.batch_norm, 'train': train, 'activation': nn.relu, 'kernel_initializer': start}
        for stage, filters in enumerate((64, 128, 256, 512, 512), 1):
            for layer in (1, 2) if self.two_3x3 else (1,):
                size = 3 if self.two_3x3 else 5
                convolve = conv_stage(
                    round(filters * self.width), size, padding=size // 2, name=f'conv{stage}_{layer}', **options
                )
                x = convolve(x)
            x = MaxPool(2, name=f'pool{stage}')(x)  # 112x112x64, 56x56x128, 28x28x256, 14x14x512, 7x7x512
        x = x.reshape(x.shape[0], -1)  # 25,088
        for name in ('fc6', 'fc7'):
            x = Dense(round(4096 * self.width), activation=nn.relu, kernel_initializer=start, name=name)(x)  # 4,096
            x = Dropout(self.dropout_rate)(x, train=train)
        return Dense(self.num_classes, kernel_initializer=start, name='fc8')(x)  # num_classes


def experiment(
    *,
    two_3x3: bool = True,
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    if size == 'full' and not smoke:
        return _sizes.on_imagenet(ConfigurationB(two_3x3, _sizes.IMAGENET), _sizes.VGG, given)
    narrow = ConfigurationB(two_3x3, _sizes.DIGITS, width=0.0625, batch_norm='global', dropout_rate=0.0)
    return _sizes.desk(narrow, _sizes.Recipe(2e-3, 8.0), given, pixels=32)
