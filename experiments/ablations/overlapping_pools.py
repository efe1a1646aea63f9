"""The pools of AlexNet, 3x3 windows that overlap or 2x2 that do not, both at stride 2.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/overlapping_pools
    python -m cnn_jax.main --mode=ablate --experiment=ablations/overlapping_pools --config.size=full

Published: Krizhevsky, Sutskever and Hinton 2012, section 3.4: overlapping pools lower the top-1 error by 0.4 points and
the top-5 error by 0.3. Desk size: see `_sizes.alexnet`; the maps have the same sizes with both.
"""

import flax.linen as nn
import jax

from cnn_jax import ops
from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.layers import MaxPool
from cnn_jax.models.alexnet import AlexNet

from . import _sizes

ABLATION = Ablation(
    vary={'overlapping': (False, True)},
    claims=(
        Claim(
            cell={'overlapping': True},
            against={'overlapping': False},
            sign='better',
            published='top-1 error 0.4 points lower (2012, section 3.4)',
        ),
    ),
)


class SeparatePools(AlexNet):
    """AlexNet whose pools see 2x2 windows."""

    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        with nn.intercept_methods(_pool_apart):
            return super().__call__(images, train=train)


def _pool_apart(next_method, args, kwargs, context):
    if isinstance(context.module, MaxPool):
        return ops.max_pool(args[0], window=2, stride=2)
    return next_method(*args, **kwargs)


def experiment(
    *,
    overlapping: bool = True,
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    return _sizes.alexnet(size, given, model=AlexNet if overlapping else SeparatePools)
