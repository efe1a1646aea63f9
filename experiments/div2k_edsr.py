"""An image two, three or four times as large: EDSR on DIV2K.

    python -m cnn_jax.main --mode=prepare --experiment=div2k_edsr
    python -m cnn_jax.main --experiment=div2k_edsr
    python -m cnn_jax.main --experiment=div2k_edsr --config.net=srcnn --config.loss=mse --config.learning_rate=1e-3
    python -m cnn_jax.main --experiment=div2k_edsr --config.smoke      # two steps on pieces of bundled photographs

Expect no number yet: it is not measured here. Published for the default, x2: 34.61 dB on pictures 801 to 900, of RGB;
`python -m benchmarks.div2k` measures whole pictures, of RGB and of Y.

Model: EDSR-baseline, Lim et al. 2017, arXiv:1707.02921; EDSR itself is --config.filters=256 --config.blocks=32
--config.residual_scale=0.1. Differs: pixels are 0 .. 1, the mean of the set is not taken off; 3 and 4 times start anew,
not from the net for 2; patches come from 24 places of a picture, moved by up to half a block.
"""

from typing import Literal

import optax

from cnn_jax.data import augment, augment_pairs, div2k
from cnn_jax.experiment import Experiment
from cnn_jax.models.edsr import EDSR
from cnn_jax.models.srcnn import SRCNN
from cnn_jax.tasks import super_resolution


def experiment(
    *,
    net: Literal['edsr', 'srcnn'] = 'edsr',
    scale: int = 2,  # 2, 3 or 4
    blocks: int = 16,  # of EDSR
    filters: int = 64,  # of EDSR
    residual_scale: float = 1.0,  # of EDSR's blocks
    residual: bool = False,  # whether the net adds to the bicubic enlargement
    loss: Literal['l1', 'mse'] = 'l1',
    batch_size: int = 16,
    num_steps: int = 300_000,
    learning_rate: float = 1e-4,
    halve_every: int = 200_000,  # steps
    crop: int = 48,  # pixels of a small training image's side
    size: int = 384,  # of a block's side, large
    held_out: int = 10,  # pictures of the training set to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    data = div2k.load(
        batch_size=min(batch_size, 4) if smoke else batch_size, scale=scale, size=size, held_out=held_out, smoke=smoke
    )
    crop, num_steps = (8, 2) if smoke else (crop, num_steps)
    blocks, filters = (1, 8) if smoke else (blocks, filters)
    schedule = optax.exponential_decay(learning_rate, halve_every, 0.5, staircase=True)
    deep = EDSR(scale=scale, filters=filters, blocks=blocks, residual_scale=residual_scale, residual=residual)
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
        evaluate_every=10_000,
        save_every=5_000,
        log_every=100,
    )
