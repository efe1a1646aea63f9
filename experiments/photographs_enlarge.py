"""An image twice as large: blocks of two photographs, made small.

    python -m cnn_jax.main --experiment=photographs_enlarge
    python -m cnn_jax.main --experiment=photographs_enlarge --config.net=srcnn --config.scale=3

Expect TODO.

Model: EDSR (Lim et al. 2017, arXiv:1707.02921) with few blocks, which adds to the bicubic enlargement; or SRCNN (Dong
et al. 2014, arXiv:1501.00092). The data and the splits are those of `data/photograph_blocks.py`.
"""

from typing import Literal

import optax

from cnn_jax.data import augment, augment_pairs, photograph_blocks
from cnn_jax.experiment import Experiment
from cnn_jax.models.edsr import EDSR
from cnn_jax.models.srcnn import SRCNN
from cnn_jax.tasks import super_resolution


def experiment(
    *,
    net: Literal['edsr', 'srcnn'] = 'edsr',
    scale: int = 2,  # 2, 3 or 4
    blocks: int = 4,  # of EDSR; 16 in the paper
    filters: int = 32,  # of EDSR; 64 in the paper
    residual: bool = True,  # whether the net adds to the bicubic enlargement
    loss: Literal['l1', 'mse'] = 'l1',
    batch_size: int = 16,
    num_steps: int = 1_200,
    learning_rate: float = 1e-3,  # at the end of the warm-up
    crop: int = 24,  # pixels of a small training image's side
    size: int = 96,  # of a block's side, large
    photographs: tuple[str, ...] = ('china', 'flower'),
    validation: bool = True,  # whether a quarter of the blocks for training is held out to choose by
    smoke: bool = False,
) -> Experiment:
    data = photograph_blocks.load(
        batch_size=4 if smoke else batch_size, scale=scale, size=size, photographs=photographs, validation=validation
    )
    num_steps = 2 if smoke else num_steps
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 20, max(num_steps, 1))
    deep = EDSR(scale=scale, blocks=1 if smoke else blocks, filters=8 if smoke else filters, residual=residual)
    return Experiment(
        model=deep if net == 'edsr' else SRCNN(scale=scale, residual=residual),
        data=data,
        task=super_resolution.task(loss=loss),
        optimizer=optax.adam(schedule),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_unit_range),
        augment=augment.compose(
            lambda keys, batch: augment_pairs.random_crop(keys, batch, size=crop), augment_pairs.random_turn
        ),
        evaluate_every=max(1, num_steps // 10),
        save_every=1000,
    )
