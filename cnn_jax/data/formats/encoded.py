"""Sets of encoded images in ArrayRecord: rows are decoded when they are read, under a cap, and bad ones are counted."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.formats import crops, file_seals, image, view
from cnn_jax.data.formats.array_record import read_seal, reading
from cnn_jax.data.formats.bad_images import BadImages
from cnn_jax.data.formats.image_header import MAX_PIXELS, BadImage
from cnn_jax.data.formats.imports import import_once
from cnn_jax.data.formats.seal import Seal
from cnn_jax.errors import CnnJaxError, DataError

NOT_COUNTED = 'it is not counted'


@dataclass(frozen=True)
class Decoding:
    """How the rows of a set are decoded.

    `size` is that of every image; `crop` is what training reads at random, `resize` the short side for evaluation and
    `interpolation` the filter of that (training's is bilinear).
    More than the share `max_bad_images` of a split stops the run; unless it is 0, one bad image never does. `upright`:
    photographs are turned as their EXIF data says.

    Raises:
        CnnJaxError: a value out of range, named.
    """

    size: int = 224
    resize: int = 256
    crop: crops.Crop = crops.random_resized
    max_pixels: int = MAX_PIXELS
    max_bad_images: float = 0.001
    upright: bool = False
    interpolation: image.Interpolation = 'bilinear'

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.resize:
            raise CnnJaxError(
                f'image_size: got {self.size} with resize {self.resize}; it must be at least 1 and at most resize'
            )
        if not 0 <= self.max_bad_images <= 1:
            raise CnnJaxError(f'max_bad_images: got {self.max_bad_images}; it is a share, from 0 to 1')
        if self.interpolation not in image.FILTERS:
            raise CnnJaxError(f'interpolation: got {self.interpolation!r}; it is one of {", ".join(image.FILTERS)}')
        if self.max_pixels < 1:
            raise CnnJaxError(f'max_pixels: got {self.max_pixels}; it must be at least 1')

    def centre(self, encoded: bytes) -> np.ndarray:
        """An image as evaluation sees it, uint8 (size, size, 3): the one preparation of rows and of files.

        Raises:
            BadImage: cannot be decoded, or is too large.
        """
        return image.decode_centre(
            encoded,
            resize=self.resize,
            size=self.size,
            interpolation=self.interpolation,
            max_pixels=self.max_pixels,
            upright=self.upright,
        )

    def view(self, encoded: bytes) -> view.View:
        """Where what `centre` gives lies in the picture.

        Raises:
            BadImage: no image, or a too large one.
        """
        options = {'resize': self.resize, 'size': self.size, 'max_pixels': self.max_pixels, 'upright': self.upright}
        return view.centre(encoded, **options)


class Record(NamedTuple):
    """A row as it is stored."""

    encoded: bytes
    label: int
    name: str
    labels: tuple[int, ...]  # all that are right: one, but in ReaL and in multi-label sets none or several


class Part(NamedTuple):
    """Rows of a stored split that are a split of their own: their numbers there, in order, some perhaps repeated.

    `seal`: of the rows; None: it is that of the stored split.
    """

    name: str
    rows: Sequence[int]
    seal: Seal | None


Answer = Callable[[Record], dict[str, Any]]
"""What a row carries beside its image."""


def one_class(record: Record) -> dict[str, Any]:
    """'label': int."""
    return {'label': record.label}


def several_classes(record: Record, *, num_classes: int) -> dict[str, Any]:
    """'labels': bool (num_classes,), those that are there."""
    there = np.zeros(num_classes, bool)
    there[list(record.labels)] = True
    return {'labels': there}


class EncodedSource:
    """One split: source[i] -> {'image': uint8 (size, size, 3), 'label': int}, the centre of image i as in evaluation.

    A bad image is black there and not `readable`: evaluation leaves it out of its counts, and says how many these are.
    `read_random` is for training.

    Args:
        part: the rows of the stored split that this source is; None: all. Bad images are counted among these alone,
            and what stands in for one is one of these.
        answer: what a row carries beside its image.
        called: the name of the set in messages; None: that of its folder.
        num_bad: how many of the images were bad when they were stored.

    Raises:
        DataError: a file of the split is missing, another than was written, or unreadable.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        decoding: Decoding,
        *,
        part: Part | None = None,
        answer: Answer = one_class,
        called: str | None = None,
        num_bad: int = 0,
    ):
        self.folder, self.decoding, self.answer, self.num_bad = folder, decoding, answer, num_bad
        file_seals.check(folder, split)
        with reading(folder):
            import_once()
            import tensorflow_datasets as tfds

            builder: Any = tfds.builder_from_directory(folder)
            self._records = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
            stored = len(self._records)
            self._records[stored - 1]  # a file cut short fails here and not in the middle of a run
        self.split = split if part is None else part.name
        self._rows = np.arange(stored) if part is None else np.asarray(part.rows, int)
        self._first = _first_of_equals(self._rows)
        self.seal = (part and part.seal) or read_seal(folder, split) or Seal(stored, None)
        distinct = int(np.sum(self._first == np.arange(len(self))))
        self.bad_images = BadImages(f'{called or folder.parent.name} {self.split}', distinct, decoding.max_bad_images)
        _one_thread()

    def __len__(self) -> int:
        return len(self._rows)

    def names(self, rows: Sequence[int]) -> list[str]:
        """The files of some rows, as the set knows them."""
        return [record.name for start in range(0, len(rows), 256) for record in self.records(rows[start : start + 256])]

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return [self._centre(row, record) for row, record in zip(rows, self.records(rows), strict=True)]

    def read_random(
        self, rows: Sequence[int], *, epochs: Sequence[int], seed: int, size: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows as training sees them: a random box of each, a pure function of (seed, epoch, row), `size` to a side.

        For a bad image the next good one is taken, with its label and the box that (seed, epoch, row) gives there.
        """
        start = crops.generators(seed)
        return [
            self._random(row, lambda epoch=epoch, row=row: start(epoch, row), record, size or self.decoding.size)
            for row, epoch, record in zip(rows, epochs, self.records(rows), strict=True)
        ]

    def records(self, rows: Sequence[int]) -> list[Record]:
        """Rows as they are stored, nothing decoded."""
        if rows and not 0 <= min(rows) <= max(rows) < len(self):
            raise IndexError(f'rows {min(rows)} to {max(rows)} of {len(self)}')
        stored = self._rows[list(rows)].tolist()
        with reading(self.folder):
            return [_parse(record, row) for row, record in zip(stored, self._records.__getitems__(stored), strict=True)]

    def _centre(self, row: int, record: Record) -> dict[str, Any]:
        how = self.decoding
        try:
            pixels = how.centre(record.encoded)
        except BadImage as error:
            self._count_bad(row, f'{record.name}: {error}', NOT_COUNTED)
            return {'image': np.zeros((how.size, how.size, 3), np.uint8), **self.answer(record), 'readable': False}
        return {'image': pixels, **self.answer(record)}

    def _random(
        self, row: int, numbers: Callable[[], np.random.Generator], record: Record, size: int
    ) -> dict[str, Any]:
        how = self.decoding
        for other in range(row, row + len(self)):
            if other != row:
                (record,) = self.records([other % len(self)])
            try:
                header = image.read_header(record.encoded, max_pixels=how.max_pixels, upright=how.upright)
                box = how.crop(numbers(), header.height, header.width)
                pixels = image.decode_box(record.encoded, box, size=size, header=header)
            except BadImage as error:
                taken = 'the next good one stands in for it'
                self._count_bad(other % len(self), f'{record.name}: {error}', taken)
            else:
                return {'image': pixels, **self.answer(record)}
        raise DataError(f'no image of {self.split} can be decoded: {self.folder}; prepare the set again')

    def _count_bad(self, row: int, reason: str, instead: str) -> None:
        """Counts a bad image, once wherever it stands."""
        self.bad_images.add(int(self._first[row]), reason, instead=instead)


def _first_of_equals(rows: np.ndarray) -> np.ndarray:
    """For each place of a list the first one that holds the same number."""
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    return first[inverse]


def _parse(record: bytes, row: int) -> Record:
    import_once()
    from tensorflow_datasets.proto import tf_example_pb2

    example: Any = tf_example_pb2.Example.FromString(record)  # pyright: ignore[reportAttributeAccessIssue]
    feature = example.features.feature
    name = feature['file_name'].bytes_list.value[0].decode(errors='replace') if 'file_name' in feature else f'row {row}'
    label = feature['label' if 'label' in feature else 'original_label'].int64_list.value[0]
    several = next((name for name in ('labels', 'real_label') if name in feature), 'label')
    labels = tuple(feature[several].int64_list.value) if several != 'label' else (label,)
    return Record(feature['image'].bytes_list.value[0], label, name, labels)


@functools.cache
def _one_thread() -> None:
    """OpenCV keeps to the thread that calls it: many threads decode at once, and its own would only get in the way."""
    import cv2

    cv2.setNumThreads(1)
