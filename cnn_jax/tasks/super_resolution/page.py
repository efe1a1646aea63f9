"""What the page of a super-resolution shows: what is gained over bicubic interpolation, and the pictures."""

from collections.abc import Sequence

import numpy as np

from cnn_jax.data.formats.shrunk import HIGH
from cnn_jax.drawing import charts
from cnn_jax.drawing.overlay import GAP
from cnn_jax.drawing.page import figure_html, html_table, section
from cnn_jax.tasks import cases
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.results import Results
from cnn_jax.tasks.run import Run

CASE_NOTE = 'From the left: what the net is shown, bicubic interpolation, the net, the truth.'
LEAST_SIDE = 180  # pixels of a picture on the page; smaller ones have squares for pixels
MEASURED = ('psnr', 'bicubic_psnr', 'ssim', 'bicubic_ssim')


def by_label(results: Results, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The mean of each measure over the images of each label that is there; {} where images have none."""
    if 'label' not in results:
        return {}
    found = {}
    for label, name in enumerate(names):
        rows = results['label'] == label
        if rows.any():
            found[name] = {one: float(np.mean(results[one][rows], dtype=np.float64)) for one in MEASURED}
    return found


def sections(run: Run) -> list[str]:
    """The sections of the page that are super-resolution's own."""
    if not run.results:
        return []
    gain = run.results['psnr'] - run.results['bicubic_psnr']
    drawn = charts.sorted_values(gain, label='dB more than bicubic interpolation')
    note = f'{int(np.sum(gain > 0)):,} of {len(gain):,} images are nearer to the truth than bicubic interpolation is.'
    shown = figure_html(run.workdir, 'gain', 'What each test image gains', drawn, run.record)
    return [section('What is gained', note, f'<div class="figures">{shown}</div>{_table(run)}'), *cases.sections(run)]


def _table(run: Run) -> str:
    """The measures of each photograph; nothing where the images are not pieces of several."""
    heads = ('photograph', 'PSNR in dB', 'of bicubic', 'gain', 'SSIM', 'of bicubic')
    rows = [
        (
            name, f'{one["psnr"]:.2f}', f'{one["bicubic_psnr"]:.2f}', f'{one["psnr"] - one["bicubic_psnr"]:+.2f}',
            f'{one["ssim"]:.4f}', f'{one["bicubic_ssim"]:.4f}',
        )
        for name, one in by_label(run.results, run.class_names).items()
    ]  # fmt: skip
    return html_table(heads, rows, numeric=heads[1:]) if rows else ''


def four(case: Case) -> np.ndarray:
    """The small image, bicubic's, the net's and the truth side by side, uint8 (height, width, 3)."""
    from PIL import Image

    truth = case.row[HIGH]
    height, width = truth.shape[:2]
    scale = height // case.image.shape[0]
    small = case.image.repeat(scale, 0).repeat(scale, 1)
    low = Image.fromarray(case.image[..., 0] if case.image.shape[2] == 1 else case.image)
    smooth = np.asarray(low.resize((width, height), Image.Resampling.BICUBIC)).reshape(truth.shape)
    answer = np.nan_to_num(case.answer['enlarged']).astype(np.uint8)
    times = max(1, -(-LEAST_SIDE // max(height, width)))
    pictures = []
    for picture in (small, smooth, answer, truth):
        large = np.broadcast_to(picture, (height, width, 3)).repeat(times, 0).repeat(times, 1)
        pictures += [large, np.full((large.shape[0], GAP, 3), 255, np.uint8)]
    return np.concatenate(pictures[:-1], 1)
