"""Annotations in a large JSON file, COCO's or of a like form: what a task needs of it is kept beside it."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from cnn_jax.errors import DataError, check_shortage
from cnn_jax.files.whole import write_whole

FORM = 1  # of what is kept
AGAIN = 'unpack annotations_trainval2017.zip again'
TOUCHING = 1.0  # pixels that a box may reach beyond its image: COCO rounds

Entry = list[Any]

log = logging.getLogger(__name__)


class BadAnnotation(ValueError):
    """An annotation that is not as its set writes it."""


def read_entries(
    file: Path,
    kind: str,
    pick: Callable[[Mapping[str, Any]], list[Entry]],
    *,
    where: str,
    again: str = AGAIN,
    form: str = 'COCO',
) -> list[Entry]:
    """What `pick` takes of an annotation file, in JSON's types; kept beside it, for the file takes gigabytes to read.

    Args:
        kind: for the name of what is kept.
        where: what to do where the file is not there, for the message.
        again: what to do where it is damaged.
        form: whose form it has.

    Raises:
        DataError: the file cannot be read, or is no annotation file of that form: with the image or annotation.
    """
    try:
        found = file.stat()
    except OSError as error:
        check_shortage(error)
        raise DataError(f'{file} cannot be read: {error.strerror}; {where}') from error
    kept = file.with_name(f'{file.stem}.{kind}.{FORM}-{found.st_size}-{found.st_mtime_ns}.json')
    try:
        return json.loads(kept.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:  # not there yet, or not whole
        check_shortage(error)
    entries = _read(file, pick, again, form)
    try:
        write_whole(kept, json.dumps(entries))
    except OSError as error:
        check_shortage(error)
        log.warning('%s cannot be kept (%s); the next start reads all of %s again', kept, error.strerror, file.name)
    return entries


def _read(file: Path, pick: Callable[[Mapping[str, Any]], list[Entry]], again: str, form: str) -> list[Entry]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        check_shortage(error)
        raise DataError(f'{file} is no JSON file: {" ".join(str(error).split())[:120]}; {again}') from error
    try:
        entries = pick(found)
    except BadAnnotation as error:
        raise DataError(f'{file}: {error}; {again}') from error
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(f'{file} has not the form of {form}: {type(error).__name__} {error}; {again}') from error
    if not entries:
        raise DataError(f'{file} has nothing to learn from; {again}')
    return entries


def images_of(found: Mapping[str, Any]) -> dict[int, tuple[str, int, int]]:
    """The name, width and height of each image by its number.

    Raises:
        BadAnnotation: a number twice, or a name that is a path.
    """
    images: dict[int, tuple[str, int, int]] = {}
    for one in found['images']:
        name, number = one['file_name'], one['id']
        if number in images:
            raise BadAnnotation(f'image {number} is there twice')
        if PurePath(name).name != name or '\\' in name:
            raise BadAnnotation(f'image {number} has the name {name[:80]!r}, which is a path')
        images[number] = (name, int(one['width']), int(one['height']))
    return images


def image_of(annotation: Mapping[str, Any], images: Mapping[int, tuple[str, int, int]]) -> tuple[str, int, int]:
    """The image of an annotation; BadAnnotation where there is none."""
    number = annotation['image_id']
    if number not in images:
        raise BadAnnotation(f'annotation {annotation["id"]} is of image {number}, which is not there')
    return images[number]


def box_of(annotation: Mapping[str, Any], sides: Sequence[int]) -> list[float] | None:
    """(left, top, right, bottom) within (width, height) `sides`; None of a box without area, which COCO has few of.

    Raises:
        BadAnnotation: no box of four numbers, or one that is not on its image.
    """
    box = annotation['bbox']
    if len(box) != 4 or not all(isinstance(value, int | float) and math.isfinite(value) for value in box):
        raise BadAnnotation(f'annotation {annotation["id"]} has no box of four numbers: {str(box)[:60]}')
    left, top, width, height = map(float, box)
    low, high = min(left, top), max(left + width - sides[0], top + height - sides[1])
    if width < 0 or height < 0 or low < -TOUCHING or high > TOUCHING:
        shown = ' '.join(f'{value:g}' for value in box)
        raise BadAnnotation(f'annotation {annotation["id"]}: box {shown} on {sides[0]} x {sides[1]} pixels')
    edges = [max(left, 0.0), max(top, 0.0), min(left + width, sides[0]), min(top + height, sides[1])]
    return edges if edges[2] > edges[0] and edges[3] > edges[1] else None
