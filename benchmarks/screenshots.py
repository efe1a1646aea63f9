"""The screenshots of the README: three pages of a run's microscope, opened in Chromium from the disk.

    python -m benchmarks.screenshots --workdir=RUN --output=docs/pages/pictures

RUN is a finished run of lenet_digits, whose page `--mode=report` has written whole.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cnn_jax.drawing.page import page_path
from cnn_jax.files.whole import write_whole

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
FLAGS = (
    *('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--hide-scrollbars'),
    *('--disable-background-networking', '--disable-component-update', '--disable-sync'),
    '--blink-settings=preferredColorScheme=1',  # light
)
WIDTH, SETTLED = 1440, 4000  # pixels; milliseconds of the browser's own clock, which waits for nothing
MOST_BYTES = 200_000


class Shot(NamedTuple):
    """A view of the page: its address behind the '#', and how many pixels of it are shown."""

    name: str
    address: str
    height: int


SHOTS = (
    Shot('unit', 'layer=conv3&unit=4', 1175),
    Shot('image', 'page=image', 1245),
    Shot('training', 'page=training&step=97', 1456),
)


def take(browser: str, page: Path, shot: Shot) -> bytes:
    """A view as PNG.

    Raises:
        RuntimeError: the browser wrote no picture.
    """
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / 'shot.png'
        own = [f'--user-data-dir={home}/profile', f'--window-size={WIDTH},{shot.height}', f'--screenshot={file}']
        command = [browser, *FLAGS, f'--virtual-time-budget={SETTLED}', *own, f'{page.as_uri()}#{shot.address}']
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if not file.exists():
            raise RuntimeError(f'{shot.name}: {browser} wrote no picture: {done.stderr.strip()[-300:]}')
        return file.read_bytes()


def packed(picture: bytes) -> bytes:
    """The same PNG with as many of 256, 128 and 64 colours as keep it within `MOST_BYTES`; the pages have few."""
    image = Image.open(io.BytesIO(picture)).convert('RGB')
    found = picture
    for colours in (256, 128, 64):
        buffer = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(buffer, 'PNG', optimize=True)
        found = buffer.getvalue()
        if len(found) <= MOST_BYTES:
            break
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--workdir', type=Path, required=True, help='a run whose page is there')
    parser.add_argument('--output', type=Path, default=Path('docs/pages/pictures'), help='the folder of the pictures')
    given = parser.parse_args(arguments)
    page, browser = page_path(given.workdir).resolve(), next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f'no browser is installed; needed is one of {", ".join(BROWSERS)}', file=sys.stderr)
        return 2
    if not (page.parent / 'data' / 'training.js').exists():
        print(f'{page} is not there whole; write it: --mode=report --workdir={given.workdir}', file=sys.stderr)
        return 2
    given.output.mkdir(parents=True, exist_ok=True)
    for shot in SHOTS:
        picture = packed(take(browser, page, shot))
        write_whole(given.output / f'{shot.name}.png', picture)
        print(f'{given.output / shot.name}.png  {len(picture):,} bytes')
    return 0


if __name__ == '__main__':
    sys.exit(main())
