"""Writing sets of encoded images: TFDS folders in ArrayRecord form, without TensorFlow, in parallel, resumable.

A shard stands under its name or not at all, beside a note of what is in it; an interrupted build goes on with the
shards that are missing. The finished folder is renamed into its place.
"""

import concurrent.futures
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.data.formats import array_record, description, encoded, file_seals, image, image_header, seal
from cnn_jax.data.formats.array_record import VERSION
from cnn_jax.data.formats.bad_images import LISTED_IN, NAMED, check_share
from cnn_jax.data.formats.imports import import_once
from cnn_jax.data.formats.tree import Item
from cnn_jax.errors import DataError, check_shortage

SHARD_BYTES = 128 * 2**20
PLAN = 'plan.json'  # in the set's folder: what it was made from
SAY_EVERY_SECONDS = 10.0

Say = Callable[[str], None]


class Shard(NamedTuple):
    """Some images of a split, one file."""

    split: str
    number: int
    of: int
    items: tuple[Item, ...]

    def file_name(self, name: str) -> str:
        """As TFDS names it."""
        return f'{name}-{self.split}.array_record-{self.number:05d}-of-{self.of:05d}'

    def digest(self) -> str:
        """Of the names and labels of its images, and of what tells that their bytes changed."""
        digest = hashlib.sha256()
        for item in self.items:
            mark = item.mark or item.size
            label = '|'.join(map(str, item.classes))
            digest.update(f'{item.name}\t{label}\t{mark}\n'.encode(errors='surrogateescape'))
        return digest.hexdigest()


def build(
    name: str,
    data_dir: Path,
    splits: Mapping[str, Sequence[Item]],
    *,
    class_names: Sequence[str],
    say: Say,
    decoding: encoded.Decoding,
    called: str | None = None,
    name_bad: bool = True,
    num_threads: int | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Writes a set below `data_dir` and returns its folder; one that was made of the same images is kept.

    Every image is decoded once. Bad ones stay, so that a row is what it is in the published set; they are said and
    listed in `bad_images.txt`.

    Args:
        called: the set in messages; None: `name`.
        name_bad: whether bad images are said, each by its name; a run says them when it reads them.

    Raises:
        DataError: too little disk, a folder that cannot be written, a file that cannot be read, too many bad images.
    """
    shards = [shard for split in splits for shard in _cut(split, splits[split], shard_bytes)]
    plan = {'classes': list(class_names), 'files': {shard.file_name(name): shard.digest() for shard in shards}}
    home, folder = data_dir / name, data_dir / name / VERSION
    array_record.check_installed()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with array_record.lock(home):
            if made_of(folder) == plan and array_record.find(name, data_dir):
                return folder
            building = home / 'building'
            building.mkdir(exist_ok=True)
            _write_all(name, building, shards, class_names, say, decoding, num_threads)
            _report_bad(name, building, shards, decoding, say if name_bad else _unsaid, called or name)
            _report_turned(name, building, shards, decoding, say)
            _write_seals(name, building, shards)
            files = {split: [shard.items for shard in shards if shard.split == split] for split in splits}
            description.write(name, building, files, class_names)
            (building / PLAN).write_text(json.dumps(plan), encoding='utf-8')
            _clear(name, building, shards)
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(building, folder)
            say(f'{name}: the images were copied to {folder}, their files as they are')
    except (OSError, RuntimeError) as error:  # ArrayRecord's writer raises RuntimeError where a disk is full
        check_shortage(error)
        reason = str(error).splitlines()[0]
        raise DataError(
            f'cannot write the data set {name} below {data_dir}: {reason}; run the same command again once that is '
            'mended, or with --data_dir=FOLDER; what is written is kept'
        ) from error
    return folder


def made_of(folder: Path) -> dict[str, Any] | None:
    """What a set is made of: its classes, and a digest of each file's images; None where it does not say."""
    try:
        return json.loads((folder / PLAN).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None


def _cut(split: str, items: Sequence[Item], shard_bytes: int) -> list[Shard]:
    """Runs of images of about equal numbers, so many that a file has about `shard_bytes`."""
    count = max(1, min(len(items), round(sum(item.size for item in items) / shard_bytes)))
    ends = [len(items) * number // count for number in range(count + 1)]
    return [Shard(split, number, count, tuple(items[ends[number] : ends[number + 1]])) for number in range(count)]


def _write_all(
    name: str,
    building: Path,
    shards: list[Shard],
    class_names: Sequence[str],
    say: Say,
    decoding: encoded.Decoding,
    num_threads: int | None,
) -> None:
    missing = [shard for shard in shards if _note(building / shard.file_name(name)).get('digest') != shard.digest()]
    needed, free = sum(item.size for shard in missing for item in shard.items), shutil.disk_usage(building).free
    if needed * 1.02 > free:
        raise DataError(
            f'{name} needs {needed / 1e9:.1f} GB more below {building}, {free / 1e9:.1f} GB are free; free space '
            'there, or give another folder with --data_dir=FOLDER'
        )
    if len(missing) < len(shards):
        say(f'{name}: {len(shards) - len(missing):,} of {len(shards):,} files are there from before')
    progress = _Progress(name, sum(len(shard.items) for shard in missing), say)
    import_once()  # before there are threads
    pool = concurrent.futures.ThreadPoolExecutor(num_threads or os.cpu_count())
    stop = threading.Event()
    try:
        tasks = [pool.submit(_write, shard, name, building, decoding, class_names, progress, stop) for shard in missing]
        for task in concurrent.futures.as_completed(tasks):
            task.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _note(path: Path) -> dict[str, Any]:
    """What stands beside a shard that is whole: the digest of its images, and which are bad."""
    try:
        return json.loads(_beside(path, 'json').read_text(encoding='utf-8')) if path.is_file() else {}
    except (OSError, ValueError):
        return {}


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f'{path.name}.{suffix}')


def _write(
    shard: Shard,
    name: str,
    building: Path,
    decoding: encoded.Decoding,
    class_names: Sequence[str],
    progress: '_Progress',
    stop: threading.Event,
) -> None:
    """Writes one shard and its note; leaves nothing that counts where it is stopped."""
    from array_record.python.array_record_module import ArrayRecordWriter

    path = building / shard.file_name(name)
    part = _beside(path, 'part')
    writer = ArrayRecordWriter(str(part), 'group_size:1,uncompressed')
    bad, turned, total = [], 0, 0
    try:
        for item in shard.items:
            if stop.is_set():
                return
            content = b''  # of a file that is too large to be an image
            try:
                content = item.read()
                image.check(content, max_pixels=decoding.max_pixels)
            except image_header.BadImage as error:
                bad.append(f'{item.name}: {error}')
            turned += image_header.orientation(content) != 1
            total += seal.row_number(content, *(class_names[label].encode() for label in item.classes))
            writer.write(_serialise(content, item))
            progress.add()
    finally:
        writer.close()
    path.unlink(missing_ok=True)
    note = {'digest': shard.digest(), 'bad': bad, 'turned': turned, 'seal': f'{total % seal.MODULUS:x}'}
    note['file'] = file_seals.of_file(part)
    _beside(path, 'json').write_text(json.dumps(note), encoding='utf-8')
    os.rename(part, path)


def _serialise(content: bytes, item: Item) -> bytes:
    from tensorflow_datasets.proto import tf_example_pb2

    example: Any = tf_example_pb2.Example()  # pyright: ignore[reportAttributeAccessIssue]
    feature = example.features.feature
    feature['image'].bytes_list.value.append(content)
    feature['label'].int64_list.value.append(item.label)
    if item.labels:
        feature['labels'].int64_list.value.extend(item.labels)
    feature['file_name'].bytes_list.value.append(item.name.encode(errors='surrogateescape'))
    return example.SerializeToString()


def _unsaid(line: str) -> None:
    """For those who say it elsewhere."""


def _report_bad(
    name: str, building: Path, shards: list[Shard], decoding: encoded.Decoding, say: Say, called: str
) -> None:
    """Says which images are bad, and writes the whole list; DataError where they are too many."""
    listed = building / LISTED_IN
    listed.unlink(missing_ok=True)
    for split in dict.fromkeys(shard.split for shard in shards):
        own = [shard for shard in shards if shard.split == split]
        bad = [line for shard in own for line in _note(building / shard.file_name(name))['bad']]
        for line in bad[:NAMED]:
            say(f'{called} {split}: bad image: {line}')
        with listed.open('a', encoding='utf-8', errors='surrogateescape') as file:
            file.writelines(f'{split}\t{line}\n' for line in bad)
        check_share(bad, sum(len(shard.items) for shard in own), decoding.max_bad_images, f'{called} {split}')


def _report_turned(name: str, building: Path, shards: list[Shard], decoding: encoded.Decoding, say: Say) -> None:
    """Says how many photographs lie on their side or stand on their head, and what is done with them."""
    count = sum(_note(building / shard.file_name(name)).get('turned', 0) for shard in shards)
    if count:
        done = 'turned upright' if decoding.upright else 'not turned, as torchvision does not (the option upright does)'
        say(f'{name}: {count:,} photographs are stored on their side, as EXIF says; they are {done}')


def _write_seals(name: str, building: Path, shards: list[Shard]) -> None:
    """Beside the files of a set, what its splits are made of; nothing where a shard is from before."""
    notes = {shard: _note(building / shard.file_name(name)) for shard in shards}
    seals = {}
    for split in dict.fromkeys(shard.split for shard in shards):
        own = [shard for shard in shards if shard.split == split]
        numbers = [int(notes[shard]['seal'], 16) for shard in own if 'seal' in notes[shard]]
        count = sum(len(shard.items) for shard in own)
        seals[split] = seal.of_numbers(count, numbers) if len(numbers) == len(own) else seal.Seal(count, None)
    array_record.write_seals(building, seals)
    known = {shard.file_name(name): note.get('file') for shard, note in notes.items()}  # None of a shard from before
    file_seals.write(building, {file: found or file_seals.of_file(building / file) for file, found in known.items()})


def _clear(name: str, building: Path, shards: list[Shard]) -> None:
    """Removes notes, and shards of an earlier plan."""
    kept = {shard.file_name(name) for shard in shards}
    for path in building.glob(f'{name}-*.array_record-*'):
        if path.name not in kept:
            path.unlink()


class _Progress:
    """Counts images over all threads, and says now and then how far they are."""

    def __init__(self, name: str, total: int, say: Say):
        self._name, self._total, self._say = name, total, say
        self._lock = threading.Lock()
        self._done, self._begin = 0, time.monotonic()
        self._last = self._begin

    def add(self) -> None:
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if now - self._last < SAY_EVERY_SECONDS and self._done < self._total:
                return
            self._last, rate = now, self._done / max(now - self._begin, 1e-6)
            left = (self._total - self._done) / rate
            bar = '#' * (20 * self._done // self._total)
            self._say(
                f'{self._name}: [{bar:<20}] {self._done:,} of {self._total:,} images written, {rate:,.0f} images/s, '
                f'{left / 60:.0f} min left'
            )
