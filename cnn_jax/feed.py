"""Batches on the devices: a small set lives there whole and each step gathers its rows; a large one is streamed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from cnn_jax import parallel
from cnn_jax.data import pipeline
from cnn_jax.data.pipeline import Data


class Feed:
    """Feeds a set that is small enough to live on every device as uint8.

    Args:
        data: the description.
        data_dir: where its files lie.
        seed: of the training order.
        mesh: the devices.
    """

    def __init__(self, data: Data, *, data_dir: Path, seed: int, mesh: Mesh):
        self._data, self._data_dir, self._seed, self._mesh = data, data_dir, seed, mesh
        self._gather = parallel.make_gather(mesh)
        self._resident: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}

    def size(self, split: str) -> int:
        """How many images a split really has; reads it onto the devices at the first call."""
        if split not in self._sizes:
            arrays = pipeline.load_arrays(self._data.open(split, self._data_dir))
            self._sizes[split] = len(arrays['label'])
            self._resident[split] = parallel.replicate(self._mesh, arrays)
        return self._sizes[split]

    def train(self, step: int) -> Any:
        """The global training batch of a step, a pure function of (seed, step)."""
        index, epoch = pipeline.rows(self.size('train'), self._seed, step, self._data.batch_size)
        return self._batch('train', index, epoch, np.ones(len(index), bool))

    def test(self, batch_size: int) -> Iterator[Any]:
        """Every test image once, in batches that the devices divide; the last one is padded and masked."""
        devices = self._mesh.size
        for index, mask in pipeline.evaluation_rows(self.size('test'), -(-batch_size // devices) * devices):
            yield self._batch('test', index, np.zeros_like(index), mask)

    def images(self, split: str, rows: np.ndarray) -> np.ndarray:
        """Some images of a split on the host, uint8 (rows, height, width, channels)."""
        self.size(split)
        return parallel.fetch(self._resident[split]['image'])[rows]

    def _batch(self, split: str, index: np.ndarray, epoch: np.ndarray, mask: np.ndarray) -> Any:
        host = {'index': index, 'epoch': epoch, 'mask': mask}
        rows = parallel.put_batch(self._mesh, {name: parallel.process_rows(part) for name, part in host.items()})
        return {**self._gather(self._resident[split], rows['index']), **rows}
