"""A contact sheet of what the model was shown in training: the first images, augmented, preprocessed and mixed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnn_jax.data import order, pipeline
from cnn_jax.data.augment import Batch
from cnn_jax.devices import mapping
from cnn_jax.drawing import page
from cnn_jax.experiment import Experiment
from cnn_jax.steps.inputs import applied, image_keys
from cnn_jax.steps.train import TrainStep

NAME = 'augmented'  # of the files in `figures/`
COLUMNS, MOST = 8, 24
SPARE = 8  # more images than are shown: with mixing, an image needs those that follow it
TILE, CAPTION, GAP = 112, 14, 4  # pixels
INK, PAPER = (28, 32, 36), (255, 255, 255)


def write(experiment: Experiment, step: TrainStep, source: Any, folder: Path, *, seed: int) -> Path:
    """Writes `augmented.png` and `augmented.npz` into a folder; the path of the picture.

    The images are the first of the first step, as that step shows them to the model, on one device. The numbers:
    `inputs` (images, height, width, channels) as the model takes them, what the loss compares with (`targets`
    (images, classes) for classification), `index` in the split, and `pixels` uint8, which are shown.

    Args:
        step: the training step.
        source: of the training split.
        seed: of the run.
    """
    data, task = experiment.data, experiment.task
    count = min(data.batch_size, MOST + SPARE)
    index, epoch = (rows[:count] for rows in order.rows(len(source), seed, 0, data.batch_size, data.repeats))
    raw = pipeline.read(source, index, fields=data.row_fields, epoch=epoch, seed=seed, size=data.train_size(0))
    batch = {**raw, 'index': index, 'epoch': epoch}
    mesh = mapping.make_mesh(1)
    look = mapping.map_eval(_make_look(experiment, step, seed), mesh)
    seen = jax.device_get(look({}, mapping.put_batch(mesh, batch)))
    inputs, black, white = ({name: values[:MOST] for name, values in part.items()} for part in seen)
    pixels = to_pixels(inputs['image'], black['image'], white['image'])
    targets = task.targets(inputs, data)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {'inputs': inputs['image'], **targets, 'pixels': pixels, 'index': index[:MOST]}
    np.savez_compressed(folder / f'{NAME}.npz', **arrays)
    captions = task.captions(targets, data) or [''] * len(pixels)  # where rows carry nothing beside the image
    sheet(pixels, captions).save(folder / f'{NAME}.png')
    return folder / f'{NAME}.png'


def _make_look(experiment: Experiment, step: TrainStep, seed: int):
    """(nothing, batch) -> what the model gets of it, and what it would get of black and of white images."""

    def look(nothing: Any, batch: Batch) -> tuple[Batch, Batch, Batch]:
        del nothing
        _, rng = jax.random.split(jax.random.key(seed))  # as `steps.state.init_state`
        keys, size = image_keys(rng, batch), batch['image'].shape
        if experiment.augment:
            size = jax.eval_shape(experiment.augment, keys, batch)['image'].shape
        plain = [{**batch, 'image': jnp.full(size, value, jnp.uint8)} for value in (0, 255)]
        black, white = (applied('preprocess', experiment.preprocess, keys, one) for one in plain)
        return step.inputs(batch, rng), black, white

    return look


def to_pixels(inputs: np.ndarray, black: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Inputs of a model as uint8 pixels, by what black and white images become: undoes any scaling pixel by pixel.

    Where both become the same, as in a border that preprocessing adds, the pixel is black.
    """
    span = white.astype(np.float64) - black
    unit = np.divide(inputs - black, span, out=np.zeros(span.shape), where=np.abs(span) > 1e-12)
    return np.clip(np.rint(255 * unit), 0, 255).astype(np.uint8)


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
