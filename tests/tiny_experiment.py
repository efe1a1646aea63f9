"""A tiny convnet on tiny random images: an experiment file of a user's own, for the tests of the training core."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.pipeline import Data
from cnn_jax.experiment import Experiment
from cnn_jax.layers import Dropout


class TinyNet(nn.Module):
    """One convolution, statistics that change, a dropout, one dense layer."""

    width: int = 4

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x = nn.relu(nn.Conv(self.width, (3, 3), name='conv1')(images))
        x = nn.BatchNorm(use_running_average=not train, axis_name='data' if train else None, name='norm1')(x)
        x = Dropout(0.1)(x.reshape(x.shape[0], -1), train=train)
        return nn.Dense(10, name='fc')(x)


class Rows:
    """Random images whose brightness tells their class."""

    def __init__(self, count: int, seed: int):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 10, count)
        self.images = (rng.integers(0, 100, (count, 8, 8, 1)) + self.labels[:, None, None, None] * 15).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict:
        return {'image': self.images[row], 'label': int(self.labels[row])}


def experiment(
    *,
    batch_size: int = 16,
    num_steps: int = 12,
    learning_rate: float = 1e-2,
    width: int = 4,
    save_every: int | None = 5,
    evaluate_every: int | None = 5,
) -> Experiment:
    data = Data(
        name='tiny',
        batch_size=batch_size,
        splits={'train': 50, 'test': 23},
        class_names=tuple('abcdefghij'),
        image_shape=(8, 8, 1),
        open=lambda split, folder: Rows(50, 0) if split == 'train' else Rows(23, 1),
        prepare=lambda folder, say: say('nothing to prepare'),
    )
    return Experiment(
        model=TinyNet(width=width),
        data=data,
        optimizer=optax.adam(learning_rate),
        learning_rate=optax.constant_schedule(learning_rate),
        num_steps=num_steps,
        preprocess=lambda keys, images: images.astype(jnp.float32) / 255,
        augment=lambda keys, images: jax.vmap(
            lambda key, image: jnp.where(jax.random.bernoulli(key), image, image[::-1])
        )(keys, images),
        save_every=save_every,
        evaluate_every=evaluate_every,
    )
