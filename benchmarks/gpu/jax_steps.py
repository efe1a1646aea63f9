"""Our nets with the library's own training step, their plain Flax twins with the usual one, and the card's ceilings."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.gpu import cases, roofline
from benchmarks.gpu.cases import Case
from benchmarks.gpu.twins import TWINS
from cnn_jax import losses, optim
from cnn_jax.devices import mapping
from cnn_jax.layers.fold import fold_batch_norm
from cnn_jax.models import alexnet, googlenet, resnet, vgg
from cnn_jax.steps.recipe import Recipe
from cnn_jax.steps.state import TrainState
from cnn_jax.steps.train import make_train_step
from cnn_jax.tasks import classification

OURS: dict[str, Callable[..., nn.Module]] = {
    'resnet50': resnet.VARIANTS['resnet50'],
    'resnet18': resnet.VARIANTS['resnet18'],
    'vgg16': vgg.VARIANTS['D'],
    'alexnet': partial(alexnet.VARIANTS['one_weird_trick'], head_size=None),  # 224 pixels give 6x6 without the pool
    'googlenet': googlenet.VARIANTS['torchvision'],
}
Step = Callable[[int], Any]
loss_of = losses.with_auxiliary_heads(
    optax.softmax_cross_entropy_with_integer_labels, weight=cases.AUXILIARY_WEIGHT
)  # of a tuple of scores, or of scores alone


def make_model(framework: str, case: Case) -> nn.Module:
    """The net of a case with the bfloat16 policy; framework is 'ours' or 'flax'."""
    make = OURS if framework == 'ours' else TWINS
    return make[case.model](num_classes=cases.NUM_CLASSES, width=case.width, dtype=jnp.bfloat16)


def make_variables(model: nn.Module, case: Case) -> Any:
    """Float32 variables on the device."""
    images = jax.ShapeDtypeStruct((1, *case.shape[1:]), jnp.bfloat16)
    shapes = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    return jax.device_put(cases.fill(shapes))


def put_batches(case: Case) -> list[tuple[jax.Array, jax.Array]]:
    """The batches on the device, images in bfloat16."""
    return [(jnp.asarray(images, jnp.bfloat16), jnp.asarray(labels)) for images, labels in cases.batches(case)]


def make_optimizer() -> optax.GradientTransformation:
    return optim.torch_sgd(cases.LEARNING_RATE, momentum=cases.MOMENTUM, weight_decay=cases.WEIGHT_DECAY)


def train_ours(case: Case) -> Step:
    """The step that `--mode=train` runs, on bfloat16 images that are on the device."""
    mesh = mapping.make_mesh(1)
    model, optimizer = make_model('ours', case), make_optimizer()
    variables = dict(make_variables(model, case))
    params = variables.pop('params')
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=variables,
        opt_state=optimizer.init(params),
        ema=None,
        rng=jax.random.key(0),
    )
    state = jax.device_put(state, mapping.replicated(mesh))
    rows = np.arange(case.batch, dtype=np.int32)
    other = {'mask': rows >= 0, 'index': rows, 'epoch': 0 * rows}
    batches = [
        mapping.put_batch(mesh, {'image': images.astype(jnp.bfloat16), 'label': labels, **other})
        for images, labels in cases.batches(case)
    ]
    make_step = make_train_step(
        Recipe(
            model=model,
            task=classification.task(loss=loss_of),
            optimizer=optimizer,
            preprocess=lambda keys, batch: batch,
        )
    )
    train_step = mapping.map_step(make_step, mesh)

    def step(number: int) -> jax.Array:
        nonlocal state
        state, metrics = train_step(state, batches[number % len(batches)])
        return metrics['loss']

    return step


def train_flax(case: Case) -> Step:
    """Apply, value_and_grad and update in one jitted function that is given its state to overwrite."""
    model, optimizer = make_model('flax', case), make_optimizer()
    variables = dict(make_variables(model, case))
    params = variables.pop('params')
    state = (params, variables, optimizer.init(params), jax.random.key(0))
    batches = put_batches(case)

    def train_step(state: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        params, statistics, opt_state, key = state
        key, dropout = jax.random.split(key)

        def mean_loss(params: Any) -> tuple[jax.Array, Any]:
            scores, changed = model.apply(
                {'params': params, **statistics}, images, train=True, mutable=['batch_stats'], rngs={'dropout': dropout}
            )
            scores = jax.tree.map(lambda array: array.astype(jnp.float32), scores)
            return loss_of(scores, labels).mean(), changed

        (value, changed), gradient = jax.value_and_grad(mean_loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), dict(changed), opt_state, key), value

    jitted = jax.jit(train_step, donate_argnums=0)

    def step(number: int) -> jax.Array:
        nonlocal state
        state, loss = jitted(state, *batches[number % len(batches)])
        return loss

    return step


def infer(framework: str, case: Case) -> Step:
    """Scores of a batch with bfloat16 weights; ours with batch norm folded."""
    model = make_model(framework, case)
    variables, batches = make_variables(model, case), put_batches(case)
    if framework == 'ours':
        model, variables = fold_batch_norm(model, variables, batches[0][0])
    variables = jax.tree.map(lambda array: array.astype(jnp.bfloat16), variables)
    apply = jax.jit(partial(model.apply, train=False))
    return lambda number: apply(variables, batches[number % len(batches)][0])


def make_step(framework: str, part: str, case: Case) -> Step:
    """What is measured: part 'train' or 'inference' of 'ours' or 'flax'."""
    if part == 'inference':
        return infer(framework, case)
    return train_ours(case) if framework == 'ours' else train_flax(case)


def wait(result: jax.Array) -> float:
    """Blocks until a result is computed; a loss, or a score."""
    jax.block_until_ready(result)
    return float(result[(0,) * result.ndim])


def count(part: str, case: Case) -> dict[str, float]:
    """What a step of the net must do: `flops` and `bytes`."""
    return dataclasses.asdict(roofline.count(make_model('ours', case), case.shape, part))


def peak_memory() -> int | None:
    """The most bytes that arrays and programs took so far; None where the device does not say."""
    return (jax.local_devices()[0].memory_stats() or {}).get('peak_bytes_in_use')


def make_ceiling(part: str, tiny: bool) -> tuple[Step, float]:
    """A step that reaches a ceiling of the card, and how much it does: bytes of a 'copy', operations of a 'matmul'."""
    key = jax.random.key(0)
    if part == 'copy':
        size = 2**16 if tiny else 2**30
        numbers = jax.random.normal(key, (size // 2**8, 2**8), jnp.bfloat16)
        negate = jax.jit(jnp.negative)
        return lambda number: negate(numbers), 2.0 * numbers.nbytes
    side = 64 if tiny else 8192
    left, right = (jax.random.normal(key, (side, side), jnp.bfloat16) for key in jax.random.split(key))
    product = jax.jit(jnp.matmul)
    return lambda number: product(left, right), 2.0 * side**3


def device() -> dict[str, Any]:
    """The device and the versions."""
    device = jax.local_devices()[0]
    return {'device': device.device_kind, 'platform': device.platform, 'jax': jax.__version__}
