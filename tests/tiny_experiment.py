"""A tiny convnet on tiny random images: an experiment file of a user's own, for the tests of the training core."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.data.augment import on_images
from cnn_jax.data.held_out import hold_out
from cnn_jax.data.pipeline import Data
from cnn_jax.experiment import Experiment
from cnn_jax.layers import BatchNorm, Dropout
from cnn_jax.losses import cross_entropy, with_auxiliary_heads
from cnn_jax.tasks import classification


class TinyNet(nn.Module):
    """One convolution, statistics that change, a dropout, one dense layer."""

    width: int = 4
    norm: str = 'global'
    auxiliary: bool = False
    num_classes: int = 10

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Any:
        x = nn.relu(nn.Conv(self.width, (3, 3), name='conv1')(images))
        x = BatchNorm(self.norm, momentum=0.99, name='norm1')(x, train=train)
        x = Dropout(0.1)(x.reshape(x.shape[0], -1), train=train)
        scores = nn.Dense(self.num_classes, name='fc')(x)
        heads = (nn.Dense(self.num_classes, name='aux1')(x),) if self.auxiliary else ()
        return (scores, *heads) if train and heads else scores


POISON = 255  # no other pixel has this value; `to_unit_range` makes a NaN of it


def to_unit_range(keys: jax.Array, images: jax.Array) -> jax.Array:
    del keys
    return jnp.where(images == POISON, jnp.nan, images.astype(jnp.float32) / 255)


class Rows:
    """Random images whose brightness tells their class; the first `num_bad` hold a poisoned pixel."""

    def __init__(self, count: int, seed: int, num_bad: int = 0):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 10, count)
        self.images = (rng.integers(0, 100, (count, 8, 8, 1)) + self.labels[:, None, None, None] * 15).astype(np.uint8)
        self.images[:num_bad, 2, 3] = POISON

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
    norm: str = 'global',
    auxiliary: bool = False,
    accumulate: int = 1,
    ema_decay: float | None = None,
    precise_batch_norm: int | None = None,
    sam_radius: float | None = None,
    on_nan: Literal['stop', 'skip'] = 'stop',
    save_every: int | None = 5,
    evaluate_every: int | None = 5,
    log_every: int = 1,
    num_bad: int = 0,
    streamed: bool = False,
    on_save_error: Literal['stop', 'go_on'] = 'stop',
    validation: float = 0.0,
    patience: int | None = None,
    history: int | None = None,
) -> Experiment:
    data = Data(
        name='tiny',
        batch_size=batch_size,
        splits={'train': 50, 'test': 23},
        class_names=tuple('abcdefghij'),
        image_shape=(8, 8, 1),
        open=lambda split, folder: Rows(50, 0, num_bad) if split == 'train' else Rows(23, 1),
        prepare=lambda folder, say: say('nothing to prepare'),
        streamed=streamed,
    )
    return Experiment(
        model=TinyNet(width=width, norm=norm, auxiliary=auxiliary),
        data=hold_out(data, validation),
        task=classification.task(loss=with_auxiliary_heads(cross_entropy) if auxiliary else cross_entropy),
        optimizer=optax.adam(learning_rate),
        learning_rate=optax.constant_schedule(learning_rate),
        num_steps=num_steps,
        preprocess=on_images(
            lambda keys, images: jnp.where(images == POISON, jnp.nan, images.astype(jnp.float32) / 255)
        ),
        augment=on_images(jax.vmap(lambda key, image: jnp.where(jax.random.bernoulli(key), image, image[::-1]))),
        accumulate=accumulate,
        ema_decay=ema_decay,
        precise_batch_norm=precise_batch_norm,
        sam_radius=sam_radius,
        on_nan=on_nan,
        save_every=save_every,
        evaluate_every=evaluate_every,
        log_every=log_every,
        on_save_error=on_save_error,
        patience=patience,
        history=history,
    )
