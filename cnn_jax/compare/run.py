"""A comparison: reads runs, evaluates them alike, says what differs and whether it is more than noise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_jax.compare import page, text
from cnn_jax.compare.runs import images_of, pair_of, read_runs
from cnn_jax.devices.stop import StopRequest
from cnn_jax.statistics.significance import holm
from cnn_jax.workdir.config import default_path
from cnn_jax.workdir.log import Log


def compare_runs(
    runs: Sequence[str],
    *,
    workdir: Path | None,
    data_dir: Path | None,
    checkpoint: str,
    split: str | None,
    stop: StopRequest,
    log: Log,
) -> None:
    """Compares runs with the first of them, on the console and on a page below `workdir` (None: a new folder).

    Args:
        runs: their work folders.
        workdir: where the page goes.
        data_dir: where the data set lies; None: where each run had it.
        checkpoint: of each run, see `restore.read_state`.
        split: of the images; None: 'validation' where all runs held the same images out, else 'test'.
        stop: whether a signal has come.
        log: the console.
    """
    paths = [Path(run).expanduser() for run in runs]
    read = read_runs(paths, data_dir=data_dir, checkpoint=checkpoint, split=split, stop=stop, log=log)
    first, *others = read
    with log.working('comparing image by image', len(others)) as told:
        found = []
        for run in others:
            told.next(run.name)
            found.append(pair_of(run, first))
    pairs = list(zip(found, holm([pair.p for pair in found]), strict=True))
    log.say(text.comparison(read, pairs))
    folder = workdir or default_path('compare')
    places = np.unique(np.concatenate([part for run in others for part in page.shown_places(run, first)]))
    images = dict(zip(places.tolist(), images_of(first, places), strict=True))
    log.say('')
    with log.working('drawing the page'):
        written = page.write_page(read, pairs, images, folder)
    log.say(f'page           {written}')
