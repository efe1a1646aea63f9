"""The nets that tell of images, on a trunk of few convolutions: an experiment file of a user's own."""

import dataclasses
from typing import Any, Literal

from small_trunk import SmallTrunk

from cnn_jax.experiment import Experiment, load


def experiment(
    *, told: Literal['scenes_caption', 'scenes_point', 'scenes_vqa', 'visual7w_telling'] = 'scenes_vqa'
) -> Experiment:
    made = load(told, {'smoke': True}).experiment
    model: Any = made.model
    # A net with captions is written to a file, which holds trunks of `cnn_jax.models` alone.
    trunk = model.trunk.clone(stage_sizes=(1,)) if told == 'scenes_caption' else SmallTrunk()
    return dataclasses.replace(made, model=model.clone(trunk=trunk, finest=None))
