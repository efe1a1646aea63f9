"""Questions about a scene with four choices: how many, what, where, which is larger, is there.

    python -m cnn_jax.main --experiment=scenes_detect --workdir=runs/detect
    python -m cnn_jax.main --experiment=scenes_vqa --init_from=runs/detect

Expect 86.9 % of the test questions right (± 7.9, five seeds: what is where is learnt suddenly, in some late), 25.6 %
without the image, after three minutes on two cores.

Model: the question read by an LSTM, and how true it is with each choice by attention over the trunk's pyramid and a
gated product; the answers of Visual7W's telling task (Zhu et al. 2016, arXiv:1511.03416). No question can be answered
from its choices (`data/scenery/questions.py`); what the same net answers without the image, and with another image,
stands beside each number.
"""

from typing import Any, Literal

import optax

from cnn_jax.data import augment, scenes
from cnn_jax.data.scenery.questions import KINDS
from cnn_jax.experiment import Experiment
from cnn_jax.models.question_answerer import QuestionAnswerer
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import question_answering


def experiment(
    *,
    depth: int = 8,  # 6 n + 2
    width: float = 1.0,  # of the filters 16, 32, 64
    stem: Literal['small', 'half'] = 'half',  # whether the trunk's first map is as large as the image, or half of it
    pyramid: bool = True,  # whether the net looks at a detection run's pyramid, not at the trunk's coarsest map alone
    units: int = 128,  # of what is read and seen
    embedding: int = 64,  # of a word
    batch_size: int = 32,
    epochs: float = 4.0,
    learning_rate: float = 2e-3,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    size: int = 48,
    objects: tuple[int, ...] = (2, 5),  # the least and the most digits, four numbers at least
    colour: bool = False,
    num_train: int = 10_000,
    validation: float = 0.1,  # share of the scans and photographs that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    num_train, num_test = (64, 32) if smoke else (num_train, 2_000)
    data = scenes.load(
        batch_size=batch_size, answer='question', num_objects=objects, size=size, colour=colour, num_train=num_train,
        num_test=num_test, validation=validation,
    )  # fmt: skip
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small: dict[str, Any] = {'width': 0.25, 'stage_sizes': (1, 1)} if smoke else {'width': width}
    return Experiment(
        model=QuestionAnswerer(
            ResNet(depth=depth, layout='cifar', stem=stem, maps=True, **small),
            num_words=data.num_classes, units=8 if smoke else units, embedding=8 if smoke else embedding,
            finest=0 if pyramid else None,
        ),
        data=data,
        task=question_answering.task(kinds=KINDS),
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_range, low=-1.0, high=1.0),
        evaluate_every=max(1, round(2 * steps_per_epoch)),
        save_every=1000,
    )  # fmt: skip
