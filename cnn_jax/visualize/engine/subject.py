"""What is looked at: a net with its weights, images, and the examples of the test split."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.augment import BatchTransform
from cnn_jax.data.formats.imagenet_words import in_words
from cnn_jax.data.pipeline import Data
from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.tasks.task import Task
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine import image_file, picture_file
from cnn_jax.visualize.engine.examples import Absent, Examples
from cnn_jax.visualize.engine.shuffling import shuffled

NUM_IMAGES = 3  # of the test split, where no --image is given
NUM_CHECKED = 30  # images by which a method is judged: enough for an interval


class Subject(NamedTuple):
    """What is looked at, with arguments as methods name them: model inputs, the examples of the test split."""

    model: Any
    variables: Any
    pixels: np.ndarray  # uint8 (batch, height, width, channels)
    images: jax.Array  # the same as the model takes them
    titles: list[str]  # of the images
    examples: Examples | None  # None where the data set is not there
    class_names: tuple[str, ...]  # in words
    task: Task
    about: dict[str, Any]  # for the settings: the experiment, and where the variables are from
    random: Callable[[int], Any]  # the variables shuffled, by the number of the shuffle, for `honesty`
    chosen: str | None = None  # the image that was asked for; the files are named after it
    training: Callable[[], Examples | None] = lambda: None  # opened when first asked for; None where they are not there
    photograph: Callable[[], np.ndarray] | None = None  # reads the file that was given, whole: uint8
    preprocess: Callable[[np.ndarray], jax.Array] | None = None  # uint8 images of any size to model inputs

    def to_measure(self) -> Examples | Absent:
        """The images whose colours and spectrum pictures take: of training, else of the test, else none are there."""
        return self.training() or self.examples or Absent(self.preprocess or np.asarray, self.pixels.shape[1:])


def make_subject(
    model: Any,
    variables: Any,
    *,
    task: Task,
    data: Data,
    preprocess: BatchTransform,
    about: dict[str, Any],
    data_dir: Path,
    image: str | None,
    optional: bool = False,
) -> Subject:
    """The subject of a call: trained variables, with images of the test split or of a file.

    Args:
        variables: on any devices.
        preprocess: of the experiment.
        about: for the settings: the experiment, and where the variables are from.
        data_dir: where the data set lies; it may be absent where `image` is a file.
        image: a file, or the number of a test image; None: the first ones of different classes. A test image that is
            asked something is alone, with a question of its own.
        optional: without a data set and a file there are no images, and no error.

    Raises:
        CnnJaxError: no such image.
        DataError: the data is needed and not there.
    """
    inputs_of = preprocessing(preprocess)
    class_names = in_words(data.class_names)
    examples, pixels, photograph, titles = None, None, None, []
    try:
        examples = Examples(data.open('test', data_dir), inputs_of, group=task.group)
    except DataError as error:
        if image is None and not optional:
            raise DataError(f'{error}; or give a picture of yours: --image=FILE') from error
        if image is not None and image.isdigit():
            raise
        pixels = np.zeros((0, *data.image_shape), np.uint8)
    if image is not None and not image.isdigit():
        file = Path(image).expanduser()
        pixels, titles = image_file.load(file, data)[None], [file.name]
        photograph = functools.partial(picture_file.read, file, '--image', data.image_shape[2])
    elif examples is not None:
        pixels, titles = _test_images(examples, task, image, class_names)
    assert pixels is not None  # a missing data set was raised above
    on_one_device = jax.device_put(mapping.fetch(variables))
    random, chosen = shuffled_once(on_one_device), image and Path(image).stem
    inputs = inputs_of(pixels)
    training = functools.cache(lambda: _training(data, data_dir, inputs_of, task))
    subject = Subject(
        model, on_one_device, pixels, inputs, titles, examples, class_names, task, about, random, chosen, training,
        photograph, inputs_of,
    )  # fmt: skip
    return subject if photograph is not None else with_own_question(subject, int(image or 0))


def with_own_question(subject: Subject, row: int) -> Subject:
    """Of a task that is asked something the first image alone, and the net that is asked the question of its row.

    row: of the test split. Where an image has several questions they take turns, by its number.
    """
    if not subject.task.is_asked or subject.examples is None:
        return subject
    example = subject.examples.source[row]
    told = subject.task.told(example, subject.class_names)
    number = row % len(told)
    inputs = {name: example[name][number : number + 1] for name in subject.task.model_inputs}
    return subject._replace(
        model=subject.task.put(subject.model, inputs),
        pixels=subject.pixels[:1],
        images=subject.images[:1],
        titles=[f'test image {row}: {told[number].about}, label {told[number].people}'],
        class_names=tuple(told[number].choices),
    )


def _training(data: Data, data_dir: Path, inputs_of: Callable[[np.ndarray], Any], task: Task) -> Examples | None:
    """The training images; None where they are not there."""
    try:
        return Examples(data.open('train', data_dir), inputs_of, group=task.group)
    except DataError:
        return None


def shuffled_once(variables: Any) -> Callable[[int], Any]:
    """A number to all variables shuffled, when first asked for, and then kept."""
    return functools.cache(lambda number: jax.device_put(shuffled(variables, None, number)))


def images_for_checks(subject: Subject) -> jax.Array:
    """Model inputs by which a method is judged: the first of the subject's images, then test images, spread evenly.

    Fewer where the test split has fewer, or is not there.
    """
    first = subject.images[:1]
    if subject.examples is None:
        return first
    source = subject.examples.source
    rows = np.unique(np.linspace(0, len(source) - 1, min(NUM_CHECKED - 1, len(source))).round().astype(int))
    found = [source[int(row)] for row in rows]
    pixels = [one['image'] for one in found if one.get('readable', True)]
    if not pixels:
        return first
    return jnp.concatenate([first, scores.check_images(subject.examples.preprocess(np.stack(pixels)))])


def preprocessing(transform: BatchTransform) -> Callable[[np.ndarray], jax.Array]:
    """uint8 images to model inputs, compiled."""

    def preprocess(images: Any) -> jax.Array:
        keys = jax.random.split(jax.random.key(0), len(images))
        return transform(keys, {'image': jnp.asarray(images)})['image']

    return jax.jit(preprocess)


def _test_images(
    examples: Examples, task: Task, image: str | None, class_names: tuple[str, ...]
) -> tuple[np.ndarray, list[str]]:
    """One test image by number, or the first of NUM_IMAGES with different truths."""
    count = len(examples.source)
    if image is not None and int(image) >= count:
        raise CnnJaxError(f'--image={image}: the test split has images 0 to {count - 1}')
    rows: dict[str, int] = {}
    for row in [int(image)] if image is not None else range(min(count, 1000)):
        rows.setdefault(task.truth(examples.source[row], class_names), row)
        if len(rows) == NUM_IMAGES:
            break
    return titled_rows(examples.source, list(rows.values()), task, class_names)


def titled_rows(
    source: Any, rows: Sequence[int] | np.ndarray, task: Task, class_names: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """Images of a split, and their titles."""
    found = [source[int(row)] for row in rows]
    titles = [f'test image {row}, label {task.truth(one, class_names)}' for row, one in zip(rows, found, strict=True)]
    return np.stack([one['image'] for one in found]), titles
