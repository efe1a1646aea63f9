"""An image of any kind, a path, a PIL image or an array, as a net is shown it; and the answers to several."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.formats.image_header import BadImage, read
from cnn_jax.data.formats.view import WHOLE, Seen
from cnn_jax.errors import CnnJaxError, DataError, check_shortage


def shown(net: Any, image: Any) -> Seen:
    """An image as a net (`net.Net`, which knows this file) is shown it; errors as `Net.predict`."""
    try:
        if isinstance(image, str | Path):
            return net.see(read(Path(image).expanduser()))
        if hasattr(image, 'save') and hasattr(image, 'convert'):  # of PIL, which need not be imported for that
            return net.see(_as_png(image))
        return _of_array(net, np.asarray(image))
    except OSError as error:
        check_shortage(error)
        raise DataError(f'images: cannot read {image}: {error.strerror}') from error
    except BadImage as error:
        raise DataError(f'images: {image if isinstance(image, str | Path) else "an image"}: {error}') from error


def answers(net: Any, seen: Sequence[Seen], *, most: int, size: int | None = None) -> list[dict[str, Any]]:
    """The answers of a net to pictures, in their order.

    Those of the usual size go through it together. Another size, of a task that takes any, is compiled for itself, and
    one picture at a time is in memory, as it may be large.

    Args:
        most: pictures at a time.
        size: see `Net.outputs`.
    """
    usual = [place for place, one in enumerate(seen) if one.pixels.shape == net.image_shape]
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(usual), most):
        part = usual[start : start + most]
        outputs = net.outputs(np.stack([seen[place].pixels for place in part]), size=size)
        found |= zip(part, net.answers(outputs, [seen[place].view for place in part]), strict=True)
    for place, one in enumerate(seen):
        if place not in found:
            (found[place],) = net.answers(net.outputs(one.pixels[None], size=1), [one.view])
    return [found[place] for place in range(len(seen))]


def _of_array(net: Any, array: np.ndarray) -> Seen:
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        what = 'values 0 .. 255; of values 0 .. 1: np.round(255 * image).astype(np.uint8)'
        raise CnnJaxError(
            f'images: {array.dtype} {array.shape} given; an image is a path, a PIL image or uint8 (height, width) '
            f'or (height, width, channels), {what}; what the model itself takes needs preprocessed=True'
        )
    if array.reshape(*array.shape[:2], -1).shape == net.image_shape:
        return Seen(array.reshape(net.image_shape), WHOLE if net.finds_places else None)
    from PIL import Image

    grey = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    return net.see(_as_png(Image.fromarray(grey)))


def _as_png(picture: Any) -> bytes:
    """A PIL image as a file's bytes, to go the way of files."""
    buffer = io.BytesIO()
    known = ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I', 'I;16')
    (picture if picture.mode in known else picture.convert('RGB')).save(buffer, 'PNG', compress_level=1)
    return buffer.getvalue()
