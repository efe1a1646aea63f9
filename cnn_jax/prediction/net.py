"""A trained net in the hand: what it says of pictures, what its layers make of them, why, and how good it is."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import features, weights
from cnn_jax.data.augment import BatchTransform
from cnn_jax.data.formats.imagenet_words import in_words
from cnn_jax.data.formats.view import Seen, View
from cnn_jax.devices import mapping
from cnn_jax.errors import CnnJaxError
from cnn_jax.layers.fold import fold_once
from cnn_jax.prediction import asking, seeing
from cnn_jax.steps.predict import make_predict_step
from cnn_jax.steps.recipe import Parts
from cnn_jax.tasks.results import Evaluation
from cnn_jax.tasks.task import Task
from cnn_jax.visualize.engine.subject import preprocessing
from cnn_jax.weights.preprocessing import Preprocessing

if TYPE_CHECKING:
    from cnn_jax.visualize.engine.method import Picture

BATCH = 32  # images at a time, where there are several: with one alone the two sizes that are compiled
NOTHING_ASKED: Mapping[str, np.ndarray] = {}
NOT_FINITE = 'the outputs of the net are not finite'


@dataclasses.dataclass(frozen=True, repr=False)
class Net:
    """A model with its variables, and all that stands between a picture and an answer.

    `load` gives one. It needs no data set, and may be used by several threads.

    Attributes:
        model: the Linen module.
        variables: on the devices.
        task: what its answers are.
        class_names: in the order of its outputs.
        preprocess: uint8 images as the model takes them, `(keys, batch) -> batch`.
        image_shape: (height, width, channels) of the images before that.
        read_file: the bytes of an image file as uint8 of `image_shape`.
        view_of: where these lie in the picture of the file; None where nobody knows.
        source: where the variables are from, in words.
        metrics: the lines of `metrics.jsonl`, of a run.
        prepared: gives its preprocessing as a file of weights keeps it, see `weights.prepared`; None where it has none.
    """

    model: Any
    variables: dict[str, Any]
    task: Task
    class_names: tuple[str, ...]
    preprocess: BatchTransform
    image_shape: tuple[int, int, int]
    read_file: Callable[[bytes], np.ndarray]
    source: str
    metrics: Sequence[dict[str, Any]] = ()
    view_of: Callable[[bytes], View | None] = lambda encoded: None
    prepared: Callable[[], Preprocessing | None] = lambda: None

    def __repr__(self) -> str:
        size = sum(leaf.size for leaf in jax.tree.leaves(self.variables.get('params', {})))
        names = ', '.join(self.class_names[:4]) + (', ...' if len(self.class_names) > 4 else '')
        height, width, channels = self.image_shape
        classes = f' of {len(self.class_names)} classes ({names})' if names else ''
        return (
            f'<{type(self.model).__name__} of {self.source}: {self.task.name}{classes}; '
            f'images of {height} x {width} x {channels}; {size:,} parameters>'
        )

    def predict(
        self, images: Any, *, question: str | None = None, choices: Sequence[Any] = (), preprocessed: bool = False
    ) -> Any:
        """The answers of the task: for classes {'prediction': name, 'probability': share, 'top': [[name, share], ...]}.

        The second call with as many images, or several, compiles nothing.

        Args:
            images: a path, a PIL image or a uint8 array (height, width) or (height, width, channels) of any size, or a
                list of these; a uint8 array (images, height, width, channels).
            question: of a task that is asked something, about each of them.
            choices: of the question, answers in words, or boxes in pixels of the picture.
            preprocessed: whether they are what the model takes: floating point (images, height, width, channels).

        Returns:
            a list of answers; of a single image its answer.

        Raises:
            DataError: what cannot be read as an image.
            CnnJaxError: an array of another type or shape, or a question that the net cannot be asked.
        """
        if preprocessed and question is not None:
            raise CnnJaxError('preprocessed: a question is about pictures; give these as they are')
        if preprocessed:
            inputs = np.asarray(images)
            if inputs.ndim != 4 or inputs.dtype.kind != 'f':
                raise CnnJaxError(
                    f'images: {inputs.dtype} {inputs.shape} given; what the model takes is floating point '
                    '(images, height, width, channels)'
                )
            return self.answers(_joined([self._direct(self._folded[1], part) for part in _parts(inputs)]))
        single = not isinstance(images, list | tuple) and getattr(images, 'ndim', 0) != 4
        seen = [self.shown(image) for image in ([images] if single else images)]
        if question is not None:
            answers = asking.ask(self, seen, [asking.line_of(self, '', question, choices)] * len(seen))
        else:
            answers = seeing.answers(self, seen, most=BATCH)
        return answers[0] if single else answers

    def outputs(
        self, pixels: np.ndarray, *, asked: Mapping[str, np.ndarray] = NOTHING_ASKED, size: int | None = None
    ) -> Any:
        """The outputs as the task reads them, (images, ...) arrays, of uint8 images (images, *image_shape).

        asked: what the model takes beside the images, (images, ...) arrays.
        size: images are added up to so many, and each size is compiled once; None: 1, or BATCH.
        """
        count = len(pixels)
        wanted: int = size or (1 if count == 1 else max(BATCH, count))
        total: int = -(-wanted // self._mesh.size) * self._mesh.size
        given = {name: _padded(values, total) for name, values in {'image': pixels, **asked}.items()}
        numbers = {'index': np.arange(total, dtype=np.int32), 'epoch': np.zeros(total, np.int32)}
        batch = mapping.put_batch(self._mesh, {**given, **numbers, 'mask': np.arange(total) < count})
        return jax.tree.map(lambda values: values[:count], mapping.fetch(self._mapped(self._folded[1], batch)))

    def answers(self, outputs: Any, views: Sequence[View | None] = ()) -> list[dict[str, Any]]:
        """The answers of the task from `outputs`; of what is not finite {'error': why}.

        views: of each image, where it lies in its picture: places are then the picture's, else what the net is shown.
        """
        count = len(jax.tree.leaves(outputs)[0]) if outputs is not None else 0
        each = (jax.tree.map(lambda values, row=row: values[row], outputs) for row in range(count))
        return [self._answer(*pair) for pair in itertools.zip_longest(each, views)]

    def _answer(self, outputs: Any, view: View | None) -> dict[str, Any]:
        if not all(np.isfinite(values).all() for values in jax.tree.leaves(outputs)):
            return {'error': NOT_FINITE}
        if self.task.shares:
            height, width, _ = self.input_shape
            outputs = outputs | {name: outputs[name] * [width, height] for name in self.task.shares}
        if view is not None:
            outputs = outputs | {name: view.to_picture(outputs[name]) for name in self.task.places}
        return self.task.decode(outputs, self.names)

    @property
    def parts(self) -> Parts:
        """What the steps take of a recipe."""
        return Parts(self.model, self.task, self.preprocess)

    @functools.cached_property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of what the model takes."""
        height, width, channels = jax.eval_shape(self._preprocess, np.zeros((1, *self.image_shape), np.uint8)).shape[1:]
        return height, width, channels

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The classes in words: those of ImageNet have WordNet's names; a word of two classes has that behind it."""
        words = in_words(self.class_names)
        return tuple(
            f'{word} ({name})' if words.count(word) > 1 else word
            for word, name in zip(words, self.class_names, strict=True)
        )

    def pixels(self, images: Any) -> np.ndarray:
        """Images of any kind that `predict` takes as uint8 (images, *image_shape)."""
        found = [self.shown(image).pixels for image in images]
        return np.stack(found) if found else np.zeros((0, *self.image_shape), np.uint8)

    def shown(self, image: Any) -> Seen:
        """An image of any kind that `predict` takes as the net is shown it; errors as `predict`."""
        return seeing.shown(self, image)

    def see(self, encoded: bytes) -> Seen:
        """The picture of an image file as the net is shown it.

        Raises:
            BadImage: it cannot be read.
        """
        pixels = self.read_file(encoded)
        return Seen(pixels, self.view_of(encoded) if self.finds_places else None)

    def inputs(self, images: Any) -> jax.Array:
        """The same as the model takes them."""
        return self._preprocess(self.pixels(images))

    def features(self, images: Any, *, layers: Sequence[str]) -> dict[str, jax.Array]:
        """What layers make of images, by name; see `features.features`."""
        return features.features(self.model, self.variables, self.inputs(images), layers=layers, batch_size=BATCH)

    def explain(
        self, image: Any, *, method: str, layer: str | None = None, unit: int | str | None = None,
        question: str | None = None, choices: Sequence[Any] = (),
    ) -> 'Picture':  # fmt: skip
        """A picture of one method of `visualize`: its `figure`, and the `arrays` behind it.

        unit: a class or its name, a detection (0 the surest), a joint, a word, a choice; None: the net's own answer; or
            a channel of `layer`. question, choices: as `predict` takes them.

        Raises:
            CnnJaxError: an unknown method, layer or unit.
            DataError: the method looks at test images, of which a net knows none.
        """
        from cnn_jax.visualize.engine.draw import make_method
        from cnn_jax.visualize.engine.explaining import unit_number
        from cnn_jax.visualize.engine.subject import Subject, shuffled_once

        variables = jax.device_put(mapping.fetch(self.variables))
        pixels, title = self.pixels([image]), str(image) if isinstance(image, str | Path) else 'image'
        subject = Subject(
            self.model, variables, pixels, self._preprocess(pixels), [title], None, self.names,
            self.task, {'source': self.source}, shuffled_once(variables), preprocess=self._preprocess,
        )  # fmt: skip
        if question is not None:
            subject = asking.put(self, subject, asking.line_of(self, image, question, choices))
        chosen = unit_number(unit, subject, method, layer) if isinstance(unit, str) else unit
        return next(iter(make_method(method).draw(subject, layer, chosen)))

    def evaluate(self, folder: str | Path) -> Evaluation:
        """How good it is on images of known classes, `folder/<class>/<image>`: the names decide.

        Raises:
            DataError: no such folder, a class that the net has not, or no image that can be read.
        """
        from cnn_jax.prediction.folder import evaluate

        return evaluate(self, Path(folder).expanduser())

    def save(self, path: str | Path) -> None:
        """Writes model, variables and class names into one .safetensors file, which `cnn_jax.load` reads."""
        weights.save(
            path,
            self.model,
            mapping.fetch(self.variables),
            image_shape=self.input_shape,
            class_names=self.class_names,
            preprocessing=self.prepared(),
            task=self.task.name,
            task_arguments=self.task.arguments,
        )

    @property
    def finds_places(self) -> bool:
        """Whether places are asked for or answered, and the preprocessing leaves them, as far as sizes tell."""
        told = self.task.places or 'choice_boxes' in self.task.model_inputs
        return bool(told) and self.input_shape[:2] == self.image_shape[:2]

    @functools.cached_property
    def _mesh(self) -> Any:
        return mapping.make_mesh()

    @functools.cached_property
    def _folded(self) -> tuple[Any, dict[str, Any]]:
        """Model and variables that answer: the same up to rounding, its batch norms folded into the convolutions."""
        if self.task.model_inputs:  # beside the images
            return self.model, self.variables
        return fold_once(self.model, self.variables, jax.ShapeDtypeStruct((1, *self.input_shape), np.float32))

    @functools.cached_property
    def _mapped(self) -> Callable[[Any, Any], Any]:
        return mapping.map_eval(make_predict_step(Parts(self._folded[0], self.task, self.preprocess)), self._mesh)

    @functools.cached_property
    def _direct(self) -> Callable[[Any, Any], Any]:
        step = make_predict_step(Parts(self._folded[0], self.task, lambda keys, batch: batch))

        def direct(variables: Any, inputs: jax.Array) -> jax.Array:
            numbers = jnp.zeros(len(inputs), jnp.int32)
            return step(variables, {'image': inputs, 'index': numbers, 'epoch': numbers})

        return jax.jit(direct)

    @functools.cached_property
    def _preprocess(self) -> Callable[[np.ndarray], jax.Array]:
        return preprocessing(self.preprocess)


def _joined(parts: Sequence[Any]) -> Any:
    """Outputs of parts as those of all images, on the host; None of no parts."""
    return jax.tree.map(lambda *each: np.concatenate(each), *jax.device_get(list(parts))) if parts else None


def _padded(values: np.ndarray, total: int) -> np.ndarray:
    """Rows (rows, ...) with zeros behind them, so many in all."""
    padded = np.zeros((total, *values.shape[1:]), values.dtype)
    padded[: len(values)] = values
    return padded


def _parts(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
