"""How near a run's enlarged pictures are to those of DIV2K's validation set, whole pictures as papers measure them.

    python -m benchmarks.div2k --run=runs/edsr
    python -m benchmarks.div2k --run=runs/edsr --first=10 --data_dir=/data      # pictures 801 to 810

Pictures 801 to 900 below data_dir/DIV2K, each enlarged at its own size. PSNR and SSIM on Y are those of
`tasks/super_resolution/quality.py`: `scale` pixels of each border do not count. PSNR of RGB is that of the NTIRE
challenge and of Lim et al. 2017 (arXiv:1707.02921): scale + 6 pixels do not. Beside each stands bicubic interpolation.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from cnn_jax.data import div2k
from cnn_jax.data.formats.image import decode
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.ops import bicubic
from cnn_jax.tasks.super_resolution import quality
from cnn_jax.tasks.super_resolution.measures import to_pixels

RGB_BORDER = 6  # pixels beside `scale`


class Measured(NamedTuple):
    """Of one picture: PSNR on Y in dB, SSIM on Y, and PSNR of RGB in dB."""

    psnr: float
    ssim: float
    rgb: float


def measure(answer: np.ndarray, truth: np.ndarray, scale: int) -> Measured:
    """The three numbers of an answer, uint8 (height, width, 3)."""
    on_y = quality(answer, truth, scale=scale)
    inner = slice(scale + RGB_BORDER, -(scale + RGB_BORDER))
    error = np.mean((answer[inner, inner].astype(np.float64) - truth[inner, inner]) ** 2)
    return Measured(on_y.psnr, on_y.ssim, float(10 * np.log10(255**2 / error)) if error else np.inf)


def measure_pictures(net: Any, home: Path, *, first: int | None = None) -> Iterator[tuple[str, Measured, Measured]]:
    """The name of each picture, what the net reaches on it, and what bicubic interpolation does.

    Args:
        net: a `prediction.net.Net` whose model has a `scale`.
        home: the folder DIV2K.
        first: so many alone; None: all.
    """
    scale = net.model.scale
    for picture in div2k.list_pictures(home, 'test', scale, 0)[:first]:
        truth, small = (decode(file.read_bytes()) for file in picture.files)
        blind = to_pixels(bicubic(jnp.asarray(small, jnp.float32)[None] / 255, scale=scale))[0]
        answers = net.predict(small)['enlarged'], np.asarray(blind, np.uint8)
        own, other = (measure(answer, truth, scale) for answer in answers)
        yield picture.name, own, other


def in_words(name: str, own: Measured, other: Measured) -> str:
    """A line: the net's numbers, bicubic's in brackets."""
    return (
        f'{name:<18} Y {own.psnr:.2f} dB ({other.psnr:.2f})  SSIM {own.ssim:.4f} ({other.ssim:.4f})  '
        f'RGB {own.rgb:.2f} dB ({other.rgb:.2f})'
    )


def main(arguments: list[str] | None = None) -> None:
    """Prints a line for each picture, and their mean."""
    import cnn_jax

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', required=True, help='a work folder, one of its checkpoints, or a file of weights')
    parser.add_argument('--data_dir', type=Path, default=default_data_dir(), help='the folder that has DIV2K')
    parser.add_argument('--first', type=int, default=None, help='so many pictures alone')
    given = parser.parse_args(arguments)
    rows = []
    for row in measure_pictures(cnn_jax.load(given.run), given.data_dir.expanduser() / div2k.NAME, first=given.first):
        print(in_words(*row), flush=True)
        rows.append(row[1:])
    own, other = (Measured(*np.mean([row[place] for row in rows], 0).tolist()) for place in (0, 1))
    print(in_words(f'mean of {len(rows)}', own, other))


if __name__ == '__main__':
    main()
