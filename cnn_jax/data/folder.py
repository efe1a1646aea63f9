"""A folder of your own images: `folder/<class>/name.jpg`, with or without folders of splits above, or with a CSV."""

import collections
import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnn_jax.data.formats import bad_images, crops, encoded, folder_splits, remembered, seal, shards, sides
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.data.formats.fields import Field
from cnn_jax.data.formats.folder_splits import Listing
from cnn_jax.data.formats.image_header import MAX_PIXELS
from cnn_jax.data.formats.labelled import list_labelled
from cnn_jax.data.formats.sides import Division, Held
from cnn_jax.data.formats.tree import Item
from cnn_jax.data.held_out import num_folds
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import CnnJaxError, DataError

UNEQUAL = 5  # times as many images in the largest class as in the smallest: this is said

Say = Callable[[str], None]

log = logging.getLogger(__name__)


def load(
    *,
    batch_size: int,
    folder: str,
    labels: str = '',
    image_size: int = 224,
    resize: int = 256,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    validation: float = 0.1,
    balanced: bool = False,
    crop: crops.Crop = crops.random_resized,
    max_bad_images: float = 0.001,
    max_pixels: int = MAX_PIXELS,
    upright: bool = False,
    repeats: int = 1,
) -> Data:
    """The images of `folder`, uint8 (image_size, image_size, 3): a random crop in training, else the centre.

    Either `folder/train/<class>/*` and `folder/test/<class>/*` (or `val`, or both: then `val` is the split
    'validation'), or `folder/<class>/*`, of which each image is kept for testing with the probability `test_fraction`,
    of a class at least one: of 30 images it may be 2 or 10. `split_seed` and each file's bytes decide which: an image
    keeps its side whatever comes, goes or is renamed beside it. Images in folders inside a class's folder are of that
    class. Or `labels` is a CSV file that names images of the folder and their classes, see `label_file`; where some
    have several, a row carries `labels` bool (classes,).

    Without a validation split of its own, about the share `validation` of the training images is held out, again by
    each file's bytes; 0: none. `balanced`: images of smaller classes stand several times in an epoch, so that it has
    as many of each class as of the largest; they are cropped anew each time.

    This source alone lists its files at once, and reads each once for its hash, since nothing else knows the classes.
    A run that was trained remembers them: its model can be made where the images are gone. An ArrayRecord copy is made
    below `data_dir` at first use, and again when the files have changed; it is the same for all shares and folds.
    upright: photographs are turned as their EXIF data says.

    Raises:
        DataError: no folder, no images, a class without any, or a class that only the test split has; a label file
            that is not as it should be.
        CnnJaxError: a share that is none; `balanced` where images have several classes.
    """
    decoding = Decoding(image_size, resize, crop, max_pixels, max_bad_images, upright)
    division = Division(test_fraction, split_seed)
    root, file = remembered.path_of(folder), _label_path(labels, folder)
    identity = '\n'.join([f'{root.resolve()}', f'{test_fraction}', f'{split_seed}', *[str(file)][: file is not None]])
    num_folds(validation)  # a share that is none is a mistake before the files are read
    own = _Folder(
        root=root,
        name=f'cnn_jax_folder_{hashlib.sha256(identity.encode()).hexdigest()[:8]}',
        list_files=functools.partial(_list_files, root, file, division),
        listing=_listing(functools.partial(_list_files, root, file, division), bool(labels)),
        decoding=decoding,
        share=validation,
        balanced=balanced,
    )
    if balanced and own.listing.several:
        raise CnnJaxError(
            f'balanced: images of {root.name} have several labels, so none belongs to one class alone; leave it out '
            '(--config.balance=none)'
        )
    return own.data(batch_size=batch_size, repeats=repeats)


def say_unequal(data: Data) -> None:
    """Says where the largest class has far more training images than the smallest, and what to do: before training."""
    counts = data.class_counts
    if counts and remembered.current() is None and max(counts) > UNEQUAL * min(counts):
        most, least = (data.class_names[counts.index(count)] for count in (max(counts), min(counts)))
        log.warning(
            '%s: %s training images of %s, %s of %s: the small classes count little; --config.balance=sampling shows '
            'them as often, --config.balance=weights counts them as much', data.name, f'{max(counts):,}', most,
            f'{min(counts):,}', least,
        )  # fmt: skip


def _label_path(labels: str, folder: str) -> Path | None:
    """The label file as it is typed, else inside the folder, which is said; None: there is none."""
    if not labels:
        return None
    typed = remembered.path_of(labels)
    inside = remembered.path_of(folder) / labels
    if not typed.exists() and inside.is_file():
        log.info('labels: %s is not there, %s is taken', typed, inside)
        return inside
    return typed


def _list_files(root: Path, file: Path | None, division: Division, classes: Sequence[str] | None) -> Listing:
    if file is None:
        return folder_splits.list_folder(root, division, classes)
    return list_labelled(root, file, division, classes)


def _listing(list_files: Callable[[Sequence[str] | None], Listing], labelled: bool) -> Listing:
    """The folder as it is; of a run that was trained, in its classes' order, or as it remembers it.

    A class that is gone or new is no error here: who opens the images is told.
    """
    known = remembered.current()
    if known is None:
        return list_files(None)
    try:
        found = list_files(known.class_names)
        if not known.fields or found.several == ('labels' in known.fields):
            return found
        log.info('the images of this run are not as they were: the number of labels that they may have is another')
    except DataError as error:
        log.info('the images of this run are not as they were: %s', error)
        if labelled and not known.fields:
            log.warning('the run does not say whether its images have several labels; one each is taken')
    return Listing(known.class_names, dict(known.splits), None, 'labels' in known.fields)


@dataclass(frozen=True)
class _Folder:
    """A folder that is listed: what of it is for what, and its stored copy, named `name`."""

    root: Path
    name: str
    list_files: Callable[[Sequence[str] | None], Listing]
    listing: Listing
    decoding: Decoding
    share: float
    balanced: bool

    def data(self, *, fold: int = 0, batch_size: int, repeats: int) -> Data:
        """The description, with the images of a fold held out."""
        listing, size = self.listing, self.decoding.size
        held = None if listing.items is None else self._hold_out(listing, fold)

        def found() -> tuple[Listing, Held | None]:
            if listing.items is not None:
                return listing, held
            again = self.list_files(listing.classes)
            if again.several != listing.several:
                now = (
                    'have several labels now and had one each'
                    if again.several
                    else 'have one label each now and had several'
                )
                raise DataError(f'images of {self.root} {now} when the run was trained; put its label file back')
            return again, self._hold_out(again, fold)

        def open_split(split: str, data_dir: Path) -> Source:
            now, parts = found()
            return self._open(split, self._build(now, data_dir, log.info, name_bad=False), now, parts)

        def prepare(data_dir: Path, say: Say) -> None:
            say(f'folder: {len(listing.classes):,} classes in {self.root}')
            now, parts = found()
            where = self._build(now, data_dir, say)
            for split in splits:
                say(f'folder {split}: {len(self._open(split, where, now, parts)):,} images in {where}')

        splits = self._counts(listing, held)
        folded = bool(self.share) and 'validation' in splits and 'validation' not in (listing.items or {})
        made = Data(
            name=f'folder {self.root.name}',
            batch_size=batch_size,
            splits=splits,
            class_names=listing.classes,
            fields={'labels': Field('bool', (len(listing.classes),))} if listing.several else None,
            image_shape=(size, size, 3),
            open=open_split,
            prepare=prepare,
            decode=self.decoding.centre,
            streamed=True,
            repeats=repeats,
            class_counts=self._class_counts(listing, held),
            class_sizes=self._class_sizes(listing, held),
        )
        if not folded:
            return made
        other = functools.partial(self.data, batch_size=batch_size, repeats=repeats)
        return replace(made, folds=num_folds(self.share), fold=fold, make_fold=lambda fold: other(fold=fold))

    def _hold_out(self, listing: Listing, fold: int) -> Held | None:
        """The rows of the training images of each side; None where all are to train on."""
        assert listing.items is not None
        if not self.share or 'validation' in listing.items:
            return None
        warn = functools.partial(log.warning, '%s: %s', self.root)
        held = sides.hold_out(listing.items['train'], self.share, fold, warn, listing.classes)
        if not held.validation:
            warn('no class has two images to train on: there is no validation split')
        return held if held.validation else None

    def _counts(self, listing: Listing, held: Held | None) -> dict[str, int]:
        if listing.items is None:
            return dict(listing.counts)
        items = listing.items['train']
        train = range(len(items)) if held is None else held.train
        sizes = {'train': len(sides.balance(train, items) if self.balanced else train)}
        if held is not None:
            sizes['validation'] = len(held.validation)
        return sizes | {split: count for split, count in listing.counts.items() if split != 'train'}

    def _class_counts(self, listing: Listing, held: Held | None) -> tuple[int, ...]:
        if listing.items is None or listing.several:
            return ()
        items = listing.items['train']
        return _counted(items if held is None else [items[row] for row in held.train], listing)

    def _class_sizes(self, listing: Listing, held: Held | None) -> dict[str, tuple[int, int]]:
        """The smallest and the largest class of each split; balanced training images have as many of each."""
        if listing.items is None:
            return {}
        parts = dict(listing.items)
        if held is not None:
            parts |= {'validation': [parts['train'][row] for row in held.validation]}
            parts |= {'train': [parts['train'][row] for row in held.train]}
        counts = {split: _counted(items, listing) for split, items in parts.items()}
        return {
            split: (min(found), max(found)) for split, found in counts.items() if split != 'train' or not self.balanced
        }

    def _build(self, listing: Listing, data_dir: Path, say: Say, *, name_bad: bool = True) -> Path:
        assert listing.items is not None
        return shards.build(
            self.name, data_dir, listing.items, class_names=listing.classes, say=say, decoding=self.decoding,
            called=str(self.root), name_bad=name_bad,
        )  # fmt: skip

    def _open(self, split: str, where: Path, listing: Listing, held: Held | None) -> EncodedSource:
        several = functools.partial(encoded.several_classes, num_classes=len(listing.classes))
        part = self._part(split, listing, held)
        stored = 'train' if part is not None else split
        answer = several if listing.several else encoded.one_class
        assert listing.items is not None
        items = listing.items[stored]
        bad = bad_images.bad_in(where, stored)
        names = (item.name for item in (items if part is None else [items[row] for row in {*part.rows}]))
        num_bad = bad_images.count_of(bad, names) if bad else 0
        return EncodedSource(
            where, stored, self.decoding, part=part, answer=answer, called=str(self.root), num_bad=num_bad
        )

    def _part(self, split: str, listing: Listing, held: Held | None) -> encoded.Part | None:
        """The rows of the stored training split that a split is; None where it is stored as a whole."""
        assert listing.items is not None
        items, own = listing.items['train'], None
        if held is not None and split in ('train', 'validation'):
            own = held.train if split == 'train' else held.validation
        balanced = self.balanced and split == 'train'
        if own is None:
            return encoded.Part(split, sides.balance(range(len(items)), items), None) if balanced else None
        numbers = [_number(items[row], listing.classes) for row in own]
        rows = sides.balance(own, items) if balanced else own
        return encoded.Part(split, rows, seal.of_numbers(len(own), numbers))


def _counted(items: Sequence[Item], listing: Listing) -> tuple[int, ...]:
    """How many of the images are of each class."""
    counts = collections.Counter(label for item in items for label in item.classes)
    return tuple(counts[label] for label in range(len(listing.classes)))


def _number(item: Item, classes: Sequence[str]) -> int:
    """The number of an image in the seal of a part of a split, from the hash of its bytes."""
    return seal.row_number(item.mark.encode(), *(classes[label].encode() for label in item.classes))
