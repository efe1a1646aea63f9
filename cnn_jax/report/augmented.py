"""A contact sheet of what the model was shown in training: the first images, augmented, preprocessed and mixed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnn_jax.data import order, pipeline
from cnn_jax.devices import mapping
from cnn_jax.drawing import page
from cnn_jax.drawing.words import percent
from cnn_jax.experiment import Experiment
from cnn_jax.steps.inputs import image_keys

NAME = 'augmented'  # of the files in `figures/`
COLUMNS, MOST = 8, 24
SPARE = 8  # more images than are shown: with mixing, an image needs those that follow it
TILE, CAPTION, GAP = 112, 14, 4  # pixels
INK, PAPER = (28, 32, 36), (255, 255, 255)


def write(experiment: Experiment, source: Any, folder: Path, *, seed: int) -> Path:
    """Writes `augmented.png` and `augmented.npz` into a folder; the path of the picture.

    The images are the first of the first step, changed by the keys that they have there, on one device. The numbers:
    `inputs` (images, height, width, channels) as the model takes them, `targets` (images, classes), `index` in the
    split, and `pixels` uint8, which are shown.

    Args:
        source: of the training split.
        seed: of the run.
    """
    data = experiment.data
    count = min(data.batch_size, MOST + SPARE)
    index, epoch = (rows[:count] for rows in order.rows(len(source), seed, 0, data.batch_size, data.repeats))
    raw = pipeline.read(source, index, epoch=epoch, seed=seed, size=data.train_size(0))
    batch = {**raw, 'index': index, 'epoch': epoch}
    mesh = mapping.make_mesh(1)
    seen = jax.device_get(mapping.map_eval(_make_look(experiment, seed), mesh)({}, mapping.put_batch(mesh, batch)))
    shown = {name: np.asarray(values)[:MOST] for name, values in seen.items()}
    pixels = to_pixels(shown['inputs'], shown.pop('black'), shown.pop('white'))
    captions = [caption(target, data.class_names) for target in shown['targets']]
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {**shown, 'pixels': pixels, 'index': index[:MOST]}
    np.savez_compressed(folder / f'{NAME}.npz', **arrays)
    sheet(pixels, captions).save(folder / f'{NAME}.png')
    return folder / f'{NAME}.png'


def _make_look(experiment: Experiment, seed: int):
    """(nothing, batch) -> what the model gets of it, and what it would get of black and of white images."""
    num_classes = experiment.data.num_classes

    def look(nothing: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        del nothing
        _, rng = jax.random.split(jax.random.key(seed))  # as `steps.init_state`
        keys = image_keys(rng, batch)
        images = experiment.augment(keys, batch['image']) if experiment.augment else batch['image']
        black, white = (experiment.preprocess(keys, jnp.full_like(images, value)) for value in (0, 255))
        inputs = experiment.training_inputs(batch, rng)
        targets = inputs.targets if experiment.mix else jax.nn.one_hot(inputs.labels, num_classes)
        return {'inputs': inputs.images, 'targets': targets, 'black': black, 'white': white}

    return look


def to_pixels(inputs: np.ndarray, black: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Inputs of a model as uint8 pixels, by what black and white images become: undoes any scaling pixel by pixel.

    Where both become the same, as in a border that preprocessing adds, the pixel is black.
    """
    span = white.astype(np.float64) - black
    unit = np.divide(inputs - black, span, out=np.zeros(span.shape), where=np.abs(span) > 1e-12)
    return np.clip(np.rint(255 * unit), 0, 255).astype(np.uint8)


def caption(target: np.ndarray, class_names: Sequence[str]) -> str:
    """'cat', or '63 % cat, 37 % dog' of a mixed image."""
    most = [int(number) for number in np.argsort(-target, kind='stable')[:2] if target[number] >= 0.005]
    if len(most) == 1:
        return class_names[most[0]]
    return ', '.join(f'{percent(target[number], 0)} {class_names[number]}' for number in most)


def sheet(pixels: np.ndarray, captions: Sequence[str]) -> Image.Image:
    """The images in rows of eight with their captions; uint8 (images, height, width, channels), grey or RGB."""
    pixels = pixels if pixels.shape[-1] == 3 else pixels[..., :1].repeat(3, axis=-1)
    height, width = pixels.shape[1:3]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    filtering = Image.Resampling.NEAREST if scale >= 1.5 else Image.Resampling.BILINEAR
    rows, font = -(-len(pixels) // COLUMNS), ImageFont.load_default(10)
    across, down = size[0] + GAP, size[1] + CAPTION + GAP
    page = Image.new('RGB', (min(COLUMNS, len(pixels)) * across + GAP, rows * down + GAP), PAPER)
    pen = ImageDraw.Draw(page)
    for number, (image, text) in enumerate(zip(pixels, captions, strict=True)):
        left, top = GAP + number % COLUMNS * across, GAP + number // COLUMNS * down
        page.paste(Image.fromarray(image).resize(size, filtering), (left, top))
        while text and pen.textlength(text, font) > size[0]:
            text = text[:-2] + '…' if len(text) > 2 else ''
        pen.text((left, top + size[1] + 1), text, INK, font)
    return page


def section(workdir: Path) -> str:
    """The picture as a part of the page; '' where there is none."""
    path = workdir / 'figures' / f'{NAME}.png'
    if not path.exists():
        return ''
    note = 'The first training images as the model was shown them: augmented, mixed, and scaled back to be seen.'
    picture = (
        f'<figure><img src="{page.image_source(path.read_bytes())}" alt="augmented training images" loading="lazy">'
        f'<figcaption>{note} Numbers: figures/{NAME}.npz.</figcaption></figure>'
    )
    return page.section('What the model was shown', '', picture)
