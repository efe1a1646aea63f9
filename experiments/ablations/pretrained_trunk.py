"""Few boxes: a detector whose trunk starts from random weights, or from a net that classifies.

    python -m cnn_jax.main --experiment=scenes_localize --config.box_weight=0 --workdir=runs/scenes_classify
    python -m cnn_jax.main --mode=ablate --experiment=ablations/pretrained_trunk

Published: He, Girshick and Dollar 2018, arXiv:1811.08883, section 5.2: with 1,000 images of COCO, training from random
weights breaks down, and ends far below what starts from ImageNet; with more images the difference goes. Desk size: 100
scenes with boxes, each seen 60 times; the classifier, the first command, has seen the classes of 10,000 scenes, and no
box. With 500 scenes, each seen 40 times, nothing is left of the difference: -0.1 points of AP, -0.8 to +0.5 (five
seeds). There is no full size yet: COCO is no data set here.
"""

import dataclasses

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment

from .. import scenes_detect

SCRATCH, CLASSIFIER = 'scratch', 'runs/scenes_classify'

ABLATION = Ablation(
    vary={'trunk': (SCRATCH, CLASSIFIER)},
    claims=(
        Claim(
            cell={'trunk': CLASSIFIER},
            against={'trunk': SCRATCH},
            sign='better',
            published='with 1,000 images of COCO far better (section 5.2)',
        ),
    ),
    metric='ap',
    seeds=5,
)


def experiment(
    *,
    trunk: str = SCRATCH,  # or a run or file that the trunk starts from
    num_train: int = 100,  # scenes with boxes
    batch_size: int = 32,
    epochs: float = 60.0,
    learning_rate: float = 3e-3,  # at its peak
    smoke: bool = False,
) -> Experiment:
    made = scenes_detect.experiment(
        batch_size=batch_size, epochs=epochs, learning_rate=learning_rate, num_train=num_train, validation=0.0,
        smoke=smoke,
    )  # fmt: skip
    start = None if trunk == SCRATCH or smoke else trunk
    return dataclasses.replace(made, init_from=start, evaluate_every=None, save_every=None, keep=1)
