"""A model in JAX for benchmarks.model_worker: plain Linen with the usual jitted step, and ours with the library's."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import plain_linen
from benchmarks.model_case import INK, LEARNING_RATE, MOMENTUM, PAPER, Case, batch, data_set, value
from cnn_jax.data import augment
from cnn_jax.data.pipeline import Data
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.layers.fold import fold_batch_norm
from cnn_jax.models import lenet, resnet, vgg
from cnn_jax.steps.recipe import Recipe
from cnn_jax.steps.state import TrainState
from cnn_jax.steps.train import make_train_step
from cnn_jax.tasks import classification

PLAIN: dict[str, Callable[[int], nn.Module]] = {
    'lenet5': lambda classes: plain_linen.LeNet(classes),
    'vgg11': lambda classes: plain_linen.VGG(classes),
    'resnet18': lambda classes: plain_linen.ResNet(18, classes),
    'resnet50': lambda classes: plain_linen.ResNet(50, classes),
}
OURS: dict[str, Callable[[int], nn.Module]] = {
    'lenet5': lambda classes: lenet.LeNet(classes, conv1_padding=2),
    'vgg11': lambda classes: vgg.VARIANTS['A'](num_classes=classes, dropout_rate=0.0),
    'resnet18': lambda classes: resnet.ResNet(18, num_classes=classes),
    'resnet50': lambda classes: resnet.ResNet(50, num_classes=classes),
}
softmax_loss = optax.softmax_cross_entropy_with_integer_labels


def starting_variables(model: nn.Module, images: jax.Array) -> dict[str, Any]:
    """The model's variables with the values that every framework has."""
    shapes = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)

    def fill(path: Any, leaf: Any) -> jax.Array:
        return jnp.asarray(value('/'.join(key.key for key in path[1:]), leaf.shape))

    return dict(jax.tree.map_with_path(fill, shapes))


def start_state(
    variables: dict[str, Any], optimizer: optax.GradientTransformation, mesh: jax.sharding.Mesh
) -> TrainState:
    """The state before the first step of our step, a copy on every device."""
    params = variables['params']
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state={name: tree for name, tree in variables.items() if name != 'params'},
        opt_state=optimizer.init(params),
        ema=None,
        rng=jax.random.key(0),
    )
    return jax.device_put(jax.tree.map(jnp.copy, state), mapping.replicated(mesh))


class LinenSteps:
    """Plain Linen: apply, value_and_grad and update in one jitted function that is given its state to overwrite."""

    def __init__(self, model: str, case: Case):
        self.model, self.optimizer = PLAIN[model](case.classes), optax.sgd(LEARNING_RATE, MOMENTUM)
        self.images, self.labels = map(jnp.asarray, batch(case))
        self.variables = starting_variables(self.model, self.images)
        params, state = self._split(self.variables)
        self.state = jax.tree.map(jnp.copy, (params, state, self.optimizer.init(params)))
        self._step = jax.jit(self._train, donate_argnums=0)
        self._apply = jax.jit(partial(self.model.apply, train=False))

    def _split(self, variables: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return variables['params'], {name: tree for name, tree in variables.items() if name != 'params'}

    def _train(self, state: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        params, statistics, opt_state = state

        def loss(params: Any) -> tuple[jax.Array, Any]:
            variables = {'params': params, **statistics}
            logits, changed = self.model.apply(variables, images, train=True, mutable=list(statistics))
            return softmax_loss(logits, labels).mean(), changed  # pyright: ignore[reportArgumentType]

        (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = self.optimizer.update(gradient, opt_state)
        return (optax.apply_updates(params, updates), statistics, opt_state), value

    def train(self) -> Any:
        self.state, loss = self._step(self.state, self.images, self.labels)
        return loss

    def infer(self) -> Any:
        return self._apply(self.variables, self.images)

    def outputs(self) -> Any:
        return self.infer()

    def epochs(self) -> dict[str, Callable[[], Any]]:
        return {}

    def wait(self, result: Any) -> np.ndarray:
        return np.asarray(result)


class OurSteps:
    """Ours: the step and the feed that `--mode=train` runs, and inference with batch norm folded."""

    def __init__(self, model: str, case: Case):
        self.model, self.case = OURS[model](case.classes), case
        self.mesh = mapping.make_mesh()
        images, labels = batch(case)
        variables = starting_variables(self.model, jnp.asarray(images))
        self.folded, fewer = fold_batch_norm(self.model, variables, images)
        self.images, self.variables = jnp.asarray(images), jax.tree.map(jnp.copy, fewer)
        self._apply = jax.jit(self.folded.apply)
        self.optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)
        self.batch = mapping.put_batch(self.mesh, self._batch(images, labels))
        self.state = start_state(variables, self.optimizer, self.mesh)
        self._step = self._make(lambda keys, images: images)

    def _batch(self, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        rows = np.arange(len(labels), dtype=np.int32)
        return {'image': images, 'label': labels, 'mask': rows >= 0, 'index': rows, 'epoch': 0 * rows}

    def _make(self, preprocess: Callable[..., jax.Array]) -> Callable[..., Any]:
        task = classification.task(loss=softmax_loss)
        recipe = Recipe(model=self.model, task=task, optimizer=self.optimizer, preprocess=augment.on_images(preprocess))
        step = make_train_step(recipe)
        return mapping.map_step(step, self.mesh)

    def train(self) -> Any:
        self.state, metrics = self._step(self.state, self.batch)
        return metrics['loss']

    def infer(self) -> Any:
        return self._apply(self.variables, self.images)

    def outputs(self) -> Any:
        return self.infer()

    def epochs(self) -> dict[str, Callable[[], Any]]:
        step = self._make(partial(augment.to_range, low=PAPER, high=INK))
        feed = open_feed(self._data(), data_dir=Path(), seed=0, mesh=self.mesh)
        next_step = 0

        def epoch() -> Any:
            nonlocal next_step
            last = next_step + self.case.epoch // self.case.batch
            while next_step < last:
                self.state, metrics = step(self.state, feed.train(next_step))
                next_step += 1
            return metrics['loss']

        return {'epoch': epoch}

    def _data(self) -> Data:
        images, labels = data_set(self.case)
        rows = [{'image': image, 'label': int(label)} for image, label in zip(images, labels, strict=True)]
        return Data(
            name='random',
            batch_size=self.case.batch,
            splits={'train': len(rows), 'test': 1},
            class_names=tuple(map(str, range(self.case.classes))),
            image_shape=self.case.shape[1:],
            open=lambda split, data_dir: rows,
            prepare=lambda data_dir, say: None,
        )

    def wait(self, result: Any) -> np.ndarray:
        return np.asarray(result)
