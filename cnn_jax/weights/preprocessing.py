"""How images are prepared for a net, as a value that travels with its weights: in runs, in files, by published names.

`known('timm/resnet50.a1_in1k').decode(bytes)` gives the pixels that timm would, to the last one.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from cnn_jax.data import augment
from cnn_jax.data.formats import image
from cnn_jax.data.formats.encoded import Decoding
from cnn_jax.data.formats.fitted import fit
from cnn_jax.data.formats.view import View, fitted
from cnn_jax.errors import CnnJaxError, StorageError, unknown
from cnn_jax.weights import tags

Shares = tuple[float, ...]
LIBRARIES = ('torchvision', 'timm')
TOLERANCE = 1e-4  # of a mean or a deviation: libraries print four to six digits
NORM = ('mean', 'std')
CHANNELS = ('RGB', 'BGR', 'grey')
LARGEST = 100_000  # pixels of a side that a file may ask for


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """From an image file to what a net takes: (pixel / 255 - mean) / std of the centre of the resized image.

    Attributes:
        size: the side of the square that the net sees, in pixels.
        resize: the short side of the image, from whose centre that is taken; timm's is size / crop share, rounded down.
            None: the image is fitted into the square, as sets without image files have it (see `formats.fitted`).
        interpolation: of resizing; with antialias, as Pillow does it.
        mean, std: of values 0 .. 1, one for each channel, in the order of `channels`.
        channels: 'RGB', 'BGR' for nets that take blue first, or 'grey'.
        upright: whether a file is turned as EXIF says, as folders of photographs are; no part of what is compared, for
            a data source has its own.
        source: where this is known from; no part of what is compared.

    Raises:
        CnnJaxError: a value out of range, named.
    """

    size: int
    resize: int | None
    interpolation: image.Interpolation = 'bilinear'
    mean: Shares = tags.IMAGENET[0]
    std: Shares = tags.IMAGENET[1]
    channels: Literal['RGB', 'BGR', 'grey'] = 'RGB'
    upright: bool = dataclasses.field(default=False, compare=False)
    source: str = dataclasses.field(default='', compare=False)

    def __post_init__(self) -> None:
        if self.resize is not None:
            self.decoding()  # checks size, resize and interpolation
        if self.channels not in CHANNELS or (self.channels == 'grey' and self.resize is not None):
            raise CnnJaxError(
                f'preprocessing: channels {self.channels!r}; RGB or BGR, or grey of images that are fitted'
            )
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise CnnJaxError(f'preprocessing: mean {self.mean} and std {self.std}; finite numbers, std above 0')
        if {len(self.mean), len(self.std)} != {self.image_shape[2]}:
            raise CnnJaxError(f'preprocessing: mean {self.mean} and std {self.std} for {self.channels} images')

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of what the net takes."""
        return self.size, self.size, 1 if self.channels == 'grey' else 3

    @property
    def crop_share(self) -> float:
        """The share of the short side that the net sees: timm's crop_pct, but for its rounding."""
        return self.size / (self.resize or self.size)

    def decoding(self, like: Decoding | None = None) -> Decoding:
        """The `Decoding` of a data source that gives these pixels; caps and turning are those of `like`.

        Raises:
            CnnJaxError: images are fitted, which no source of image files does.
        """
        if self.resize is None:
            raise CnnJaxError(f'preprocessing: images of {self.source} are fitted, and these are cut out')
        changed: dict[str, Any] = {'size': self.size, 'resize': self.resize, 'interpolation': self.interpolation}
        return dataclasses.replace(like or Decoding(upright=self.upright), **changed)

    def decode(self, encoded: bytes) -> np.ndarray:
        """The pixels of an image file, uint8 of `image_shape`, RGB where `channels` says BGR.

        Raises:
            BadImage: cannot be decoded, or is too large.
        """
        return fit(encoded, self.image_shape) if self.resize is None else self.decoding().centre(encoded)

    def view(self, encoded: bytes) -> View:
        """Where what `decode` gives lies in the picture; BadImage where it is none."""
        return fitted(encoded, self.image_shape) if self.resize is None else self.decoding().view(encoded)

    def standardise(self, pixels: np.ndarray) -> np.ndarray:
        """What the net takes: uint8 RGB or grey (..., channels) as float32, in the order of `channels`."""
        ordered = pixels[..., ::-1] if self.channels == 'BGR' else pixels
        return ((ordered.astype(np.float32) / 255) - np.asarray(self.mean, np.float32)) / np.asarray(
            self.std, np.float32
        )

    def transform(self) -> augment.BatchTransform:
        """The same inside a step: the `preprocess` of an experiment."""
        change = _reversed_standardise if self.channels == 'BGR' else augment.standardise
        return augment.on_images(change, mean=self.mean, std=self.std)

    def differences(self, other: 'Preprocessing') -> list[str]:
        """The names of the fields in which two differ; means and deviations may by their last printed digits."""
        names = [name for name in ('size', 'resize', 'interpolation') if getattr(self, name) != getattr(other, name)]
        for name in NORM:
            own, others = getattr(self, name), getattr(other, name)
            if len(own) != len(others) or not np.allclose(own, others, rtol=TOLERANCE, atol=TOLERANCE / 100):
                names.append(name)
        return names + ['channels'] * (self.channels != other.channels)

    def words(self) -> str:
        """One phrase: '224 of 256 pixels, bilinear, RGB, mean 0.485 0.456 0.406, std 0.229 0.224 0.225'."""
        mean, std = (' '.join(f'{value:.4g}' for value in values) for values in (self.mean, self.std))
        side = f'{self.size} pixels, fitted' if self.resize is None else f'{self.size} of {self.resize} pixels'
        return f'{side}, {self.interpolation}, {self.channels}, mean {mean}, std {std}'

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, which `from_json` takes."""
        return {**dataclasses.asdict(self), 'mean': list(self.mean), 'std': list(self.std)}


def _reversed_standardise(keys: Any, images: Any, *, mean: Shares, std: Shares) -> Any:
    return augment.standardise(keys, images[..., ::-1], mean=mean, std=std)


def from_json(values: Any, *, what: str) -> Preprocessing:
    """What `as_json` gave.

    Args:
        what: names the file in the error.

    Raises:
        StorageError: anything else.
    """
    try:
        names = {field.name for field in dataclasses.fields(Preprocessing)}
        if not isinstance(values, Mapping) or set(values) | {'upright'} != names:  # files of before say nothing of it
            raise ValueError(f'its fields are {", ".join(sorted(names))}')
        found: dict[str, Any] = {'size': _side(values['size'])}
        found['resize'] = None if values['resize'] is None else _side(values['resize'])
        found |= {name: _shares(values[name]) for name in NORM}
        found |= {name: _text(values[name]) for name in ('interpolation', 'channels', 'source')}
        found['upright'] = values.get('upright', False) is True
        return Preprocessing(**found)
    except (ValueError, TypeError) as error:
        raise StorageError(f'{what}: a damaged preprocessing: {str(error)[:200]}') from error


def from_timm(config: Mapping[str, Any], *, what: str, at_test_size: bool = False) -> Preprocessing:
    """Of timm's `pretrained_cfg`, as the `config.json` beside its weights has it.

    at_test_size: the larger images at which timm measures some nets, in the place of those they were trained for.

    Raises:
        CnnJaxError: an interpolation or a way to crop that is not ours.
        StorageError: it is damaged.
    """

    def get(name: str, default: Any) -> Any:
        found = config.get(f'test_{name}') if at_test_size else None
        return found or config.get(name) or default

    if config.get('crop_mode') not in (None, 'center'):
        raise CnnJaxError(f'{what}: crop_mode {str(config["crop_mode"])[:40]!r} is not read here; center alone is')
    try:
        *_, high, wide = get('input_size', (3, 224, 224))
        share = float(get('crop_pct', 0.875))
        if high != wide or not 0 < share <= 1:
            raise ValueError(f'input_size {high} x {wide}, crop_pct {share}; a square, and a share up to 1')
        usual = zip(NORM, tags.IMAGENET, strict=True)
        norm: dict[str, Any] = {name: _shares(config.get(name) or values) for name, values in usual}
        interpolation: Any = _text(config.get('interpolation') or 'bilinear')
        return Preprocessing(_side(high), resize_of(_side(high), share), interpolation, **norm, source=what)
    except (ValueError, TypeError, OverflowError) as error:
        raise StorageError(f'{what}: a preprocessing that is not read here: {str(error)[:200]}') from error


def resize_of(size: int, crop_share: float) -> int:
    """timm's short side: size / crop share, rounded down."""
    return math.floor(size / crop_share)


def _side(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= LARGEST:
        raise ValueError(f'{str(value)[:40]} is no number of pixels')
    return value


def _shares(values: Any) -> Shares:
    numbers = isinstance(values, Sequence) and all(type(value) in (int, float) for value in values)
    if not numbers or len(values) not in (1, 3):
        raise ValueError(f'{str(values)[:60]} are not numbers, one for each channel')
    return tuple(float(value) for value in values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f'{str(value)[:40]} is no text')
    return value


class _Tagged(NamedTuple):
    usual: Preprocessing
    tested: Preprocessing


@functools.cache
def _table() -> dict[str, _Tagged]:
    """All tags, 'timm/resnet50.a1_in1k' and 'torchvision/resnet50.V2'."""
    found: dict[str, _Tagged] = {}
    rows: Any = tags.TORCHVISION
    for (size, resize, interpolation, norm), names in rows:
        for name in names.split():
            own = Preprocessing(size, resize, interpolation, *norm, source=f'torchvision/{name}')
            found[own.source] = _Tagged(own, own)
    rows = tags.TIMM
    for (size, share, interpolation, norm, test_size, test_share), names in rows:
        for name in names.split():
            usual, tested = (
                Preprocessing(side, resize_of(side, part), interpolation, *norm, source=f'timm/{name}')
                for side, part in ((size, share), (test_size, test_share))
            )
            found[usual.source] = _Tagged(usual, tested)
    return found


def known(tag: str, *, at_test_size: bool = False) -> Preprocessing:
    """The preprocessing of published weights, by 'torchvision/resnet50.V2' or 'timm/resnet50.a1_in1k'.

    The part behind the dot may be left out where a net has one. torchvision's may be written in full, IMAGENET1K_V2.

    Args:
        tag: LIBRARY/NET.WEIGHTS.
        at_test_size: the larger images at which timm measures some nets; torchvision has no such.

    Raises:
        CnnJaxError: weights that are not known here, or several where the tag names none.
    """
    table = _table()
    name = tag.replace('IMAGENET1K_', '')
    library, _, rest = name.partition('/')
    if library not in LIBRARIES or not rest:
        raise CnnJaxError(
            f'architecture: {tag!r} given; it begins with torchvision/ or timm/, as torchvision/resnet50.V2 or '
            'timm/resnet50.a1_in1k'
        )
    if name not in table:
        several = [other for other in table if other.startswith(f'{name}.')]
        if len(several) != 1:
            if several:
                raise CnnJaxError(f'architecture: {tag} has several weights; give one of {", ".join(several)}')
            raise CnnJaxError(unknown('architecture', tag, [other for other in table if other.startswith(library)]))
        name = several[0]
    return table[name].tested if at_test_size else table[name].usual
