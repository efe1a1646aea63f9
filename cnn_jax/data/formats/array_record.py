"""Data sets of ours on disk: TFDS folders in ArrayRecord form, images as PNG, written and read without TensorFlow.

A set stands in `data_dir/<name>/<version>/`, whole or not at all: it is built in a folder beside it and then renamed.
"""

import contextlib
import importlib.util
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.formats import file_seals
from cnn_jax.data.formats.image_header import check_png
from cnn_jax.data.formats.imports import import_once
from cnn_jax.data.formats.seal import Seal, number_of_array, of_numbers
from cnn_jax.errors import DataError, ShortageError, check_shortage
from cnn_jax.files import lock as file_lock
from cnn_jax.files.whole import write_whole

VERSION = '1.0.0'
SEALS = 'seals.json'  # in the set's folder
Examples = Callable[[], Iterable[tuple[np.ndarray, int]]]
"""Gives the (image, label) pairs of one split in order; image uint8 (height, width, channels)."""


class ArrayRecordSource:
    """One split of a set of ours: source[i] -> {'image': uint8 (h, w, c), 'label': int}, in the order it was written.

    Raises:
        DataError: a file of the split is missing, another than was written, or unreadable.
    """

    def __init__(self, folder: Path, split: str):
        self.folder, self.split = folder, split
        file_seals.check(folder, split)
        with reading(folder):
            import_once()
            import tensorflow_datasets as tfds

            builder: Any = tfds.builder_from_directory(folder)
            raw = tfds.decode.DeserializeMethod.RAW_BYTES  # TFDS's own decoding takes 60 microseconds a row, ours 20
            self._records = builder.as_data_source(split, deserialize_method=raw)
            self._records[len(self) - 1]  # a file cut short fails here and not in the middle of a run
        self.seal = read_seal(folder, split)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        if rows and not 0 <= min(rows) <= max(rows) < len(self):
            raise IndexError(f'rows {min(rows)} to {max(rows)} of {len(self)}')
        with reading(self.folder):
            return [_decode(record) for record in self._records.__getitems__(rows)]


def _decode(record: bytes) -> dict[str, Any]:
    # Imported here, and not kept by the source, so that a source can be pickled for a worker process.
    import_once()
    import cv2
    from tensorflow_datasets.proto import tf_example_pb2

    example: Any = tf_example_pb2.Example.FromString(record)  # pyright: ignore[reportAttributeAccessIssue]
    feature = example.features.feature
    encoded = feature['image'].bytes_list.value[0]
    check_png(encoded)
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError('an image cannot be decoded')
    image = image[..., None] if image.ndim == 2 else image[..., ::-1]  # OpenCV's colours are BGR
    return {'image': image, 'label': feature['label'].int64_list.value[0]}


def is_installed() -> bool:
    """Whether ArrayRecord files can be read and written here; the package has no form for Windows."""
    return importlib.util.find_spec('array_record') is not None


def check_installed() -> None:
    """Raises DataError where ArrayRecord files can neither be read nor written."""
    if not is_installed():
        raise DataError(
            'this data set is kept in ArrayRecord files, and the package array_record is not here (it has no form for '
            'Windows); use Linux, macOS or WSL'
        )


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Whatever goes wrong in the block is a `DataError` that names the folder."""
    check_installed()
    try:
        yield
    except ImportError as error:
        check_shortage(error)
        raise
    except (DataError, ShortageError):
        raise
    except Exception as error:  # TFDS, ArrayRecord and OpenCV raise a dozen types for a bad file
        check_shortage(error)
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise DataError(
            f'unreadable data set: {folder}; {reason}; delete that folder and prepare the set again'
        ) from error


def find(name: str, data_dir: Path, version: str = VERSION) -> Path | None:
    """The folder of a whole set below `data_dir`, or None where there is none or only part of one.

    Raises:
        DataError: the folder holds the set in a form that only TensorFlow reads.
    """
    folder = data_dir / name / version
    try:
        info = json.loads((folder / 'dataset_info.json').read_text(encoding='utf-8'))
        form = info.get('fileFormat', 'tfrecord')  # TFDS leaves its default out
        counts = {split['name']: len(split['shardLengths']) for split in info['splits']}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if form != 'array_record':
        raise DataError(
            f'data set in {form} form: {folder}; only ArrayRecord is read without TensorFlow: move that folder away '
            'and prepare the set again, or give another --data_dir'
        )
    files = [
        folder / f'{name}-{split}.array_record-{shard:05d}-of-{count:05d}'
        for split, count in counts.items()
        for shard in range(count)
    ]
    return folder if all(file.is_file() for file in files) else None


def build(
    name: str,
    data_dir: Path,
    splits: Mapping[str, Examples],
    *,
    shape: tuple[int, int, int],
    class_names: Sequence[str],
    again: bool = False,
) -> Path:
    """Writes a set below `data_dir` and returns its folder.

    Where another process has written it since, that one is taken, or replaced if `again`. Part of a set found in its
    place, and what a killed process left behind, is removed.

    Raises:
        DataError: the folder cannot be written, or the disk is full.
    """
    check_installed()
    home = data_dir / name
    try:
        home.mkdir(parents=True, exist_ok=True)
        with lock(home) as alone:
            if not again and (folder := find(name, data_dir)):
                return folder
            for left in home.glob('building-*') if alone else ():
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(prefix='building-', dir=home) as building:
                made, seals = _write(name, Path(building), splits, shape, class_names)
                write_seals(made, seals)
                file_seals.write_all(made)
                replace(made, home / VERSION, Path(building))
    except (OSError, RuntimeError) as error:  # ArrayRecord's writer raises RuntimeError where a disk is full
        check_shortage(error)
        reason = getattr(error, 'strerror', None) or str(error).splitlines()[0]
        raise DataError(
            f'cannot write the data set {name} below {data_dir}: {reason}; '
            'give a folder that can be written with --data_dir=FOLDER, or free space there'
        ) from error
    return home / VERSION


def lock(home: Path) -> AbstractContextManager[bool]:
    """One builder at a time; False where the file system has no locks (the rename still keeps the set whole)."""
    return file_lock.held(home / 'LOCK')


def replace(made: Path, folder: Path, building: Path) -> None:
    """Renames `made` to `folder`; part of a set in its place is moved into `building`, which is deleted later."""
    if folder.exists() or folder.is_symlink():
        os.rename(folder, building / 'part')
    os.rename(made, folder)


def read_seal(folder: Path, split: str) -> Seal | None:
    """What a split of a set holds; None where its folder does not say, as TFDS's own do not."""
    try:
        return Seal(*json.loads((folder / SEALS).read_text(encoding='utf-8'))[split])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_seals(folder: Path, seals: Mapping[str, Seal]) -> None:
    """Writes beside the files of a set what its splits hold."""
    write_whole(folder / SEALS, json.dumps(seals))


def _write(
    name: str, data_dir: Path, splits: Mapping[str, Examples], shape, class_names
) -> tuple[Path, dict[str, Seal]]:
    import tensorflow_datasets as tfds

    numbers: dict[str, list[int]] = {split: [] for split in splits}

    class Info(tfds.core.DatasetInfo):
        def initialize_from_bucket(self): ...  # TFDS would ask the network for it, and leave an empty folder in /tmp

    class SetBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(VERSION)
        code_path = None  # TFDS would look for checksums beside this file, with a package that it does not require

        def _info(self):
            features = {
                'image': tfds.features.Image(shape=shape, encoding_format='png'),
                'label': tfds.features.ClassLabel(names=list(class_names)),
            }
            # Rows stay in the order given, so that an index means the same row as in the published files.
            return Info(builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split, examples) for split, examples in splits.items()}

        def _generate_examples(self, split, examples):
            for row, (image, label) in enumerate(examples()):
                numbers[split].append(number_of_array(image, {'label': label}))
                yield row, {'image': io.BytesIO(encode_png(image)), 'label': int(label)}

        def _log_download_bytes(self): ...  # TFDS prints both to stdout, in bold

        def _log_download_done(self): ...

    SetBuilder.name = name
    with _no_progress_bars():
        builder = SetBuilder(data_dir=str(data_dir), file_format='array_record')
        builder.download_and_prepare(file_format='array_record')
    return Path(builder.data_dir), {split: of_numbers(len(found), found) for split, found in numbers.items()}


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    from tensorflow_datasets.core.utils import tqdm_utils

    before = tqdm_utils._active
    tqdm_utils.display_progress_bar(False)
    try:
        yield
    finally:
        tqdm_utils.display_progress_bar(before)


def encode_png(image: np.ndarray) -> bytes:
    """A PNG file of a grey (height, width, 1) or RGB (height, width, 3) uint8 image."""
    import cv2

    pixels = image if image.shape[-1] == 1 else image[..., ::-1]  # OpenCV's colours are BGR
    return cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
