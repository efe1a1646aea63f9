"""Dropout in AlexNet: none, after its two hidden layers (the paper), or before them (torchvision).

    python -m cnn_jax.main --mode=ablate --experiment=ablations/dropout
    python -m cnn_jax.main --mode=ablate --experiment=ablations/dropout --config.size=full

Published: Krizhevsky, Sutskever and Hinton 2012, section 4.2: "without dropout, our network exhibits substantial
overfitting". Nobody has published how the placement matters. Desk size: see `_sizes.alexnet`.
"""

from typing import Literal

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment

from . import _sizes

ABLATION = Ablation(
    vary={'dropout': ('none', 'after', 'before')},
    claims=(
        Claim(
            cell={'dropout': 'after'},
            against={'dropout': 'none'},
            sign='better',
            published='without it, substantial overfitting (2012, section 4.2)',
        ),
    ),
)


def experiment(
    *,
    dropout: Literal['none', 'after', 'before'] = 'after',  # where it is, seen from the hidden layers
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    rate = 0.0 if dropout == 'none' else 0.5
    return _sizes.alexnet(size, given, dropout_rate=rate, dropout_first=dropout == 'before')
