"""Which breed, and where: the class and the box of the animal on photographs of Oxford-IIIT Pet.

    python -m cnn_jax.main --mode=prepare --experiment=pet_localize
    python -m cnn_jax.main --experiment=pet_localize --init_from=resnet18.safetensors   # torchvision's weights
    python -m cnn_jax.main --experiment=pet_localize --config.smoke                     # two steps on drawn scenes

Expect no number yet: it is not measured here, and none is published for this rule on this set.

Model: a residual trunk (He et al. 2015, arXiv:1512.03385) with a head for the class and one for the box, as OverFeat's
(Sermanet et al. 2013, arXiv:1312.6229). The box is that around the animal's outline (`data/pet.py`).
"""

import optax

from cnn_jax.data import augment, augment_geometry, pet
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.experiment import Experiment
from cnn_jax.models.localizer import Localizer
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import localization


def experiment(
    *,
    depth: int = 18,
    image_size: int = 128,
    batch_size: int = 32,
    epochs: float = 30.0,
    learning_rate: float = 3e-4,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    max_shift: int = 12,  # pixels that a training image is moved at most
    validation: float = 0.1,  # share of the training photographs that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    data = pet.load(
        batch_size=min(batch_size, 8) if smoke else batch_size, image_size=32 if smoke else image_size,
        validation=validation, smoke=smoke,
    )  # fmt: skip
    steps_per_epoch = data.num_train / data.batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small = {'width': 1 / 16, 'stage_sizes': (1, 1)} if smoke else {}
    trunk = ResNet(depth=depth, maps=True, **small)

    def change(keys, batch):
        return augment_geometry.random_flip(keys, augment_geometry.random_shift(keys, batch, max_shift=max_shift))

    return Experiment(
        model=Localizer(trunk, num_classes=data.num_classes, hidden_units=8 if smoke else 256),
        data=data,
        task=localization.task(),
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        augment=change,
        evaluate_every=max(1, round(2 * steps_per_epoch)),
        save_every=1000,
    )
