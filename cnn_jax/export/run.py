"""Exporting a net: the files are written beside their place, compared in fresh processes, and only then put there."""

import json
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.experiment import Experiment
from cnn_jax.export import check, onnx_writer, preprocessing, readme, stablehlo
from cnn_jax.export.function import in_float32, make_function
from cnn_jax.export.readme import ONNX, STABLEHLO
from cnn_jax.files.whole import write_whole

FORMATS = {'stablehlo': STABLEHLO, 'onnx': ONNX}


class Trained(NamedTuple):
    """What is exported.

    Attributes:
        variables: of the experiment's model, on the host.
        title: which net of which step it is, for the README.
    """

    experiment: Experiment
    variables: Any
    title: str

    def write(self, file: str, *, with_layers: bool = False) -> bytes:
        """A model file, by its name."""
        function = make_function(self.experiment, with_layers=with_layers)
        shape = self.experiment.data.image_shape
        if file == STABLEHLO:
            return stablehlo.write(function, self.variables, shape)
        classes = json.dumps(self.experiment.data.class_names, ensure_ascii=False)
        return onnx_writer.write(function, self.variables, shape, about={'title': self.title, 'class_names': classes})

    def outputs(self, images: np.ndarray, *, with_layers: bool = False) -> dict[str, np.ndarray]:
        """What the net itself gives, in the order of the calls."""
        function, names = make_function(self.experiment, with_layers=with_layers), []

        def listed(variables: Any, images: jax.Array) -> list[jax.Array]:
            found = function(variables, images)
            names[:] = found
            return list(found.values())

        arrays = jax.device_get(jax.jit(listed)(self.variables, images))
        return dict(zip(names, arrays, strict=True))


def export(
    net: Trained,
    folder: Path,
    images: np.ndarray,
    *,
    formats: Sequence[str] = tuple(FORMATS),
    say: Callable[[str], None],
    told: Callable[[str], None] = lambda part: None,
) -> dict[str, check.Outcome]:
    """Writes a folder that another program can use, and says how far each model in it is from the net.

    Args:
        folder: gets the models, `class_names.json`, `preprocessing.json`, `example.npz` and `README.md`.
        images: what is compared, uint8 (images, height, width, channels).
        formats: of `FORMATS`.
        say: told the lines.
        told: told what begins.

    Returns:
        the comparison of each file, by its name.

    Raises:
        CnnJaxError: a format that is unknown, an operation that a format does not have, or a file whose outputs differ
            from the net's, with the first layer that does. Nothing is written then.
        StorageError: the folder cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise CnnJaxError(f'--formats: {name!r} given; allowed are {", ".join(FORMATS)}')
    if in_float32(net.experiment.model) is not net.experiment.model:
        say('the run computes with 16 bits or as its `dtype` says; the exported files compute with float32')
    told('our net')
    ours, outcomes, made = net.outputs(images), {}, {}
    with tempfile.TemporaryDirectory() as beside:
        for file in (FORMATS[name] for name in formats):
            told(f'writing {file}')
            made[file] = net.write(file)
            path = Path(beside, file)
            path.write_bytes(made[file])
            told(f'comparing {file}')
            outcomes[file] = check.measure(path, images, ours)
            say(f'{file:<16} {len(made[file]):>12,} bytes; {_words(outcomes[file])}')
            if not outcomes[file].fits:
                told(f'looking for the layer in {file}')
                raise CnnJaxError(_refusal(net, file, images, ours))
    for file in FORMATS.values():
        if file not in made and (folder / file).exists():
            say(f'{folder / file} is of an earlier export: it was not written now, and the new README leaves it out')
    _put(net, folder, made, outcomes, images[:1], {name: array[:1] for name, array in ours.items()})
    return outcomes


def _words(outcome: check.Outcome) -> str:
    sizes = ' and '.join(map(str, check.BATCH_SIZES))
    answers = f'{outcome.others} answers differ' if outcome.others else 'all answers are equal'
    return (
        f'{outcome.images} images at batch {sizes} by {outcome.runtime}: largest difference {outcome.largest:.1e}, '
        f'{answers}'
    )


def _refusal(net: Trained, file: str, images: np.ndarray, ours: dict[str, np.ndarray]) -> str:
    """The line for a file that differs, with the first layer that does: found with a file that gives all layers."""
    images = images[:2]
    mine = net.outputs(images, with_layers=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, file)
        path.write_bytes(net.write(file, with_layers=True))
        _, (theirs,) = check.run(path, images, tuple(mine), (len(images),))
    layer = check.first_layer([name for name in mine if name not in ours], mine, theirs)
    where = f'the first layer that leaves it is {layer}' if layer else 'no layer by itself does'
    return (
        f'{file}: its outputs leave the tolerance of {check.TOLERANCE:g} of the net; {where}; nothing was written; '
        'leave this file out with --formats, and report the net'
    )


def _put(
    net: Trained,
    folder: Path,
    models: dict[str, bytes],
    outcomes: dict[str, check.Outcome],
    images: np.ndarray,
    ours: dict[str, np.ndarray],
) -> None:
    """Writes the folder."""
    data = net.experiment.data
    readme_text = readme.text(
        net.title,
        outputs={name: array.shape[1:] for name, array in ours.items()},
        image_shape=data.image_shape,
        files={file: f'Compared with the net: {_words(outcome)}.' for file, outcome in outcomes.items()},
        versions={'jax': version('jax')},
        from_a_file=preprocessing.from_a_file(data),
    )
    texts = {
        'class_names.json': json.dumps(data.class_names, indent=1, ensure_ascii=False) + '\n',
        'preprocessing.json': json.dumps(preprocessing.describe(net.experiment), indent=1) + '\n',
        'README.md': readme_text,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in {**models, **texts}.items():
            write_whole(folder / name, content)
        with tempfile.TemporaryDirectory() as beside:
            np.savez(Path(beside, 'example.npz'), allow_pickle=False, images=images, **ours)
            write_whole(folder / 'example.npz', Path(beside, 'example.npz').read_bytes())
    except OSError as error:
        raise StorageError(f'--output: {folder} cannot be written: {error.strerror or error}') from error
