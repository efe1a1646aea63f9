"""The splits of a folder of images whose classes a label file tells; see `label_file` for the file."""

import logging
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.data.formats import folder_splits, hashes, label_file, sides, tree
from cnn_jax.data.formats.folder_splits import Division, Listing
from cnn_jax.data.formats.label_file import Labelled
from cnn_jax.data.formats.tree import Item
from cnn_jax.errors import DataError

log = logging.getLogger(__name__)


def list_labelled(root: Path, path: Path, division: Division, classes: Sequence[str] | None = None) -> Listing:
    """The images of a folder that a label file names, by split; their classes are its labels, sorted.

    A file without a column `split`, or with training images alone, is divided by the bytes of each image. Of `train`
    and `validation` alone `validation` is for testing, as with folders.

    Args:
        root: the folder; images in folders inside it too.
        path: the label file.
        division: where it has no test split.
        classes: in the order of their labels; None: sorted by name.

    Raises:
        DataError: the file or a row of it is not as it should be, or the classes are not those.
    """
    found = label_file.read(path, root)
    names = tuple(sorted({label for row in found.rows for label in row.labels}))
    if classes is not None:
        folder_splits.check_same(names, classes, f'the labels of {path}')
        names = tuple(classes)
    items = hashes.hashed(root, _match(root, path, found.rows))
    numbers = {name: number for number, name in enumerate(names)}
    labelled = []
    for item, row in zip(items, found.rows, strict=True):
        own = tuple(sorted(numbers[label] for label in row.labels))
        labelled.append(item._replace(label=own[0], labels=own if found.several else ()))
    splits = _split(labelled, found.rows, names, path)
    if splits is None:
        splits = folder_splits.divide(labelled, names, division, path, called='{}: the label {}')
    return folder_splits.listing_of(root, names, splits, several=found.several)


def _match(root: Path, path: Path, rows: Sequence[Labelled]) -> list[Item]:
    """The image of each row; images that no row names are counted, and said."""
    listed = tree.list_images(root, 0)
    there = {item.name: item for item in listed.items}
    # What other systems write: accents as marks of their own, backslashes between folders.
    plain = {unicodedata.normalize('NFC', name): item for name, item in there.items()}
    found = [
        there.get(row.file) or plain.get(unicodedata.normalize('NFC', row.file.replace('\\', '/'))) for row in rows
    ]
    if missing := [row for row, item in zip(rows, found, strict=True) if item is None]:
        raise label_file.not_there(path, root, missing, iter(there))
    items = [item for item in found if item is not None]
    lines: dict[str, int] = {}
    for item, row in zip(items, rows, strict=True):
        if lines.setdefault(item.name, row.line) != row.line:
            raise DataError(
                f'{path}, line {row.line}: {row.file} is the file of line {lines[item.name]}, spelled in another way; '
                'leave one of the rows'
            )
    unnamed = len(there) - len(items)
    if unnamed:
        log.warning('%s: images in %s that it does not name: %s; they are left out', path, root, f'{unnamed:,}')
    return items


def _split(
    items: Sequence[Item], rows: Sequence[Labelled], classes: Sequence[str], path: Path
) -> dict[str, list[Item]] | None:
    """The images by the split that the file gives; None where it gives no test split."""
    splits: dict[str, list[Item]] = {}
    for split in folder_splits.NAMES:
        if own := [item for item, row in zip(items, rows, strict=True) if row.split == split]:
            splits[split] = own
    if not splits:
        return None
    if 'train' not in splits:
        raise DataError(f'{path}: no row has the split train; there are {", ".join(splits)}')
    if 'test' not in splits and 'validation' in splits:
        log.info('%s: there is no test split: validation is for testing, as with folders', path)
        splits['test'] = splits.pop('validation')
    if 'test' not in splits:
        log.warning('%s: all rows have the split train: its images are divided', path)
        return None
    trained = {label for item in splits['train'] for label in item.classes}
    for split, own in splits.items():
        has = {label for item in own for label in item.classes}
        if strange := sorted(has - trained):
            raise DataError(
                f'{path}: the label {classes[strange[0]]} is in {split} and not in train; give it images there'
            )
        if missing := sorted(trained - has):
            shown = ', '.join(classes[label] for label in missing[: sides.NAMED])
            log.warning('%s: %s has no images of %d of %d classes: %s', path, split, len(missing), len(classes), shown)
    return splits
