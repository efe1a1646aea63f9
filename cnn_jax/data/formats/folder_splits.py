"""The splits of a folder of images: as its own folders say, or divided by the bytes of each file."""

import collections
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cnn_jax.data.formats import hashes, sides, tree
from cnn_jax.data.formats.sides import NAMED, Division
from cnn_jax.data.formats.tree import Item
from cnn_jax.errors import DataError

# What people call the folders of the splits, in any case.
NAMES = {
    'train': ('train', 'training'),
    'validation': ('val', 'valid', 'validation'),
    'test': ('test', 'testing'),
}

log = logging.getLogger(__name__)


class Listing(NamedTuple):
    """The classes of a folder, and the images of each split; `items` is None where they were not looked at.

    `several`: an image may be of several classes.
    """

    classes: tuple[str, ...]
    counts: dict[str, int]
    items: dict[str, list[Item]] | None
    several: bool = False


def list_folder(root: Path, division: Division, classes: Sequence[str] | None = None) -> Listing:
    """The images of a folder, by split.

    Args:
        root: holds class folders, or folders of splits that hold them.
        division: where there is no folder of a test split.
        classes: in the order of their labels; None: sorted by name.

    Raises:
        DataError: the classes are not those, or are not the same in all splits, or have no images.
    """
    found = _split_folders(root)
    whole = found.get('train', root)
    own = _classes_in(whole, classes)
    if len(own) < 2:
        raise DataError(f'class folders in {whole}: {len(own)}, needed are at least 2: {whole}/<class>/<image>.jpg')
    if 'test' in found:
        listed = {split: _list_split(folder, own, split) for split, folder in found.items()}
        hashed = iter(hashes.hashed(root, [item for items in listed.values() for item in items]))
        splits = {split: [next(hashed) for _ in items] for split, items in listed.items()}
    else:
        splits = divide(hashes.hashed(root, tree.list_classes(whole, own)), own, division, whole)
    _say_folders_inside(root, [item for items in splits.values() for item in items])
    return listing_of(root, own, splits)


def listing_of(
    root: Path, classes: tuple[str, ...], splits: dict[str, list[Item]], *, several: bool = False
) -> Listing:
    """The listing of these images; says where the same bytes are in two splits, or are of two classes."""
    _say_shared(root, splits)
    _say_contradictions(root, classes, [item for items in splits.values() for item in items])
    return Listing(classes, {split: len(items) for split, items in splits.items()}, splits, several)


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders of the splits; none where the folders are classes. Of `train` and `val` alone `val` is for testing.

    A folder with the name of a split that holds images itself is a class of that name, or a test set without labels.
    """
    folders = tree.class_folders(root)
    found = {split: [name for name in folders if name.lower() in names] for split, names in NAMES.items()}
    others = [name for name in folders if not any(name in names for names in found.values())]
    train = [name for name in found['train'] if tree.class_folders(root / name)]
    for name in others if train else ():
        if {*tree.class_folders(root / name)} & {*tree.class_folders(root / train[0])}:
            raise DataError(f'{root / name} has the classes of {train[0]} and no name of a split; call it val or test')
    if not train or any(tree.has_images(root / name) for name in others):
        return {}
    if others:
        log.warning('%s: %s hold no images and are left out', root, ', '.join(others[:NAMED]))
    for split, names in found.items():
        if len(names) > 1:
            raise DataError(f'{root} has {" and ".join(names)}, which are both names of the {split} split; keep one')
    places = {split: root / names[0] for split, names in found.items() if names}
    for split in ('validation', 'test'):
        if split in places and not tree.class_folders(places[split]):
            log.warning('%s has no class folders, so its images have no labels: it is left out', places.pop(split))
    if 'validation' in places and 'test' not in places:
        places['test'] = places.pop('validation')
    if 'test' not in places:
        log.warning('%s has no folder of a test split: the images of %s are divided', root, places['train'].name)
    return places


def _classes_in(folder: Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    there = tree.class_folders(folder)
    if classes is None:
        return tuple(there)
    check_same(there, classes, f'the class folders in {folder}')
    return tuple(classes)


def check_same(there: Sequence[str], classes: Sequence[str], what: str) -> None:
    """Raises DataError where the classes that are there are not those that a run was trained on."""
    if different := sorted({*there} ^ {*classes}):
        raise DataError(
            f'{what} are not those that the run was trained on: {", ".join(different[:NAMED])} '
            f'{"is" if len(different) == 1 else "are"} in one only; labels belong to names: give the classes their '
            'names again, or train anew'
        )


def _list_split(folder: Path, classes: tuple[str, ...], split: str) -> list[Item]:
    """The images of one split; only that for training needs all classes."""
    if split == 'train':
        return tree.list_classes(folder, classes)
    there = [name for name in tree.class_folders(folder) if tree.has_images(folder / name)]
    if strange := sorted({*there} - {*classes}):
        raise DataError(f'{folder} has the class {strange[0]}, which the training images have not; make them the same')
    if missing := [name for name in classes if name not in there]:
        shown = ', '.join(missing[:NAMED]) + (', ...' if len(missing) > NAMED else '')
        log.warning('%s has no images of %d of %d classes: %s', folder, len(missing), len(classes), shown)
    items = tree.list_classes(folder, there)
    return [item._replace(label=classes.index(there[item.label])) for item in items]


def divide(
    items: list[Item],
    classes: tuple[str, ...],
    division: Division,
    root: Path,
    *,
    called: str = 'the class folder {}/{}',
) -> dict[str, list[Item]]:
    """Images whose place is below the share are for testing; a class that is on one side only lends one image.

    called: how a class is called in a message, from `root` and its name.

    Raises:
        DataError: a class with one image, in a set whose images are of one class each.
    """
    places = [division.place(item) for item in items]
    found = sides.choose(items, [at < division.test_fraction for at in places], places)
    if found.whole and not any(item.labels for item in items):
        where = called.format(root, classes[found.whole[0]])
        raise DataError(f'{where} has one image (copies count once); give it two, one for testing')
    sides.say_lent(found, classes, lambda line: log.warning('%s: %s', root, line), 'test')
    return {
        'train': [item for number, item in enumerate(items) if number not in found.chosen],
        'test': [item for number, item in enumerate(items) if number in found.chosen],
    }


def _say_shared(root: Path, splits: dict[str, list[Item]]) -> None:
    """Warns where the same bytes are in training and in another split."""
    train = collections.Counter(item.mark for item in splits['train'])
    for split, items in splits.items():
        shared = [item.name for item in items if item.mark in train] if split != 'train' else []
        if shared:
            log.warning(
                '%s: %s of %s %s images have the bytes of a training image, such as %s: what is measured there is '
                'too good', root, f'{len(shared):,}', f'{len(items):,}', split, shared[0],
            )  # fmt: skip


def _say_contradictions(root: Path, classes: tuple[str, ...], items: list[Item]) -> None:
    """Warns where the same bytes stand in two classes."""
    labels: dict[str, set[tuple[int, ...]]] = {}
    for item in items:
        labels.setdefault(item.mark, set()).add(item.classes)
    twice = [found for found in labels.values() if len(found) > 1]
    if twice:
        names = ' and '.join('|'.join(classes[label] for label in own) for own in sorted(twice[0]))
        log.warning('%s: images in more than one class with the same bytes: %s, one in %s', root, len(twice), names)


def _say_folders_inside(root: Path, items: list[Item]) -> None:
    """Warns where folders of splits stand inside those of classes."""
    inside = {part for item in items for part in Path(item.name).parts[1:-1] if part.lower() in NAMES['train']}
    if inside:
        log.warning(
            '%s: there are folders called %s inside the class folders, and their images are taken as any of the class; '
            'folders of splits stand above the classes: %s/train/<class>', root, inside.pop(), root,
        )  # fmt: skip
