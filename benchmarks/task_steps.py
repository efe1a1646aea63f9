"""The nets of the scene tasks for benchmarks.model_worker: ours with the library's step, and their twins in torch.

Inference is from images to answers: boxes, masks and key points, read from the outputs as a prediction reads them.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import numpy as np

from benchmarks.model_case import LEARNING_RATE, MOMENTUM, Case, value

BOXES = 5  # of an image, at most
MASKS, JOINTS, MOST = 11, 13, 20  # classes of a pixel with the ground; key points; detections of an image
WORDS, LENGTH = 22, 21  # of the captions of up to three digits
ASKED, CHOICES, TEXTS = 5, 4, 34  # questions of an image, choices of a question, words of both


def task_batch(model: str, case: Case) -> dict[str, np.ndarray]:
    """A batch of noise, (batch, height, width, channels), with right answers of all kinds, drawn uniformly."""
    rng, size = np.random.default_rng(0), case.size
    corner = rng.uniform(0, size / 2, (case.batch, BOXES, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(size / 6, size / 2, corner.shape)], -1).astype(np.float32)
    boxes[:, 3:] *= rng.random((case.batch, BOXES - 3, 1)) < 0.5  # some are absent
    found = {
        'image': rng.standard_normal(case.shape, np.float32),
        'label': rng.integers(0, case.classes, case.batch, np.int32),
        'boxes': boxes if model == 'centernet' else boxes[:, :1],
    }
    if model == 'centernet':
        return {**found, 'box_label': rng.integers(0, case.classes, (case.batch, BOXES), np.int32)}
    if model == 'fcn':
        return {**found, 'segmentation': rng.integers(0, MASKS, (case.batch, size, size), np.uint8)}
    if model == 'captioner':
        captions = rng.integers(1, WORDS, (case.batch, 1, LENGTH), np.int32)
        ends = rng.integers(LENGTH // 3, LENGTH, (case.batch, 1, 1))
        return {**found, 'captions': np.where(np.arange(LENGTH) < ends, captions, 0).astype(np.int32)}
    if model == 'question_answerer':
        lengths = {'question': (ASKED, 9), 'choices': (ASKED, CHOICES, 4)}
        texts = {name: rng.integers(1, TEXTS, (case.batch, *shape), np.int32) for name, shape in lengths.items()}
        ended = {
            name: np.where(np.arange(text.shape[-1]) < 2 + (text[..., :1] % 2), text, 0) for name, text in texts.items()
        }
        return {**found, **ended, 'answer': rng.integers(0, CHOICES, (case.batch, ASKED), np.int32)}
    points = rng.uniform(0, size, (case.batch, JOINTS, 2)).astype(np.float32)
    return {**found, 'keypoints': points, 'visible': np.ones((case.batch, JOINTS), bool)}


def our_net(model: str) -> tuple[nn.Module, Any]:
    """A net with its task, as the experiment on scenes has it."""
    from cnn_jax.models.captioner import Captioner
    from cnn_jax.models.centernet import CenterNet
    from cnn_jax.models.fcn import FCN
    from cnn_jax.models.localizer import Localizer
    from cnn_jax.models.pose import SimpleBaseline
    from cnn_jax.models.question_answerer import QuestionAnswerer
    from cnn_jax.models.resnet import ResNet
    from cnn_jax.tasks import captioning, detection, localization, pose, question_answering, segmentation

    trunk = ResNet(depth=8, layout='cifar', stem='half', maps=True)
    joints = tuple(str(number) for number in range(JOINTS))
    nets: dict[str, tuple[nn.Module, Any]] = {
        'localizer': (Localizer(trunk, num_classes=10), localization.task()),
        'centernet': (CenterNet(trunk, num_classes=10), detection.task(most=MOST)),
        'fcn': (FCN(trunk, num_classes=MASKS, hidden=32), segmentation.task()),
        'pose': (
            SimpleBaseline(trunk, num_keypoints=JOINTS, num_deconvs=2, filters=32),
            pose.task(joints=joints, torso=(0, 1)),
        ),
        'captioner': (
            Captioner(trunk, num_words=WORDS, length=LENGTH, beams=1, units=128, embedding=64, finest=0),
            captioning.task(),
        ),
        'question_answerer': (
            QuestionAnswerer(trunk, num_words=TEXTS, units=128, embedding=64, finest=0),
            question_answering.task(),
        ),
    }
    return nets[model]


class OurTaskSteps:
    """Ours: the step that `--mode=train` runs, and inference with batch norm folded, reading included."""

    def __init__(self, model: str, case: Case):
        import jax
        import jax.numpy as jnp
        import optax

        from benchmarks.model_jax import start_state, starting_variables
        from cnn_jax.devices import mapping
        from cnn_jax.layers.fold import fold_batch_norm
        from cnn_jax.steps.recipe import Recipe
        from cnn_jax.steps.train import make_train_step

        net, task = our_net(model)
        mesh, batch = mapping.make_mesh(), task_batch(model, case)
        rows = np.arange(case.batch, dtype=np.int32)
        variables = starting_variables(net, jnp.asarray(batch['image']))
        folded, fewer = fold_batch_norm(net, variables, batch['image'])
        self._inputs = tuple(jnp.asarray(batch[name]) for name in ('image', *task.model_inputs))
        self._variables = jax.tree.map(jnp.copy, fewer)
        self._apply = jax.jit(folded.apply)
        self._read = jax.jit(lambda variables, *inputs: task.read(folded.apply(variables, *inputs)))
        optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)
        self._batch = mapping.put_batch(mesh, {**batch, 'mask': rows >= 0, 'index': rows, 'epoch': 0 * rows})
        self._state = start_state(variables, optimizer, mesh)
        recipe = Recipe(model=net, task=task, optimizer=optimizer, preprocess=lambda keys, batch: batch)
        self._step = mapping.map_step(make_train_step(recipe), mesh)

    def train(self) -> Any:
        self._state, metrics = self._step(self._state, self._batch)
        return metrics['loss']

    def infer(self) -> Any:
        return self._read(self._variables, *self._inputs)

    def outputs(self) -> Any:
        return self._apply(self._variables, *self._inputs)

    def epochs(self) -> dict[str, Callable[[], Any]]:
        return {}

    def wait(self, result: Any) -> np.ndarray:
        import jax

        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.device_get(result))])


class TorchTaskSteps:
    """The twin: eager, float32, channels_last, SGD as torch.optim has it."""

    def __init__(self, model: str, case: Case):
        import torch  # pyright: ignore[reportMissingImports]

        from benchmarks import plain_torch, plain_torch_answerer, plain_torch_captioner, plain_torch_tasks

        torch.set_num_threads(1)
        told = {'captioner': plain_torch_captioner.TWIN, 'question_answerer': plain_torch_answerer.TWIN}
        twins = {**plain_torch_tasks.TWINS, **told}
        self._torch, self._twin = torch, twins[model]

        def make() -> Any:
            module = self._twin.model()
            with torch.no_grad():
                plain_torch.load(module, value)
            return module.to(memory_format=torch.channels_last)

        self._model, self._fixed = make(), make().eval()
        batch = {name: torch.from_numpy(array) for name, array in task_batch(model, case).items()}
        for name in ('label', 'box_label', 'segmentation', 'captions', 'question', 'choices', 'answer'):
            batch |= {name: batch[name].long()} if name in batch else {}
        images = batch.pop('image').permute(0, 3, 1, 2)
        asked = [batch[name] for name in ('question', 'choices') if name in batch]
        self._inputs, self._batch = [images.contiguous(memory_format=torch.channels_last), *asked], batch
        self._optimizer = torch.optim.SGD(self._model.parameters(), LEARNING_RATE, momentum=MOMENTUM)

    def train(self) -> Any:
        self._optimizer.zero_grad(set_to_none=True)
        captions = [self._batch['captions']] if 'captions' in self._batch else []
        loss = self._twin.loss(self._model(*self._inputs, *captions), self._batch)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def infer(self) -> Any:
        with self._torch.inference_mode():
            return self._twin.read(self._fixed(*self._inputs))

    def outputs(self) -> Any:
        with self._torch.inference_mode():
            return self._fixed(*self._inputs)

    def epochs(self) -> dict[str, Callable[[], Any]]:
        return {}

    def wait(self, result: Any) -> np.ndarray:
        leaves = list(result.values()) if isinstance(result, dict) else result
        leaves = leaves if isinstance(leaves, list | tuple) else [leaves]
        return np.concatenate([leaf.reshape(-1).numpy() for leaf in leaves])
