"""Image files before they are decoded: their bytes, their form and their size, each under a cap.

What says the size is the parser of the library that decodes: two parsers may read one file in two ways.
"""

import contextlib
import functools
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from cnn_jax.errors import check_shortage

MAX_PIXELS = 64 * 2**20  # 192 MB decoded; the largest image of ImageNet has 18 million pixels
MAX_BYTES = 256 * 2**20  # of a file, before anything is read; so many pixels in a form without compression fit
FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF', 'WEBP', 'TIFF', 'PPM', 'JPEG2000', 'AVIF')  # that say what they are
SUFFIXES = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm',
    '.pbm', '.pnm', '.jp2', '.j2k', '.avif',
)  # fmt: skip
ORIENTATION = 0x0112  # EXIF's tag: 1 is upright, 5 to 8 lie on their side
JPEG_START, PNG_START = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
PNG_HEADER = PNG_START + b'\x00\x00\x00\x0dIHDR'  # which the standard puts first
JPEG_CHANNELS = {'Gray': 1, 'YCbCr': 3, 'RGB': 3}  # what simplejpeg and OpenCV decode; the rest is Pillow's
TILE_WIDTH, TILE_HEIGHT = 322, 323  # TIFF's tags: a tile is decoded whole, however small the image is


class BadImage(ValueError):
    """Bytes that are not an image, or one that is damaged or too large."""


class Header(NamedTuple):
    """What an encoded image says of itself."""

    form: str
    height: int
    width: int
    channels: int
    turn: int = 1  # EXIF's orientation that decoding undoes; height and width are those afterwards


def read(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        BadImage: more than `MAX_BYTES` of them; nothing is read then.
        OSError: it cannot be read.
    """
    with path.open('rb') as file:
        check_bytes(os.fstat(file.fileno()).st_size)
        content = file.read(MAX_BYTES + 1)  # a device says that it has none
    check_bytes(len(content))
    return content


def check_bytes(size: int) -> None:
    """Raises BadImage for a file of more bytes than an image has."""
    if size > MAX_BYTES:
        raise BadImage(f'a file of {size:,} bytes or more, at most {MAX_BYTES:,} are read')


def read_header(encoded: bytes, *, max_pixels: int = MAX_PIXELS, upright: bool = False) -> Header:
    """The size of an encoded image, as the parser of the library that decodes it says; decodes nothing.

    upright: whether the image is to be turned as EXIF says.

    Raises:
        BadImage: no image, or more than `max_pixels` of them.
    """
    header = _jpeg_header(encoded) if encoded.startswith(JPEG_START) else None
    if header is None:
        width, height = open_image(encoded, max_pixels=max_pixels).size
        header = Header('other', height, width, 3)
    _check_size(header.width, header.height, max_pixels)
    turn = orientation(encoded) if upright else 1
    height, width = (header.width, header.height) if turn >= 5 else (header.height, header.width)
    return header._replace(height=height, width=width, turn=turn)


def orientation(encoded: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, one that no standard knows, or Pillow itself undoes it."""
    if b'Exif' not in encoded[:65536] and not encoded.startswith((PNG_START, b'RIFF')):
        return 1  # and TIFF, which Pillow gives upright
    try:
        found = int(_open(encoded).getexif().get(ORIENTATION, 1))
    except Exception as error:  # Pillow raises a dozen types for damaged tags, and these decide nothing else
        check_shortage(error)
        return 1
    return found if 1 <= found <= 8 else 1


def _jpeg_header(encoded: bytes) -> Header | None:
    """What simplejpeg reads before it decodes; None where Pillow is to read and decode: CMYK, damage, the unusual."""
    import simplejpeg

    try:
        found: Any = simplejpeg.decode_jpeg_header(encoded)
    except ValueError:
        return None
    height, width, colours, _ = found
    return Header('JPEG', height, width, JPEG_CHANNELS[colours]) if colours in JPEG_CHANNELS else None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    pixels = width * height
    if pixels > max_pixels:
        raise BadImage(f'{width} x {height} = {pixels:,} pixels, at most {max_pixels:,} are decoded')
    if not pixels:
        raise BadImage('an image without pixels')


def check_png(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> None:
    """Checks the size of a small PNG file of ours for OpenCV, in a hundredth of the time that Pillow takes.

    Its size is at a known place if its header stands first, and there alone does libpng, which decodes it, take it.

    Raises:
        BadImage: no PNG file whose header stands first, or a too large one.
    """
    if not encoded.startswith(PNG_HEADER) or len(encoded) < 24:
        raise BadImage('not a PNG file that begins with its header')
    width, height = (int.from_bytes(encoded[start : start + 4]) for start in (16, 20))
    _check_size(width, height, max_pixels)


@functools.cache
def _openers() -> list[tuple[Any, Any]]:
    """What Pillow opens each form with, and how it knows the form."""
    Image.init()
    return [Image.OPEN[form] for form in FORMATS if form in Image.OPEN]


def _open(encoded: bytes) -> Image.Image:
    """The image with its header read. `Image.open` would refuse large ones by a cap that all of Pillow shares."""
    for opener, knows in _openers():
        if knows(encoded[:16]) is True:
            with explained('a damaged image: '):
                return opener(io.BytesIO(encoded), '')
    raise BadImage(f'no image in a supported format ({", ".join(FORMATS)})')


@contextlib.contextmanager
def explained(what: str = '') -> Iterator[None]:
    """Whatever a decoder raises in the block is a `BadImage`: they raise a dozen types for bad bytes.

    Not so a shortage of memory or threads: it is the machine's, the sizes are checked before.

    Raises:
        BadImage: the bytes are bad.
        ShortageError: the machine is short of something.
    """
    try:
        yield
    except BadImage:
        raise
    except Exception as error:
        check_shortage(error)
        raise BadImage(f'{what}{" ".join(str(error).split()) or type(error).__name__}') from error


def open_image(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image as Pillow opens it, not yet decoded, with its size checked.

    Raises:
        BadImage: none of `FORMATS`, a damaged header, or too large.
    """
    image = _open(encoded)
    _check_size(*image.size, max_pixels)
    tags = getattr(image, 'tag_v2', {})
    if TILE_WIDTH in tags and TILE_HEIGHT in tags:
        with explained('a damaged image: '):
            _check_size(int(tags[TILE_WIDTH]), int(tags[TILE_HEIGHT]), max_pixels)
    return image
