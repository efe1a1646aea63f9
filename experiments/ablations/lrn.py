"""Local response normalisation in AlexNet, off and on.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/lrn
    python -m cnn_jax.main --mode=ablate --experiment=ablations/lrn --config.size=full

Published: Krizhevsky, Sutskever and Hinton 2012, section 3.3: it lowers the top-1 error by 1.4 points and the top-5
error by 1.2. Full size: ImageNet, one network. Desk size: see `_sizes.alexnet`.
"""

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment

from . import _sizes

ABLATION = Ablation(
    vary={'local_response_norm': (False, True)},
    claims=(
        Claim(
            cell={'local_response_norm': True},
            against={'local_response_norm': False},
            sign='better',
            published='top-1 error 1.4 points lower (2012, section 3.3)',
        ),
    ),
)


def experiment(
    *,
    local_response_norm: bool = True,
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    return _sizes.alexnet(size, given, norm='before_pool' if local_response_norm else 'none')
