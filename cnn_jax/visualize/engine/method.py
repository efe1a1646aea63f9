"""What a method gives: pictures with their numbers, of a subject."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from cnn_jax.visualize.engine.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture(NamedTuple):
    """A figure with the arrays behind it and the settings that made it."""

    figure: 'Figure'
    arrays: dict[str, np.ndarray]
    settings: dict[str, Any]
    ending: str = ''  # of the file's name, where a method draws several pictures
    film: np.ndarray | None = None  # (frames, height, width, 1 or 3) in 0 .. 1, written as a GIF
    prints: np.ndarray | None = None  # (pictures, height, width, 1 or 3) in 0 .. 1, each a PNG file, pixel for pixel


class Method(Protocol):
    """One way of looking at a net: `Attribution` for maps over the pixels, `Visualization` for all else."""

    name: str

    @property
    def looks_at_images(self) -> bool:
        """Whether the pictures depend on the subject's images."""
        ...

    def draw(self, subject: Subject, layer: str | None, unit: int | None) -> Iterator[Picture]:
        """Yields the pictures, each as soon as it is ready.

        Raises: CnnJaxError for a layer, a unit or a net that the method is not for; DataError without test images.
        """
        ...
