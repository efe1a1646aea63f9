"""What people may set of the microscope: how much of a run is looked at."""

from typing import NamedTuple

from cnn_jax.errors import CnnJaxError


class Settings(NamedTuple):
    """How much is looked at; see `settings`."""

    images: int = 1000
    maps: int = 12
    made: int = 32
    laid: int = 3
    classes: int = 10


DEFAULTS = Settings()


def settings(
    *,
    images: int = DEFAULTS.images,  # of the split that are looked at, the first
    maps: int = DEFAULTS.maps,  # images for which it is shown what counted, at most
    made: int = DEFAULTS.made,  # units of a layer for which images are made, the first, at most; 0: none
    laid: int = DEFAULTS.laid,  # layers with a t-SNE, the last before the scores; 0: none
    classes: int = DEFAULTS.classes,  # with an image at each step of the training, the first, at most; 0: none
) -> Settings:
    """What was chosen.

    A large net gets less of what takes long, whatever is chosen (see `MOST_MACS` of `maps`, `made` and
    `class_images`).

    Raises: CnnJaxError for a number that cannot be.
    """
    chosen = Settings(images, maps, made, laid, classes)
    for (name, value), least in zip(chosen._asdict().items(), (1, 1, 0, 0, 0), strict=True):
        if value < least:
            raise CnnJaxError(f'--set.{name}: {value} given; it is at least {least}')
    return chosen
