"""Pose: where each joint of one body is."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.task import Batch, Results, Task

PCK = Metric('pck', 'joints found (PCK at 0.2)', 'points', True)
OKS = Metric('oks_ap', 'AP of key points (OKS)', 'points', True)
ERROR = Metric('error', 'mean distance in pixels', '', False)
BLIND = Metric('blind', 'joints found by the mean pose', 'points', True)
ENOUGH = 0.2  # of the torso
OKS_LEVELS = np.arange(0.5, 1.0, 0.05)
USUAL_SIGMA = 0.072  # of COCO's elbow, for joints that nobody has measured


@dataclasses.dataclass(frozen=True)
class Pose(Task):
    """The joints of the one body on an image; the outputs are heat-maps (batch, rows, columns, joints).

    The headline is PCK: the share of the visible joints that are found, no further away than a fifth of the torso. The
    rule is FLIC's and LSP's (Sapp and Taskar 2013; Yang and Ramanan 2013).

    Attributes:
        joints: their names, in the order of the data.
        torso: the two joints whose distance is the torso's.
        sigmas: of each joint, how far apart people place it, for OKS (COCO's constants are those of its joints);
            empty: the same for all.
        loss_form: 'softmax', a cross-entropy over the places of a map, or 'mse', the squared distance to a bump, as
            published; on few and small images the latter collapses to maps of nothing.
        sigma: of the bump, in places of the map.
    """

    joints: tuple[str, ...]
    torso: tuple[int, int]
    sigmas: tuple[float, ...] = ()
    loss_form: Literal['softmax', 'mse'] = 'softmax'
    sigma: float = 1.0

    metrics: ClassVar[tuple[Metric, ...]] = (PCK, OKS, ERROR, BLIND, LOSS)
    truths: ClassVar[tuple[str, ...]] = ('keypoints', 'visible', 'area')

    def fields(self, data: Data) -> Fields:
        count = len(self.joints)
        points = data.row_fields.get('keypoints', Field('float32'))._replace(shape=(count, 2))
        return {'keypoints': points, 'visible': Field('bool', (count,))}

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        rows, columns = outputs.shape[1:3]
        places = batch['keypoints'] / _stride(batch, rows, columns) - 0.5  # in places of the map, of their centres
        bumps = _bumps(places, (rows, columns), self.sigma)  # (batch, rows, columns, joints)
        if self.loss_form == 'softmax':
            shares = bumps / jnp.maximum(jnp.sum(bumps, (1, 2), keepdims=True), 1e-6)
            logs = jax.nn.log_softmax(outputs.reshape(len(outputs), -1, outputs.shape[-1]), 1).reshape(outputs.shape)
            losses = -jnp.sum(shares * logs, (1, 2))  # (batch, joints)
        else:
            losses = jnp.mean((outputs - bumps) ** 2, (1, 2))
        visible = batch['visible']
        return jnp.sum(jnp.where(visible, losses, 0), -1) / jnp.maximum(jnp.sum(visible, -1), 1)

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        return {}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """`place` (batch, joints, 2), (x, y) as shares of the image's sides, and `score` (batch, joints).

        The highest place of each map, a quarter of a place towards the higher of its neighbours, as published. The
        score is the share that a softmax over the map gives to the 3x3 places around it.
        """
        return decode_maps(outputs)

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image: `keypoints`, `visible`, `found` (batch, joints, 2) and `found_score`; `area`.

        `area` is that of the body in square pixels, for OKS: of its box if the data has one, else of the box around its
        joints.
        """
        height, width = batch['image'].shape[1:3]
        found = self.read(outputs)
        place = found['place'] * jnp.array([width, height], jnp.float32)
        kept = {name: batch[name] for name in ('keypoints', 'visible')}
        return {**kept, 'area': _area(batch), 'found': place, 'found_score': found['score']}

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images, visible = len(results['loss']), results['visible']
        distance = _distances(results['keypoints'], results['found'])
        mean = _mean_pose(results['keypoints'], visible)
        return {
            'pck': self._pck(results, distance),
            'oks_ap': oks_average_precision(results, distance, np.asarray(self.sigmas or USUAL_SIGMA)),
            'error': float(distance[visible].mean()) if visible.any() else float('nan'),
            'blind': self._pck(results, _distances(results['keypoints'], mean[None])),
            'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
            'images': images,
        }

    def _pck(self, results: Results, distance: np.ndarray) -> float:
        """Images whose torso is not visible, or has no length, do not count."""
        first, second = self.torso
        torso = np.linalg.norm(results['keypoints'][:, first] - results['keypoints'][:, second], axis=-1)
        counted = results['visible'] & (results['visible'][:, [first, second]].all(1) & (torso > 0))[:, None]
        return float(np.mean((distance <= ENOUGH * torso[:, None])[counted])) if counted.any() else float('nan')

    def check(self, data: Data) -> None:
        super().check(data)
        if not all(0 <= joint < len(self.joints) for joint in self.torso):
            raise CnnJaxError(f'torso: got {self.torso}; give the numbers of two of the {len(self.joints)} joints')

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        return f'{int(np.sum(example["visible"]))} joints'

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return f'{len(self.joints)} joints, score {100 * float(np.mean(outputs["score"])):.0f} %'

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`keypoints`: of each joint by name its place, (x, y) as shares of the sides of what the net is shown."""
        each = zip(self.joints, outputs['place'].tolist(), outputs['score'].tolist(), strict=True)
        return {'keypoints': {name: {'place': place, 'score': score} for name, place, score in each}}

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """x, y and the score of each joint."""
        found = answer.get('keypoints', {})
        cells: dict[str, Any] = {}
        for name in self.joints:
            one = found.get(name, {'place': ['', ''], 'score': ''})
            cells |= {f'{name} x': one['place'][0], f'{name} y': one['place'][1], f'{name} score': one['score']}
        return cells

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        distance = _distances(np.asarray(result['keypoints']), np.asarray(result['found']))[
            np.asarray(result['visible'])
        ]
        return f'{distance.mean():.1f} pixels away' if distance.size else 'nothing to find'


def task(
    joints: Sequence[str],
    *,
    torso: tuple[int, int],
    sigmas: Sequence[float] = (),
    loss_form: Literal['softmax', 'mse'] = 'softmax',
    sigma: float = 1.0,
) -> Pose:
    """Pose; see `Pose`.

    Raises:
        CnnJaxError: sigmas of another number, or a form of the loss that is not there.
    """
    if sigmas and len(sigmas) != len(joints):
        raise CnnJaxError(f'sigmas: got {len(sigmas)} for {len(joints)} joints; give one for each, or none')
    if loss_form not in ('softmax', 'mse'):
        raise CnnJaxError(f'loss_form: {loss_form!r} given; it is softmax or mse')
    return Pose(tuple(joints), torso, tuple(sigmas), loss_form, sigma)


def decode_maps(maps: jax.Array) -> dict[str, jax.Array]:
    """The highest place of each heat-map (batch, rows, columns, joints); see `Pose.read`. NaN scores 0."""
    count, rows, columns, joints = maps.shape
    flat = jnp.nan_to_num(maps, nan=-jnp.inf).reshape(count, -1, joints)
    best = jnp.argmax(flat, 1)  # (batch, joints)
    row, column = best // columns, best % columns
    framed = jnp.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)

    def near(down: int, across: int) -> jax.Array:
        """The neighbour of each highest place, (batch, joints); minus infinity beyond the border."""
        batch, joint = jnp.arange(count)[:, None], jnp.arange(joints)[None, :]
        return framed[batch, row + 1 + down, column + 1 + across, joint]

    def towards(before: jax.Array, after: jax.Array) -> jax.Array:
        inside = jnp.isfinite(before) & jnp.isfinite(after)
        return jnp.where(inside, 0.25 * jnp.sign(jnp.where(inside, after - before, 0)), 0)

    x = (column + 0.5 + towards(near(0, -1), near(0, 1))) / columns
    y = (row + 0.5 + towards(near(-1, 0), near(1, 0))) / rows
    total = jax.nn.logsumexp(flat, 1)
    around = jnp.stack([near(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)])
    score = jnp.exp(jax.nn.logsumexp(around, 0) - total)
    return {'place': jnp.stack([x, y], -1), 'score': jnp.clip(jnp.nan_to_num(score, nan=0.0), 0, 1)}


def oks_average_precision(results: Results, distance: np.ndarray, sigmas: np.ndarray) -> float:
    """COCO's AP of key points for one body an image: the mean over the levels of OKS, each with its precision-recall.

    With one body and one answer on each image, a true positive is an image whose OKS reaches the level; precision is
    interpolated at 101 recalls, as pycocotools does. OKS is the mean over the visible joints of
    exp(-d^2 / (2 area (2 sigma)^2)).

    distance: (images, joints), in pixels. sigmas: (joints,), or one for all.
    """
    visible = results['visible']
    there = visible.any(1)
    if not there.any():
        return float('nan')
    spread = 2 * np.maximum(results['area'], np.spacing(1))[:, None] * (2 * sigmas) ** 2
    closeness = np.where(visible, np.exp(-(distance**2) / spread), 0).sum(1) / np.maximum(visible.sum(1), 1)
    order = np.argsort(-results['found_score'].mean(1)[there], kind='stable')
    closeness = closeness[there][order]
    return float(np.mean([_average_precision(closeness >= level) for level in OKS_LEVELS]))


def _average_precision(found: np.ndarray) -> float:
    """Of answers by falling score, one for each thing to be found: precision at 101 recalls."""
    true = np.cumsum(found)
    precision = true / np.arange(1, len(found) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(true / len(found), np.linspace(0, 1, 101), side='left')
    return float(np.mean(np.where(places < len(found), best[np.minimum(places, len(found) - 1)], 0)))


def _distances(places: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Pixels between places (..., 2); infinite where an answer is not finite."""
    distance = np.linalg.norm(np.asarray(found, np.float64) - places, axis=-1)
    return np.where(np.isfinite(distance), distance, np.inf)


def _mean_pose(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Where each joint is in the mean, (joints, 2)."""
    weights = visible[..., None].astype(np.float64)
    return (weights * keypoints).sum(0) / np.maximum(weights.sum(0), 1)


def _area(batch: Batch) -> jax.Array:
    """Square pixels of the body, (batch,)."""
    if 'boxes' in batch:
        sides = batch['boxes'][:, 0, 2:] - batch['boxes'][:, 0, :2]
    else:
        seen = batch['visible'][..., None]
        low = jnp.min(jnp.where(seen, batch['keypoints'], jnp.inf), 1)
        high = jnp.max(jnp.where(seen, batch['keypoints'], -jnp.inf), 1)
        sides = jnp.where(jnp.isfinite(high - low), high - low, 0)
    return sides[:, 0] * sides[:, 1]


def _stride(batch: Batch, rows: int, columns: int) -> jax.Array:
    height, width = batch['image'].shape[1:3]
    return jnp.array([width / columns, height / rows], jnp.float32)


def _bumps(places: jax.Array, size: tuple[int, int], sigma: float) -> jax.Array:
    """Gaussian bumps (batch, rows, columns, joints) around places (batch, joints, 2) of a map."""
    across = jnp.arange(size[1])[None, None, :, None] - places[:, None, None, :, 0]
    down = jnp.arange(size[0])[None, :, None, None] - places[:, None, None, :, 1]
    return jnp.exp(-(across**2 + down**2) / (2 * sigma**2))
