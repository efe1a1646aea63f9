"""The task: where each joint of one body is."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.pipeline import Data
from cnn_jax.drawing.overlay import ANSWER, RIGHT, Overlay, beside
from cnn_jax.errors import CnnJaxError
from cnn_jax.statistics.metric import LOSS, Metric
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.explained import Explained, check_unit, strongest
from cnn_jax.tasks.pose import coco, heatmaps, page, similarity
from cnn_jax.tasks.results import Batch, Evaluation, Results
from cnn_jax.tasks.run import Run
from cnn_jax.tasks.task import Task

PCK = Metric('pck', 'joints found (PCK at 0.2)', 'points', True)
OKS = Metric('oks_ap', 'AP of key points (OKS)', 'points', True)
ERROR = Metric('error', 'mean distance in pixels', '', False)
BLIND = Metric('blind', 'joints found by the mean pose', 'points', True)
USUAL_SIGMA = 0.072  # of COCO's elbow, for joints that nobody has measured

LossForm = Literal['softmax', 'mse']


@dataclasses.dataclass(frozen=True)
class Pose(Task):
    """The joints of the one body on an image; the outputs are heat-maps (batch, rows, columns, joints).

    The headline is PCK: the share of the visible joints that are found, no further away than a fifth of the torso. The
    rule is FLIC's and LSP's (Sapp and Taskar 2013; Yang and Ramanan 2013). `blind` is that of the mean pose of the
    split.

    Attributes:
        joints: their names, in the order of the data.
        torso: the two joints whose distance is the torso's.
        sigmas: of each joint, how far apart people place it, for OKS (COCO's constants are those of its joints);
            empty: the same for all.
        loss_form: 'softmax', a cross-entropy over the places of a map, or 'mse', the squared distance to a bump, as
            published.
        sigma: of the bump, in places of the map.
        limbs: pairs of joints that pictures join by a line.
    """

    joints: tuple[str, ...]
    torso: tuple[int, int]
    sigmas: tuple[float, ...] = ()
    loss_form: LossForm = 'softmax'
    sigma: float = 1.0
    limbs: tuple[tuple[int, int], ...] = ()

    metrics: ClassVar[tuple[Metric, ...]] = (PCK, OKS, ERROR, BLIND, LOSS)
    truths: ClassVar[tuple[str, ...]] = ('keypoints', 'visible', 'area')
    places: ClassVar[tuple[str, ...]] = ('place',)
    shares: ClassVar[tuple[str, ...]] = ('place',)
    draws: ClassVar[bool] = True

    @property
    def arguments(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def fields(self, data: Data) -> Fields:
        count = len(self.joints)
        points = data.row_fields.get('keypoints', Field('float32'))._replace(shape=(count, 2))
        return {'keypoints': points, 'visible': Field('bool', (count,))}

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        """The mean over the joints that are visible and on the image; 0 where none is."""
        size, counted = outputs.shape[1:3], _counted(batch)
        if outputs.shape[-1] != counted.shape[-1]:
            raise CnnJaxError(
                f'task pose: the model gives {outputs.shape[-1]} heat-maps, the data has {counted.shape[-1]} joints; '
                'build it with as many key points'
            )
        places = heatmaps.places_on_map(batch['keypoints'], batch['image'].shape[1:3], size)
        if self.loss_form == 'softmax':
            right = heatmaps.shares(places, size, self.sigma)
            losses = -jnp.sum(right * jax.nn.log_softmax(outputs, axis=(1, 2)), (1, 2))  # (batch, joints)
        else:
            losses = jnp.mean((outputs - heatmaps.bumps(places, size, self.sigma)) ** 2, (1, 2))
        return jnp.sum(jnp.where(counted, losses, 0), -1) / jnp.maximum(jnp.sum(counted, -1), 1)

    def train_metrics(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        return {}

    def read(self, outputs: Any) -> dict[str, jax.Array]:
        """`place` (batch, joints, 2), (x, y) as shares of the image's sides, and `score` (batch, joints), 0 .. 1.

        See `heatmaps.decode_maps`.
        """
        return heatmaps.decode_maps(outputs, as_shares=self.loss_form == 'softmax')

    def results(self, outputs: Any, batch: Batch) -> dict[str, jax.Array]:
        """What is kept of each image: `keypoints`, `visible`, `area`; `found` (batch, joints, 2) and `found_score`.

        `area` is that of the body in square pixels, for OKS: the one that the data gives, else of its box if there is
        one, else of the box around its joints. `found` is in pixels.
        """
        height, width = batch['image'].shape[1:3]
        read = self.read(outputs)
        found = read['place'] * jnp.array([[[width, height]]], jnp.float32)
        kept = {name: batch[name] for name in ('keypoints', 'visible')}
        return {**kept, 'area': _area(batch), 'found': found, 'found_score': read['score']}

    def summarise(self, results: Results, data: Data) -> dict[str, float]:
        images, keypoints, visible = len(results['loss']), results['keypoints'], results['visible']
        distance = similarity.distances(keypoints, results['found'])
        blind = similarity.distances(keypoints, similarity.mean_pose(keypoints, visible)[None])
        score, sigmas = coco.body_score(results['found_score']), np.asarray(self.sigmas or (USUAL_SIGMA,))
        return {
            'pck': similarity.correct_keypoints(keypoints, visible, distance, self.torso),
            'oks_ap': similarity.average_precision(visible, distance, results['area'], score, sigmas),
            'error': float(distance[visible].mean()) if visible.any() else float('nan'),
            'blind': similarity.correct_keypoints(keypoints, visible, blind, self.torso),
            'loss': float(np.sum(results['loss'], dtype=np.float64) / images),
            'images': images,
        }

    def truth(self, example: Mapping[str, Any], class_names: Sequence[str]) -> str:
        count = int(np.sum(example['visible']))
        return f'{count} joint' + 's' * (count != 1)

    def answer(self, outputs: Any, class_names: Sequence[str]) -> str:
        return f'{len(self.joints)} joints, score {100 * float(np.mean(outputs["score"])):.0f} %'

    def decode(self, outputs: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """`keypoints`: of each joint by name its place, (x, y) in pixels, and its score."""
        each = zip(self.joints, outputs['place'].tolist(), outputs['score'].tolist(), strict=True)
        return {'keypoints': {name: {'place': place, 'score': score} for name, place, score in each}}

    def records(self, row: Mapping[str, Any], number: int, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """The pose on a picture as COCO's result of key points, with the name of the file; `image_id` is `number`."""
        found = [row['keypoints'][name] for name in self.joints] if 'keypoints' in row else []
        if not found:
            return []
        places, scores = (np.array([one[name] for one in found]) for name in ('place', 'score'))
        return [{**coco.result(number, places, float(coco.body_score(scores[None])[0])), 'file_name': row['file']}]

    def drawn(self, case: Case, class_names: Sequence[str]) -> np.ndarray:
        """The visible joints in green, the answers in orange."""
        right, answer = Overlay(case.image), Overlay(case.image)
        right.joints(case.result['keypoints'], RIGHT, limbs=self.limbs, seen=case.result['visible'])
        answer.joints(case.result['found'], ANSWER, limbs=self.limbs)
        return beside(right.pixels, answer.pixels)

    def details(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        shares = page.shares_found(evaluation.results, self.torso, evaluation.results['found']).at_headline
        each = zip(self.joints, shares.tolist(), strict=True)
        joints = {name: None if np.isnan(value) else value for name, value in each}
        return {**super().details(evaluation, data), 'pck_by_joint': joints}

    def sections(self, run: Run) -> list[str]:
        return page.sections(run, self.joints, self.torso)

    def columns(self, answer: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
        """x, y and the score of each joint."""
        found = answer.get('keypoints', {})
        cells: dict[str, Any] = {}
        for name in self.joints:
            one = found.get(name, {'place': ['', ''], 'score': ''})
            cells |= {f'{name} x': one['place'][0], f'{name} y': one['place'][1], f'{name} score': one['score']}
        return cells

    def explained(self, outputs: Any, unit: int | None, class_names: Sequence[str]) -> Explained:
        """The height of a joint's heat-map at its highest place; None: of the joint with the best score."""
        check_unit(unit, len(self.joints), f'a joint ({", ".join(self.joints)})')
        known = np.isfinite(outputs).all((0, 1))
        if not (known.any() if unit is None else known[unit]):
            raise CnnJaxError('no joint is there to explain: the outputs of the net are not finite')
        read = _decode_maps(outputs[None], as_shares=self.loss_form == 'softmax')
        found, place = np.asarray(read['score'][0]), np.asarray(read['place'][0])
        number = int(np.argmax(found)) if unit is None else unit
        across, down = 100 * place[number]
        about = f'{self.joints[number]}, score {100 * found[number]:.0f} %, {across:.0f} % across, {down:.0f} % down'
        what = 'the surest joint' if unit is None else self.joints[unit]
        return Explained(strongest(np.asarray(outputs), number), f'the heat-map of {what} at its peak', about)

    @property
    def likelihoods(self) -> Callable[[jax.Array], jax.Array]:
        """The share of each place of a map; of maps that are heights from 0 to 1, these."""
        if self.loss_form == 'softmax':
            return _shares
        return _heights

    def files(self, evaluation: Evaluation, data: Data) -> dict[str, Any]:
        """COCO's ground truth and results: pycocotools, with the same sigmas, gives the same AP of these."""
        return {
            'truth': coco.truths(evaluation.results, self.joints),
            'results': coco.answers(evaluation.results),
        }

    def result_answer(self, result: Mapping[str, Any], class_names: Sequence[str]) -> str:
        distance = similarity.distances(np.asarray(result['keypoints']), np.asarray(result['found']))
        seen = distance[np.asarray(result['visible'])]
        return f'{seen.mean():.1f} pixels away' if seen.size else 'nothing to find'


def task(
    joints: Sequence[str],
    *,
    torso: tuple[int, int],
    sigmas: Sequence[float] = (),
    loss_form: LossForm = 'softmax',
    sigma: float = 1.0,
    limbs: Sequence[tuple[int, int]] = (),
) -> Pose:
    """Pose; see `Pose`.

    Raises:
        CnnJaxError: a value that cannot be, named.
    """
    count = len(joints)
    if not count or len(set(joints)) < count:
        raise CnnJaxError(f'joints: got {tuple(joints)}; give the name of each joint once')
    if len(torso) != 2 or torso[0] == torso[1] or not all(0 <= joint < count for joint in torso):
        raise CnnJaxError(f'torso: got {tuple(torso)}; give two numbers of the {count} joints, from 0 on')
    if sigmas and (len(sigmas) != count or min(sigmas) <= 0):
        raise CnnJaxError(f'sigmas: got {tuple(sigmas)}; give one above 0 for each of the {count} joints, or none')
    if loss_form not in get_args(LossForm):
        raise CnnJaxError(f'loss_form: got {loss_form!r}; it is one of {", ".join(get_args(LossForm))}')
    if not sigma > 0:
        raise CnnJaxError(f'sigma: got {sigma}; it is above 0, in places of the heat-map')
    pairs = tuple((int(first), int(second)) for first, second in limbs)
    if not all(0 <= joint < count for pair in pairs for joint in pair):
        raise CnnJaxError(f'limbs: got {pairs}; give pairs of numbers of the {count} joints, from 0 on')
    return Pose(tuple(joints), (torso[0], torso[1]), tuple(sigmas), loss_form, sigma, pairs)


_decode_maps = jax.jit(heatmaps.decode_maps, static_argnames='as_shares')


def _shares(maps: jax.Array) -> jax.Array:
    return jax.nn.softmax(maps, axis=(1, 2))


def _heights(maps: jax.Array) -> jax.Array:
    return jnp.clip(maps, 0, 1)


def _counted(batch: Batch) -> jax.Array:
    """Which joints count in the loss, (batch, joints): those that are visible and on the image."""
    height, width = batch['image'].shape[1:3]
    x, y = batch['keypoints'][..., 0], batch['keypoints'][..., 1]
    return batch['visible'] & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)


def _area(batch: Batch) -> jax.Array:
    """Square pixels of the body, (batch,)."""
    if 'area' in batch:
        return batch['area']
    if 'boxes' in batch:
        sides = batch['boxes'][:, 0, 2:] - batch['boxes'][:, 0, :2]
    else:
        seen = batch['visible'][..., None]
        low = jnp.min(jnp.where(seen, batch['keypoints'], jnp.inf), 1)
        high = jnp.max(jnp.where(seen, batch['keypoints'], -jnp.inf), 1)
        sides = jnp.where(jnp.isfinite(high - low), high - low, 0)
    return sides[:, 0] * sides[:, 1]
