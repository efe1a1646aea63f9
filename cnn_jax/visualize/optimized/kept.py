"""Long ascents are kept in files now and then, with a preview, so that the same command goes on where it stopped."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.files.archive import read_npz
from cnn_jax.files.whole import written_beside

SAVE_EVERY_SECONDS = 20.0
_place: ContextVar['Place | None'] = ContextVar('place', default=None)


class Place(NamedTuple):
    """Where the ascents of a picture are kept: its folder, and its name there."""

    folder: Path
    name: str

    @property
    def files(self) -> list[Path]:
        """Those of ascents that are there."""
        return sorted(self.folder.glob(f'.{self.name}-ascent-*.npz'))

    def file(self, digest: str) -> Path:
        return self.folder / f'.{self.name}-ascent-{digest}.npz'

    @property
    def preview(self) -> Path:
        return self.folder / f'{self.name}_preview.png'


@contextlib.contextmanager
def keeping(folder: Path, name: str) -> Iterator[None]:
    """Ascents in the block, for the picture of that name, are kept in the folder; if it ends well, they are gone."""
    place = Place(folder, name)
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)
    for file in [*place.files, place.preview]:
        file.unlink(missing_ok=True)


class Keeper:
    """The file of one ascent, which is known by all that it depends on."""

    def __init__(self, known_by: Callable[[], Sequence[Any]]) -> None:
        self._known_by, self._last = known_by, time.monotonic()
        self._place = _place.get()
        self._file: Path | None = None
        self.has_kept = False
        if self._place is not None and self._place.files:
            self._file = self._place.file(digest(known_by()))

    def found(self) -> dict[str, np.ndarray]:
        """What was kept of this ascent; nothing for another one, or where nothing was."""
        return dict(read_npz(self._file)) if self._file is not None and self._file.exists() else {}

    @property
    def is_due(self) -> bool:
        """Whether the last time is long enough ago."""
        return self._place is not None and time.monotonic() - self._last >= SAVE_EVERY_SECONDS

    def keep(self, arrays: dict[str, np.ndarray], images: np.ndarray) -> None:
        """Keeps the ascent as it is, and shows its images (batch, height, width, 1 or 3) in 0 .. 1."""
        assert self._place is not None  # else it is never due
        self._file = self._file or self._place.file(digest(self._known_by()))
        self._place.folder.mkdir(parents=True, exist_ok=True)
        with written_beside(self._file) as temporary, temporary.open('wb') as out:
            np.savez(out, allow_pickle=False, **arrays)
        columns = int(np.ceil(np.sqrt(len(images))))
        sheet = np.nan_to_num(drawing.tile(images, columns=columns), nan=1.0)
        with written_beside(self._place.preview) as temporary:
            temporary.write_bytes(drawing.as_png(np.round(255 * sheet).astype(np.uint8)))
        self._last, self.has_kept = time.monotonic(), True


def digest(known_by: Sequence[Any]) -> str:
    """A short digest of texts and trees of arrays."""
    found = hashlib.sha256()
    for one in known_by:
        leaves, structure = jax.tree.flatten(one)
        found.update(str(structure).encode())
        for leaf in leaves:
            if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
            found.update(leaf.encode() if isinstance(leaf, str) else np.asarray(leaf).tobytes())
    return found.hexdigest()[:16]
