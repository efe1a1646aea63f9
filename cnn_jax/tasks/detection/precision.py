"""Average precision as COCO defines it, by its own program, pycocotools; and its files of results."""

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.formats.annotations import present

MOST = 100  # detections of a class on an image that count, as in COCO
RECALLS = np.linspace(0, 1, 101)  # at which COCO takes the precision


class Precision(NamedTuple):
    """What pycocotools says of a split.

    Attributes:
        ap: over the IoUs 0.5, 0.55 .. 0.95, mean over the classes; NaN where there is no object.
        ap50, ap75: at one IoU.
        classes, classes50: `ap` and `ap50` of each class, (classes,), NaN for one without an object.
        curves: precision at `RECALLS` for the IoUs 0.5 and 0.75, (2, recalls, classes), NaN as there.
    """

    ap: float
    ap50: float
    ap75: float
    classes: np.ndarray
    classes50: np.ndarray
    curves: np.ndarray


def truths(results: Mapping[str, np.ndarray], class_names: Sequence[str]) -> dict[str, Any]:
    """The right boxes of a split in COCO's format: what pycocotools calls ground truth; an image's id is its row."""
    annotations = []
    for image, boxes, labels, crowds in zip(
        results['index'], results['boxes'], results['box_label'], results['crowd'], strict=True
    ):
        for place in np.flatnonzero(present(boxes)):
            box = xywh(boxes[place])
            annotations.append(
                {
                    'id': len(annotations) + 1,  # 0 would be read as no match
                    'image_id': int(image),
                    'category_id': int(labels[place]) + 1,
                    'bbox': box,
                    'area': box[2] * box[3],
                    'iscrowd': int(crowds[place]),
                }
            )
    return {
        'info': {},
        'images': [{'id': int(image)} for image in results['index']],
        'annotations': annotations,
        'categories': [{'id': number, 'name': name} for number, name in enumerate(class_names, 1)],
    }


def answers(results: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The detections of a split as COCO's results: image_id, category_id, bbox (left, top, width, height), score."""
    found = []
    for image, boxes, classes, scores in zip(
        results['index'], results['found_box'], results['found_class'], results['found_score'], strict=True
    ):
        found += [
            {
                'image_id': int(image),
                'category_id': int(classes[place]) + 1,
                'bbox': xywh(boxes[place]),
                'score': float(scores[place]),
            }
            for place in np.flatnonzero(scores > 0)
        ]
    return found


def measure(results: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Precision:
    """The average precision of the detections of a split, or of images drawn from it, some more than once."""
    return Matched(results, class_names).precision()


class Matched:
    """The detections of a split matched with its objects, which pycocotools does image by image.

    What follows, precision and recall over all images, takes a fraction of that time: it is done for images drawn from
    the split too, without matching anew.
    """

    def __init__(self, results: Mapping[str, np.ndarray], class_names: Sequence[str]):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        self._images = len(results['index'])
        results = {**results, 'index': np.arange(self._images)}  # an image that is drawn twice counts as two
        given, found = truths(results, class_names), answers(results)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            truth: Any = COCO()
            truth.dataset = given
            truth.createIndex()
            guess: Any = truth.loadRes(found) if found else COCO()
            if not found:
                guess.dataset = {**given, 'annotations': []}
                guess.createIndex()
            self._evaluator: Any = COCOeval(truth, guess, 'bbox')
            self._evaluator.params.areaRng, self._evaluator.params.areaRngLbl = [[0, 1e10]], ['all']
            self._evaluator.params.maxDets = [MOST]
            self._evaluator.evaluate()
        self._by_class = np.array(self._evaluator.evalImgs, object).reshape(len(class_names), self._images)

    def precision(self, rows: np.ndarray | None = None) -> Precision:
        """The average precision over the images at some places of the split, which may repeat; None: over all."""
        rows = np.arange(self._images) if rows is None else rows
        evaluator = self._evaluator
        evaluator.params.imgIds = evaluator._paramsEval.imgIds = list(range(len(rows)))
        evaluator.evalImgs = self._by_class[:, rows].ravel().tolist()
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator.accumulate()
        return _read(np.asarray(evaluator.eval['precision'])[..., 0, -1])  # (IoUs, recalls, classes)


def _read(precision: np.ndarray) -> Precision:
    """pycocotools has -1 for a class without an object."""
    known = np.where(precision < 0, np.nan, precision)
    by_iou = known.mean(1)  # (IoUs, classes)

    def mean(values: np.ndarray) -> float:
        return float(np.nanmean(values)) if np.isfinite(values).any() else float('nan')

    return Precision(mean(by_iou), mean(by_iou[0]), mean(by_iou[5]), by_iou.mean(0), by_iou[0], known[[0, 5]])


def xywh(box: Iterable[float]) -> list[float]:
    """COCO's form of a box (left, top, right, bottom): left, top, width, height."""
    left, top, right, bottom = (float(edge) for edge in box)
    return [left, top, right - left, bottom - top]
