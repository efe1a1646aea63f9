"""Images of a data set, a batch at a time, and what a layer makes of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import last, scores


@dataclass(frozen=True)
class Examples:
    """Rows of a data set.

    source: `len` and `[row]` to {'image': uint8 (height, width, channels), ...}. preprocess: uint8 images (batch, ...)
    to model inputs. rows: which, in what order; None: all. group: what a row belongs to, of the task; its class.
    """

    source: Any
    preprocess: Callable[[np.ndarray], Any]
    batch_size: int = 64
    rows: np.ndarray | None = None
    group: Callable[[Mapping[str, Any]], int] = lambda example: example['label']

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(rows, images, groups); all batches but the last are full."""
        rows = np.arange(len(self.source)) if self.rows is None else np.asarray(self.rows)
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            found = [self.source[int(row)] for row in part]
            yield (
                part,
                np.stack([one['image'] for one in found]),
                np.array([self.group(one) for one in found], np.int32),
            )

    def only(self, rows: np.ndarray) -> 'Examples':
        """Those rows of the data set."""
        return replace(self, rows=np.asarray(rows))

    def first(self, most: int) -> 'Examples':
        """The first rows that can be read, so many at most."""
        rows = np.arange(len(self.source)) if self.rows is None else np.asarray(self.rows)
        there = [row for row in rows[:most] if self.source[int(row)].get('readable', True)]
        return self.only(np.array(there, int))

    def at_most(self, batch_size: int) -> 'Examples':
        """The same in batches that are no larger than that; of one at least."""
        return replace(self, batch_size=max(1, min(self.batch_size, batch_size)))

    def inputs(self, images: np.ndarray) -> jax.Array:
        """Model inputs, padded with copies of the last image to a full batch, so that one program serves all."""
        index = np.minimum(np.arange(self.batch_size), len(images) - 1)
        return scores.check_images(self.preprocess(images[index]))


class Absent(NamedTuple):
    """Stands for images of a data set that is not there: how they would be prepared, and their shape."""

    preprocess: Callable[[np.ndarray], Any]
    image_shape: tuple[int, int, int]


class Features(NamedTuple):
    """Rows of a data set in the space of a layer."""

    values: np.ndarray  # (images, features), float32 or wider
    images: np.ndarray  # uint8
    labels: np.ndarray
    rows: np.ndarray
    layer: str  # whose space


def features(model: Any, variables: Any, examples: Examples, *, layer: str | None = None, most: int = 2000) -> Features:
    """What a layer makes of the first `most` examples, flattened; None: what the last layer reads (after its ReLU)."""
    parts, read, name, count = [], None, layer or '', 0
    for rows, images, labels in examples.batches():
        inputs = examples.inputs(images)
        if read is None:
            net = scores.net_of(model, variables, inputs)
            name, read = (layer, net.output(layer)) if layer else last.last_hidden(net)
        made = scores.read(model, variables, inputs, (read,))[0]
        values = np.asarray(made, jnp.promote_types(made.dtype, jnp.float32))[: len(rows)]  # sklearn knows no bfloat16
        parts.append((values.reshape(len(rows), -1), images, labels, rows))
        count += len(rows)
        if count >= most:
            break
    if not parts:
        raise CnnJaxError('there are no images to look at')
    joined = [np.concatenate(part)[:most] for part in zip(*parts, strict=True)]
    wrong = int((~np.isfinite(joined[0]).all(1)).sum())
    if wrong:
        raise CnnJaxError(f'{name}: the features of {wrong} of {len(joined[0])} images are not finite')
    return Features(joined[0], joined[1], joined[2], joined[3], name or '')
