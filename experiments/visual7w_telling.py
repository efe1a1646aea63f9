"""Questions about photographs with four texts to choose from: Visual7W's telling task.

    python -m cnn_jax.main --mode=prepare --experiment=visual7w_telling --config.annotations=dataset_v7w_telling.json
    python -m cnn_jax.main --experiment=visual7w_telling --config.annotations=dataset_v7w_telling.json \\
        --init_from=resnet18.safetensors                                   # torchvision's weights
    python -m cnn_jax.main --experiment=visual7w_telling --config.smoke    # two steps on drawn scenes

Expect no number yet: it is not measured here. Published: 54.1 % with the released model (what 52.9, where 56.0, when
74.3, who 60.2, why 52.2, how 46.6), a quarter by guessing. Beside each kind of question stands what the same net
answers without the image, and with the questions of another one; people's answers can be guessed to a part.

Model: the question read by an LSTM, its gated product with the trunk's last map, and a score for each choice (see
`models/question_answerer.py`), on a residual trunk (He et al. 2015, arXiv:1512.03385). Task and split: Zhu et al. 2016,
arXiv:1511.03416; their model looks at the image again for each word of the question, and has VGG-16 as its trunk.
Photographs are squeezed into a square, and not mirrored: questions tell left from right.
"""

from typing import Any

import optax

from cnn_jax.data import augment, visual7w
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.experiment import Experiment
from cnn_jax.models.question_answerer import QuestionAnswerer
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import question_answering


def experiment(
    *,
    annotations: str = '',  # dataset_v7w_telling.json
    depth: int = 18,
    units: int = 512,  # of what is read and seen
    embedding: int = 300,  # of a word
    question_length: int = 16,  # the words of a question that count, with its end
    choice_length: int = 8,  # the words of a choice that count, with its end
    rare: int = 5,  # a word that is in the training questions so often or less is <unknown>
    image_size: int = 224,
    batch_size: int = 64,
    epochs: float = 10.0,
    learning_rate: float = 4e-4,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    smoke: bool = False,
) -> Experiment:
    data = visual7w.load(
        batch_size=min(batch_size, 8) if smoke else batch_size, form='telling', annotations=annotations,
        image_size=64 if smoke else image_size, question_length=question_length, choice_length=choice_length, rare=rare,
        smoke=smoke,
    )  # fmt: skip
    steps_per_epoch = data.num_train / data.batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small: dict[str, Any] = {'width': 1 / 16, 'stage_sizes': (1, 1)} if smoke else {}
    return Experiment(
        model=QuestionAnswerer(
            ResNet(depth=depth, maps=True, **small), num_words=data.num_classes, units=8 if smoke else units,
            embedding=8 if smoke else embedding,
        ),
        data=data,
        task=question_answering.task(kinds=visual7w.KINDS['telling']),
        optimizer=optax.chain(optax.clip_by_global_norm(5.0), optax.adamw(schedule, weight_decay=weight_decay)),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        evaluate_every=max(1, round(steps_per_epoch)),
        save_every=1000,
    )  # fmt: skip
