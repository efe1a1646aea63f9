"""Whose preprocessing is used where weights meet an experiment: the two are compared, and never mixed unsaid."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.augment import BatchTransform
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.data.formats.shrunk import read_whole
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import CnnJaxError, check_shortage
from cnn_jax.weights.keras_file import is_keras
from cnn_jax.weights.keras_file import preprocessing_of as of_keras
from cnn_jax.weights.native import KEY, about
from cnn_jax.weights.preprocessing import Preprocessing, from_json, from_timm, known
from cnn_jax.weights.safetensors_file import is_safetensors, read_header

CHOICES = ('weights', 'experiment')
MOST_CONFIG_BYTES = 2**20


def of_experiment(data: Data, preprocess: BatchTransform | None) -> Preprocessing | None:
    """How an experiment prepares images; None where it does more than standardise each channel of a square.

    The numbers are read off what `preprocess` makes of pixels, so that any function may stand there.
    """
    size = data.image_shape[0]
    decoding = getattr(data.decode, '__self__', None)
    if isinstance(decoding, Decoding):
        how: dict[str, Any] = {name: getattr(decoding, name) for name in ('size', 'resize', 'interpolation', 'upright')}
    elif data.decode in (None, read_whole):  # of a task that takes any size, whose files stay as they are
        how = {'size': size, 'resize': None}  # see `Data.read_file`
    else:
        return None
    square = data.image_shape in ((how['size'], how['size'], 3), (size, size, 1))
    found = _measured(preprocess, data) if preprocess is not None and square else None
    if found is None:
        return None
    mean, std, channels = found
    return Preprocessing(**how, mean=mean, std=std, channels=channels, source='the experiment')


def _measured(preprocess: BatchTransform, data: Data) -> tuple[Any, Any, Any] | None:
    """Mean, deviation and order of channels, from black, white and noise; None where these do not explain all."""
    shape = data.image_shape
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pixels = np.stack([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), noise])
    rows: Any = {name: np.zeros((3, *shape), dtype) for name, (shape, dtype) in data.row_shapes().items()}

    @jax.jit  # one program, as each start of a run waits for it
    def prepare(batch: Any) -> jax.Array:
        return preprocess(jnp.broadcast_to(jax.random.key(0), (3,)), batch)['image']

    try:
        made = np.asarray(prepare({**rows, 'image': pixels}), np.float64)
    except Exception as error:  # a user's function that needs more than images: it is not compared, which is said
        check_shortage(error)
        return None
    if made.shape != pixels.shape or not np.isfinite(made).all():
        return None
    low, high = (made[row].mean((0, 1)) for row in (0, 1))  # -mean / std, (1 - mean) / std
    if (high <= low).any():
        return None
    mean, std = -low / (high - low), 1 / (high - low)
    for channels in ('grey',) if shape[2] == 1 else ('RGB', 'BGR'):
        ordered = pixels[..., ::-1] if channels == 'BGR' else pixels
        if np.allclose(made, (ordered / 255 - mean) / std, rtol=1e-3, atol=1e-3):
            return tuple(_short(mean)), tuple(_short(std)), channels
    return None


def _short(values: np.ndarray) -> list[float]:
    """The shortest numbers that float32 does not tell from these."""
    return [
        next(short for short in _shorter(value) if abs(short - value) <= max(3e-7 * abs(value), 1e-8))
        for value in values.tolist()
    ]


def _shorter(value: float) -> Iterator[float]:
    yield 0.0
    yield from (float(f'{value:.{digits}g}') for digits in range(1, 18))


def of_file(path: Path) -> Preprocessing | None:
    """What a weights file of ours, or the `config.json` beside one of timm's, says; None where neither does.

    Raises:
        StorageError: what stands there is damaged.
    """
    if path.is_file() and is_keras(path):
        return of_keras(path)
    if not path.is_file() or not is_safetensors(path):
        return None
    if KEY in read_header(path).get('__metadata__', {}):
        stored = about(path).get('preprocessing')
        return None if stored is None else from_json(stored, what=str(path))
    beside = path.with_name('config.json')
    try:
        with beside.open('rb') as file:
            config = json.loads(file.read(MOST_CONFIG_BYTES))
        own = config['pretrained_cfg']
        name = f'{config["architecture"]}.{own["tag"]}' if own.get('tag') else config['architecture']
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return from_timm(own, what=f'timm/{str(name)[:60]}')


def of_weights(path: Path, architecture: str | None) -> Preprocessing | None:
    """What is known of a file of weights: by a published name if one is given, else by itself.

    Raises:
        CnnJaxError: an unknown name, or one that the file contradicts.
        StorageError: the file is damaged.
    """
    own = of_file(path)
    if architecture is None:
        return own
    named = known(architecture)
    if own is not None and (fields := named.differences(own)):
        raise CnnJaxError(
            f'--architecture={architecture}: {path} says another {" and ".join(fields)}: {own.words()}; leave the flag '
            'out'
        )
    return named


def check_same(
    experiments: Preprocessing | None,
    weights: Preprocessing | None,
    choice: str | None,
    *,
    what: str,
    say: Callable[[str], None],
) -> Preprocessing | None:
    """Decides between two preprocessings, and says which is used where that is not plain.

    Args:
        experiments: of the experiment; None: it is not of this form, or has no image files.
        weights: of the weights; None: nobody has said.
        choice: what was asked for, 'weights' or 'experiment'; None: nothing.
        what: names the weights.
        say: takes one line.

    Returns:
        that of the weights where it is to take the experiment's place, else None.

    Raises:
        CnnJaxError: they differ and nobody has chosen; or the weights' was chosen and is not known.
    """
    if choice is not None and choice not in CHOICES:
        raise CnnJaxError(f'preprocessing: {choice!r} given; it is one of {", ".join(CHOICES)}')
    if weights is None:
        if choice == 'weights':
            raise CnnJaxError(
                f'--preprocessing=weights: {what} does not say how its images were prepared; add --architecture=TAG, '
                'as torchvision/resnet50.V2 or timm/resnet50.a1_in1k'
            )
        if experiments is not None:
            say(f'{what} does not say how its images were prepared; as the experiment: {experiments.words()}')
        return None
    if experiments is None:
        if choice != 'weights':
            say(f'{what} was trained on {weights.words()}; this experiment prepares images its own way, not compared')
            return None
    elif not (fields := weights.differences(experiments)):
        say(f'images as {what} was trained on: {experiments.words()}')
        return None
    elif choice is None:
        raise CnnJaxError(
            f'{what} was trained on {weights.words()}, and the experiment prepares {experiments.words()}: they differ '
            f'in {" and ".join(fields)}; give --preprocessing=weights or --preprocessing=experiment'
        )
    if choice == 'weights':
        say(f'images as {what} was trained on: {weights.words()}')
        return weights
    assert experiments is not None
    say(f'images as the experiment prepares them: {experiments.words()}; {what} was trained on {weights.words()}')
    return None


def applied(experiment: Any, preprocessing: Preprocessing) -> Any:
    """The experiment with images prepared so in evaluation; training is not meant.

    Raises:
        CnnJaxError: its images are not files, so they are at one size already.
    """
    data = experiment.data
    if not isinstance(getattr(data.decode, '__self__', None), Decoding):
        raise CnnJaxError(
            f'--preprocessing=weights: the images of {data.name} are kept at one size; take --preprocessing=experiment'
        )
    decoding = preprocessing.decoding(data.decode.__self__)

    def open_split(split: str, data_dir: Path) -> Source:
        source = data.open(split, data_dir)
        if not isinstance(source, EncodedSource):
            raise CnnJaxError(f'--preprocessing=weights: {data.name} does not keep image files; use its own')
        source.decoding = decoding
        return source

    size = preprocessing.size
    changed = dataclasses.replace(data, open=open_split, decode=decoding.centre, image_shape=(size, size, 3))
    return dataclasses.replace(experiment, data=changed, preprocess=preprocessing.transform())
