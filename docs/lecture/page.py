"""What the pages of the lecture share: how a figure is shown, and sizes for a quick look.

`CNN_JAX_LECTURE=small` makes every page quick: the same nets, trained for fewer steps on fewer images. Its numbers are
not those of the site, and what the text says of them need not hold; a page that trains says so.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from cnn_jax.devices import compilation  # noqa: E402
from cnn_jax.drawing import figure as drawing  # noqa: E402

compilation.set_up()  # a page that is run again compiles nothing that it compiled before
SMALL = os.environ.get('CNN_JAX_LECTURE') == 'small'
receive: Callable[[Any, str], None] | None = None  # what the site's generator does with a figure
_style = contextlib.ExitStack()
_style.enter_context(drawing.style())  # until the page ends
_numbers: dict[str, int] = {}


def show(figure: Any, caption: str) -> None:
    """Shows a figure: in a notebook below the cell, else as a file below `runs/lecture`, which is named.

    A model's own figure or an `Explanation` may be given; caption: one or two sentences.
    """
    figure = getattr(figure, 'figure', figure) or figure
    if receive is not None:
        receive(figure, caption)
    elif 'ipykernel' in sys.modules:
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        display(figure)
        print(caption)
    else:
        name = Path(sys.argv[0]).stem
        _numbers[name] = _numbers.get(name, 0) + 1
        path = ROOT / 'runs' / 'lecture' / f'{name}_{_numbers[name]}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        print(f'{path.relative_to(ROOT)}: {caption}')


def canvas(rows: int, columns: int, *, width: float = 8.0, height: float, **options: Any) -> tuple[Any, np.ndarray]:
    """An empty figure and its axes (rows, columns); sizes in inches."""
    figure = drawing.new_figure(width, height)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def pictures(images: Sequence[Any], titles: Sequence[str], *, columns: int = 0, width: float = 8.0) -> Any:
    """Images side by side with their titles, as a figure.

    images: (height, width, 3) of uint8 or floats in 0 .. 1 as they are; (height, width), or of one channel, of numbers
    on a scale of its own, blue below zero and orange above, or grey if it is uint8.
    """
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    shape = np.shape(images[0])
    figure, axes = canvas(
        rows,
        columns,
        width=width,
        height=rows * (width / columns * shape[0] / shape[1] + (0.32 if any(titles) else 0.06)),
    )
    for place in axes.flat:
        place.set_axis_off()
    for place, image, title in zip(axes.flat, images, titles, strict=False):
        picture(place, image, title)
    return figure


def picture(axes: Any, image: Any, title: str = '', *, limit: float | None = None) -> None:
    """One image on axes, as `pictures` shows it; limit: the end of the scale of numbers."""
    image = np.asarray(image)
    image = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    axes.set_axis_off()
    axes.set_title(title)
    if image.ndim == 3:
        axes.imshow(image, interpolation='nearest')
    elif image.dtype == np.uint8:
        axes.imshow(image, cmap='gray', vmin=0, vmax=255, interpolation='nearest')
    else:
        axes.imshow(image, **drawing.scale_of(image, limit).drawn)


def photograph(name: str = 'china', *, size: tuple[int, int] | None = None) -> np.ndarray:
    """A photograph that scikit-learn or scikit-image carries, uint8 (height, width, 3).

    name: 'china' (a temple), 'flower', or of scikit-image: 'chelsea' (a cat), 'coffee', 'astronaut', 'rocket'.
    size: (height, width) to shrink it to, by area.
    """
    from PIL import Image

    if name in ('china', 'flower'):
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image(f'{name}.jpg')
    else:
        import skimage.data

        pixels = getattr(skimage.data, name)()
    if size is None:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BOX))


@contextlib.contextmanager
def quiet(what: str = 'training') -> Iterator[None]:
    """A context in which what a training says goes into `runs/lecture/training.txt`, and not on the page.

    what: is said on the console's second stream, so that a reader knows what takes so long.
    """
    say_if_small()
    file = ROOT / 'runs' / 'lecture' / 'training.txt'
    file.parent.mkdir(parents=True, exist_ok=True)
    print(f'{what}; how it goes stands in {file.relative_to(ROOT)}', file=sys.stderr, flush=True)
    with file.open('w', encoding='utf-8', buffering=1) as log, contextlib.redirect_stdout(log):
        yield


@functools.cache
def say_if_small() -> None:
    """Says once on a page that its nets are trained for a quick look; nothing on a page that trains them in full."""
    if SMALL:
        print('small: the nets of this page are trained shorter than its text tells; what it says need not hold')


def drawn(result: Any, count: int) -> list[np.ndarray]:
    """The first test images with the answers of a net that `cnn_jax.train` gave, as its report draws them.

    Uint8 pictures: what is right, mostly on the left, and the answer.
    """
    import cnn_jax
    from cnn_jax.data.pipeline import default_data_dir
    from cnn_jax.tasks.cases import Case

    results = result.evaluations['test'].results
    source = result.loaded.experiment.data.open('test', default_data_dir())
    rows = [source[int(index)] for index in results['index'][:count]]
    said: list[Any] = [None] * count
    if result.task.answers_are_images:
        made = cnn_jax.load(result).outputs(np.stack([row['image'] for row in rows]))
        said = [{name: values[place] for name, values in made.items()} for place in range(count)]
    cases = [
        Case(row['image'], {name: values[place] for name, values in results.items()}, row, said[place])
        for place, row in enumerate(rows)
    ]
    return [result.task.drawn(case, result.class_names) for case in cases]
