"""A tiny net on a folder of images: an experiment file of a user's own."""

import flax.linen as nn
import jax
import optax

from cnn_jax.data import augment, folder
from cnn_jax.data.formats import crops
from cnn_jax.experiment import Experiment


class Net(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        del train
        return nn.Dense(self.num_classes, name='fc')(images.mean((1, 2)))


def experiment(*, folder_of: str = 'photos', num_steps: int = 60) -> Experiment:
    data = folder.load(batch_size=8, folder=folder_of, image_size=8, resize=8, crop=crops.random_resized)
    return Experiment(
        model=Net(data.num_classes),
        data=data,
        optimizer=optax.adam(0.3),
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_range, low=-1.0, high=1.0),
    )
