"""Batches on the devices: a small set lives there whole and each step gathers its rows; a large one is streamed."""

import collections
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnn_jax.data import order, pipeline, streaming
from cnn_jax.data.formats import seal
from cnn_jax.data.formats.seal import Seal
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.devices import mapping

AHEAD = 2  # streamed batches that are on the devices before they are asked for


class Feed:
    """The splits of a data set, opened when they are first asked for, and their batches.

    Args:
        data: the description.
        data_dir: where its files lie.
        seed: of the training order.
        mesh: the devices.
    """

    def __init__(self, data: Data, *, data_dir: Path, seed: int, mesh: Mesh):
        self.data, self._data_dir, self._seed, self._mesh = data, data_dir, seed, mesh
        self._sources: dict[str, Source] = {}

    def for_seed(self, seed: int) -> 'Feed':
        """The same splits in the order of another seed; what is opened stays opened."""
        feed = type(self)(self.data, data_dir=self._data_dir, seed=seed, mesh=self._mesh)
        feed._sources = self._sources
        return feed

    def source(self, split: str) -> Source:
        """The rows of a split; DataError if they are not there."""
        if split not in self._sources:
            self._sources[split] = self.data.open(split, self._data_dir)
        return self._sources[split]

    def size_note(self, split: str) -> str:
        """How many images a split has, a class where it has few, and whether that is what the published set has."""
        source = self.source(split)
        classes = pipeline.class_size_note(self.data, split)
        known: Any = source
        num_bad = getattr(known, 'num_bad', 0)  # of those sources that know it
        bad = f', {num_bad:,} of which cannot be read' if num_bad else ''
        usual = f'{self.data.name}: {split} has {len(source):,} images{bad}{classes}'
        return pipeline.size_note(self.data, split, source) or usual

    def seal(self, split: str) -> Seal:
        """What a split holds, to compare with what a run was trained on."""
        return seal.of_source(self.source(split))

    def seals(self) -> dict[str, Seal]:
        """What all splits hold."""
        return {split: self.seal(split) for split in self.data.splits}

    def images(self, split: str, rows: np.ndarray) -> np.ndarray:
        """Some images of a split on the host, uint8 (rows, height, width, channels)."""
        source = self.source(split)
        empty = np.zeros((0, *self.data.image_shape), np.uint8)
        return np.stack([source[int(row)]['image'] for row in rows]) if len(rows) else empty

    def train(self, step: int) -> Any:
        """The global training batch of a step on the devices, a pure function of (seed, step)."""
        raise NotImplementedError

    def all_of(self, split: str, batch_size: int) -> Iterator[Any]:
        """Every image of a split once, in batches that the devices divide; the last one is padded and masked."""
        raise NotImplementedError

    def num_batches(self, split: str, batch_size: int) -> int:
        """How many batches `all_of` gives."""
        return -(-len(self.source(split)) // self._round_up(batch_size))

    def _round_up(self, batch_size: int) -> int:
        return -(-batch_size // self._mesh.size) * self._mesh.size


class ResidentFeed(Feed):
    """Keeps whole splits on every device as uint8."""

    def __init__(self, data: Data, **where: Any):
        super().__init__(data, **where)
        self._gather = mapping.make_gather(self._mesh)
        self._arrays: dict[str, Any] = {}
        self._readable: dict[str, np.ndarray] = {}

    def for_seed(self, seed: int) -> 'ResidentFeed':
        feed = copy.copy(self)  # with the same arrays on the devices
        feed._seed = seed
        return feed

    def train(self, step: int) -> Any:
        rows = len(self.source('train'))
        index, epoch = order.rows(rows, self._seed, step, self.data.batch_size, self.data.repeats)
        return self._batch('train', index, epoch, np.ones(len(index), bool))

    def all_of(self, split: str, batch_size: int) -> Iterator[Any]:
        for index, mask in order.evaluation_rows(len(self.source(split)), self._round_up(batch_size)):
            yield self._batch(split, index, np.zeros_like(index), mask)

    def _batch(self, split: str, index: np.ndarray, epoch: np.ndarray, mask: np.ndarray) -> Any:
        if split not in self._arrays:
            arrays = pipeline.load_arrays(self.source(split), self.data.row_fields)
            self._readable[split] = arrays.pop('mask')
            self._arrays[split] = mapping.replicate(self._mesh, arrays)
        host = {'index': index, 'epoch': epoch, 'mask': mask & self._readable[split][index]}
        rows = mapping.put_batch(self._mesh, {name: mapping.process_rows(part) for name, part in host.items()})
        return {**self._gather(self._arrays[split], rows['index']), **rows}


class StreamedFeed(Feed):
    """Reads and decodes batches in the background, and puts them on the devices before they are needed."""

    def __init__(self, data: Data, **where: Any):
        super().__init__(data, **where)
        self._stream: Iterator[Any] = iter(())
        self._ready: collections.deque[Any] = collections.deque()
        self._next = -1

    def train(self, step: int) -> Any:
        if step != self._next:  # the first step, of a new run or of a resumed one
            self._stream = streaming.stream(
                self.source('train'),
                seed=self._seed,
                batch_size=self.data.batch_size,
                repeats=self.data.repeats,
                size=self.data.train_size,
                start_step=step,
                fields=self.data.row_fields,
                shard=_shard(),
            )
            self._ready.clear()
        self._next = step + 1
        while len(self._ready) <= AHEAD:
            self._ready.append(mapping.put_batch(self._mesh, next(self._stream)))
        return self._ready.popleft()

    def all_of(self, split: str, batch_size: int) -> Iterator[Any]:
        size = self._round_up(batch_size)
        fields = self.data.row_fields
        for batch in streaming.stream_evaluation(self.source(split), batch_size=size, shard=_shard(), fields=fields):
            yield mapping.put_batch(self._mesh, batch)


def open_feed(data: Data, *, data_dir: Path, seed: int, mesh: Mesh) -> Feed:
    """The feed that suits the size of the set."""
    kind = ResidentFeed if pipeline.is_resident(data) else StreamedFeed
    return kind(data, data_dir=data_dir, seed=seed, mesh=mesh)


def _shard() -> tuple[int, int]:
    return jax.process_index(), jax.process_count()
