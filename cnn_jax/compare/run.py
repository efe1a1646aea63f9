"""A comparison: reads runs, evaluates them alike, says what differs and whether it is more than noise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_jax.compare import page, text
from cnn_jax.compare.runs import pair_of, read_runs, test_images
from cnn_jax.devices.stop import StopRequest
from cnn_jax.statistics.significance import holm
from cnn_jax.workdir.config import default_path
from cnn_jax.workdir.log import Log


def compare_runs(
    runs: Sequence[str], *, workdir: Path | None, data_dir: Path | None, stop: StopRequest, log: Log
) -> None:
    """Compares runs with the first of them, on the console and on a page below `workdir` (None: a new folder).

    Args:
        runs: their work folders.
        workdir: where the page goes.
        data_dir: where the data set lies; None: where each run had it.
        stop: whether a signal has come.
        log: the console.
    """
    read = read_runs([Path(run).expanduser() for run in runs], data_dir=data_dir, stop=stop, log=log)
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
    images = dict(zip(places.tolist(), test_images(first, places), strict=True))
    log.say('')
    with log.working('drawing the page'):
        written = page.write_page(read, pairs, images, folder)
    log.say(f'page           {written}')
