"""Writes a folder that another program can use, StableHLO and ONNX, each compared with the run in a fresh process.

python -m cnn_jax.main --mode=export --workdir=RUN --output=exported/
"""

from pathlib import Path
from typing import TYPE_CHECKING

from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import ARCHITECTURE, CHECKPOINT, DATA_DIR, INIT_FROM, OUTPUT, PREPROCESSING, Flag
from cnn_jax.modes._typed import listed

if TYPE_CHECKING:
    import numpy as np

    from cnn_jax.experiment import Experiment

FLAGS = (
    INIT_FROM,
    ARCHITECTURE,
    PREPROCESSING,
    CHECKPOINT,
    DATA_DIR,
    OUTPUT,
    Flag('formats', 'which models to write; default: stablehlo,onnx'),
)


def run(command: Command) -> None:
    from cnn_jax.devices import mapping
    from cnn_jax.export.run import FORMATS, Trained, export
    from cnn_jax.training import restore
    from cnn_jax.training.as_trained import prepare_as_trained

    log, given = command.log, command.flags
    loaded = prepare_as_trained(command.load(beside_run=False), command.init_from, given, log.say)
    if given.output is None:
        raise CnnJaxError('--mode=export needs --output=FOLDER, where the files go')
    folder = Path(given.output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise CnnJaxError(f'--output: {folder} is a file; give a folder')
    formats = listed(given.formats) if given.formats is not None else tuple(FORMATS)
    variables, source = restore.trained_variables(
        loaded, command.workdir, command.init_from, mapping.make_mesh(), log, which=given.checkpoint
    )
    # The folder is given away: it names the run, and not where that lies.
    title = ', '.join([loaded.name, *(f'{key} {Path(str(value)).name}' for key, value in source.items())])
    images, said = images_of(loaded.experiment, command.data_dir)
    log.say(said)
    net = Trained(loaded.experiment, mapping.fetch(variables), title)
    with log.working('exporting', 1 + 2 * len(formats)) as told:
        export(net, folder, images, formats=formats, say=log.say, told=told.next)
    log.say(f'written: {folder}; its README.md has the lines that read it')


def images_of(experiment: 'Experiment', data_dir: Path) -> tuple['np.ndarray', str]:
    """The images that are compared, uint8 (images, height, width, channels), and a line on what they are.

    From all over the split that choices look at; where the data is not there, random ones.
    """
    import numpy as np

    from cnn_jax.devices import mapping
    from cnn_jax.devices.feed import open_feed
    from cnn_jax.export.check import NUM_IMAGES

    data = experiment.data
    try:
        feed = open_feed(data, data_dir=data_dir, seed=0, mesh=mapping.make_mesh())
        rows = np.linspace(0, len(feed.source(data.choosing_split)) - 1, NUM_IMAGES).round().astype(int)
        rows = np.unique(rows)
        return feed.images(data.choosing_split, rows), f'comparing on {len(rows)} {data.choosing_split} images'
    except DataError as error:
        drawn = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, *data.image_shape), np.uint8)
        return drawn, f'comparing on {NUM_IMAGES} images of random pixels, for there is no data: {error}'
