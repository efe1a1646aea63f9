"""A sentence about each photograph of COCO 2014, in Karpathy's split.

    python -m cnn_jax.main --mode=prepare --experiment=coco_caption --config.annotations=dataset_coco.json
    python -m cnn_jax.main --experiment=coco_caption --config.annotations=dataset_coco.json \\
        --init_from=resnet18.safetensors                                   # torchvision's weights
    python -m cnn_jax.main --experiment=coco_caption --config.smoke        # two steps on drawn scenes

Expect no number yet: it is not measured here. Published, on sentences as people wrote them: BLEU-4 24.3 with Show,
Attend and Tell (soft attention), 27.7 and CIDEr 0.855 with Show and Tell.

Model: Show, Attend and Tell (Xu et al. 2015, arXiv:1502.03044) on a residual trunk (He et al. 2015, arXiv:1512.03385),
or Show and Tell (Vinyals et al. 2015, arXiv:1411.4555) with `--noconfig.attention`. Photographs are squeezed into a
square, and not mirrored: sentences tell left from right.
"""

from typing import Any

import optax

from cnn_jax.data import augment, coco_captions
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.experiment import Experiment
from cnn_jax.models.captioner import Captioner
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import captioning


def experiment(
    *,
    annotations: str = '',  # Karpathy's dataset_coco.json
    depth: int = 18,
    attention: bool = True,  # whether the net looks at the image again for each word
    beams: int = 3,  # sentences that are kept while one is searched; 1: greedy
    units: int = 512,  # of the memory
    embedding: int = 512,  # of a word
    length: int = 20,  # the words of a sentence that count
    rare: int = 5,  # a word that is in the training captions so often or less is <unknown>
    image_size: int = 224,
    batch_size: int = 32,
    epochs: float = 20.0,
    learning_rate: float = 4e-4,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    smoke: bool = False,
) -> Experiment:
    data = coco_captions.load(
        batch_size=min(batch_size, 8) if smoke else batch_size, annotations=annotations,
        image_size=64 if smoke else image_size, length=12 if smoke else length, rare=rare, smoke=smoke,
    )  # fmt: skip
    steps_per_epoch = data.num_train / data.batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small: dict[str, Any] = {'width': 1 / 16, 'stage_sizes': (1, 1)} if smoke else {}
    return Experiment(
        model=Captioner(
            ResNet(depth=depth, maps=True, **small), num_words=data.num_classes,
            length=data.row_fields['captions'].shape[1], beams=beams, units=8 if smoke else units,
            embedding=8 if smoke else embedding, attention=attention,
        ),
        data=data,
        task=captioning.task(judged_by='cider'),
        optimizer=optax.chain(optax.clip_by_global_norm(5.0), optax.adamw(schedule, weight_decay=weight_decay)),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        evaluate_every=max(1, round(steps_per_epoch)),
        save_every=1000,
    )  # fmt: skip
