"""What the page of a pose shows: the joints that are found for any distance, and each joint."""

from typing import NamedTuple

import numpy as np

from cnn_jax.drawing import charts
from cnn_jax.drawing.page import figure_html, section
from cnn_jax.tasks import cases
from cnn_jax.tasks.pose import similarity
from cnn_jax.tasks.results import Results
from cnn_jax.tasks.run import Run

REACHES = np.linspace(0, 0.5, 51)  # of the torso


class Shares(NamedTuple):
    """The share of the joints that are within each reach of `REACHES`: of each joint, and of all, as the headline is.

    Attributes:
        each: (reaches, joints), NaN for one that counts nowhere.
        all: (reaches,), NaN where none counts.
    """

    each: np.ndarray
    all: np.ndarray

    @property
    def at_headline(self) -> np.ndarray:
        """Those of each joint at the reach of the headline."""
        return self.each[int(np.argmin(np.abs(REACHES - similarity.ENOUGH)))]


def shares_found(results: Results, torso: tuple[int, int], found: np.ndarray) -> Shares:
    """The joints that are found. found: the answers, (images, joints, 2) or one for all."""
    keypoints, visible = results['keypoints'], results['visible']
    relative, counted = similarity.relative_distances(keypoints, visible, similarity.distances(keypoints, found), torso)
    near = np.stack([np.sum(counted & (relative <= reach), 0) for reach in REACHES])  # (reaches, joints)
    there = np.sum(counted, 0)
    return Shares(_share(near, there), _share(near.sum(1), there.sum()))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def sections(run: Run, joints: tuple[str, ...], torso: tuple[int, int]) -> list[str]:
    """The sections of the page that are the pose's own."""
    if not run.results:
        return []
    each = shares_found(run.results, torso, run.results['found'])
    mean_pose = similarity.mean_pose(run.results['keypoints'], run.results['visible'])
    blind = shares_found(run.results, torso, mean_pose[None])
    means = {'all joints': each.all, 'the mean pose': blind.all}
    labels = ('distance in % of the torso', 'joints found in %')
    of_each = {'the net': each.at_headline, 'the mean pose': blind.at_headline}
    of_joints = charts.by_class(joints, of_each, label='PCK in %')
    shown = [
        figure_html(
            run.workdir, 'pck', 'Joints found for any distance',
            charts.lines(100 * REACHES, means, axes_labels=labels, thin=each.each.T), run.record,
            note='Thin: each joint. The headline is at 20 %.',
        ),
        figure_html(run.workdir, 'joints', 'Each joint, at 20 % of the torso', of_joints, run.record),
    ]  # fmt: skip
    return [section('What is found', '', f'<div class="figures">{"".join(shown)}</div>'), *cases.sections(run)]
