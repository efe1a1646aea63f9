"""Encoded images: their size without decoding them, and decoding under a cap, as training and as evaluation need it.

Pillow is the definition: RGB with 8 bits a channel (of 16 the upper 8), transparency dropped, not turned by EXIF unless
that is asked for (as torchvision and TFDS).
Training decodes JPEG files with simplejpeg and libjpeg-turbo's fast transforms, the quickest there is: some 1.5 of 255
away in the mean.
"""

import contextlib
import functools
import io
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from cnn_jax.errors import check_shortage

MAX_PIXELS = 64 * 2**20  # 192 MB decoded; the largest image of ImageNet has 18 million pixels
FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF', 'WEBP', 'TIFF', 'PPM', 'JPEG2000', 'AVIF')  # that say what they are
SUFFIXES = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm',
    '.pbm', '.pnm', '.jp2', '.j2k', '.avif',
)  # fmt: skip
ORIENTATION = 0x0112  # EXIF's tag: 1 is upright, 5 to 8 lie on their side
JPEG_START, PNG_START = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG markers that are followed by the size
ALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a length

Interpolation = Literal['bilinear', 'bicubic']
FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}  # Pillow's, with antialias
Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels of an image."""


class BadImage(ValueError):
    """Bytes that are no image, or one that is damaged or too large."""


class Header(NamedTuple):
    """What an encoded image says of itself."""

    form: str
    height: int
    width: int
    channels: int
    turn: int = 1  # EXIF's orientation that decoding undoes; height and width are those afterwards


def read_header(encoded: bytes, *, max_pixels: int = MAX_PIXELS, upright: bool = False) -> Header:
    """The size of an encoded image; decodes nothing.

    upright: whether the image is to be turned as EXIF says.

    Raises:
        BadImage: no image, or more than `max_pixels` of them.
    """
    if encoded.startswith(JPEG_START):
        header = _read_jpeg_header(encoded)
    elif encoded.startswith(PNG_START) and len(encoded) > 24:
        width, height = (int.from_bytes(encoded[start : start + 4]) for start in (16, 20))
        header = Header('PNG', height, width, 3)
    else:
        width, height = _open(encoded).size
        header = Header('other', height, width, 3)
    pixels = header.height * header.width
    if pixels > max_pixels:
        raise BadImage(f'{header.width} x {header.height} = {pixels:,} pixels, at most {max_pixels:,} are decoded')
    if not pixels:
        raise BadImage('an image without pixels')
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


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """An image (height, width, channels) upright, by its EXIF orientation."""
    if turn == 1:
        return pixels
    across = pixels.swapaxes(0, 1) if turn >= 5 else pixels
    down, right = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[turn]
    return np.ascontiguousarray(across[::down, ::right])


def _read_jpeg_header(encoded: bytes) -> Header:
    position = 2
    while position + 10 <= len(encoded):
        if encoded[position] != 0xFF:
            break
        marker = encoded[position + 1]
        if marker in FRAMES:
            height, width = (int.from_bytes(encoded[position + at : position + at + 2]) for at in (5, 7))
            return Header('JPEG', height, width, encoded[position + 9])
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in ALONE:
            position += 2
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4])
    raise BadImage('a JPEG file that is cut short or damaged: it does not say its size')


@functools.cache
def _openers() -> list[tuple[Any, Any]]:
    """What Pillow opens each form with, and how it knows the form."""
    Image.init()
    return [Image.OPEN[form] for form in FORMATS if form in Image.OPEN]


def _open(encoded: bytes) -> Image.Image:
    """The image with its header read. `Image.open` would refuse large ones by a cap that all of Pillow shares."""
    for opener, knows in _openers():
        if knows(encoded[:16]) is True:
            try:
                return opener(io.BytesIO(encoded), '')
            except Exception as error:  # Pillow raises a dozen types for bad bytes
                check_shortage(error)
                raise BadImage(f'a damaged image: {" ".join(str(error).split()) or type(error).__name__}') from error
    raise BadImage('no image, or none of the forms ' + ', '.join(FORMATS))


def open_rgb(encoded: bytes) -> Image.Image:
    """The image as Pillow decodes it, in RGB; read its header first, that has the cap."""
    image = _open(encoded)
    try:
        if image.mode == 'P' and 'transparency' in image.info:
            image = image.convert('RGBA')  # else Pillow warns; the colours are the same
        return _eight_bits(image).convert('RGB')
    except BadImage:
        raise
    except Exception as error:
        check_shortage(error)
        raise BadImage(str(error) or type(error).__name__) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Of a grey image with 16 bits the upper 8, as Pillow takes them of colours; it would cut grey off at 255."""
    if image.mode == 'F':
        raise BadImage('its pixels are floating-point numbers, whose range it does not say')
    if image.mode != 'I' and not image.mode.startswith('I;16'):
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise BadImage('its pixels are numbers of 32 bits, whose range it does not say')
    return Image.fromarray((values >> 8).astype(np.uint8))


def decode(encoded: bytes, *, max_pixels: int = MAX_PIXELS, upright: bool = False) -> np.ndarray:
    """RGB uint8 (height, width, 3), whatever the form of the file; `upright`: turned as EXIF says.

    Raises:
        BadImage: cannot be decoded, or is too large.
    """
    return _decode(encoded, read_header(encoded, max_pixels=max_pixels, upright=upright), 1)


def _decode(encoded: bytes, header: Header, shrink: int) -> np.ndarray:
    """The image, a JPEG file at 1 / `shrink` of its size, rounded up."""
    return _turned(_stored(encoded, header, shrink), header.turn)


def _stored(encoded: bytes, header: Header, shrink: int) -> np.ndarray:
    if header.form != 'JPEG' or header.channels not in (1, 3):  # CMYK: Pillow's colours
        return np.asarray(open_rgb(encoded))
    import cv2  # a fifth of a second, which `--help` need not wait for

    full = cv2.IMREAD_COLOR_RGB if shrink == 1 else getattr(cv2, f'IMREAD_REDUCED_COLOR_{shrink}')
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), full | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        check_shortage(error)
        raise BadImage(str(error).splitlines()[0]) from error
    if pixels is None:
        raise BadImage('a JPEG file that is cut short or damaged')
    return pixels if shrink == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _decode_fast(encoded: bytes, header: Header) -> np.ndarray:
    """The image as training takes it; what simplejpeg has anything against goes the way of the others."""
    if header.form == 'JPEG' and header.channels in (1, 3):
        import simplejpeg

        with contextlib.suppress(ValueError):
            return _turned(simplejpeg.decode_jpeg(encoded, fastdct=True, fastupsample=True), header.turn)
    return _decode(encoded, header, 1)


def check(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> None:
    """Decodes an image as cheaply as finds any damage.

    Raises:
        BadImage: cannot be decoded, or is too large.
    """
    _decode(encoded, read_header(encoded, max_pixels=max_pixels), 8)


def decode_box(encoded: bytes, box: Box, *, size: int, header: Header) -> np.ndarray:
    """A box of an image, resized to uint8 (size, size, 3): simplejpeg, then OpenCV, bilinear.

    A JPEG file whose box is twice `size` or more is decoded at a half, a quarter or an eighth, which is quicker and
    leaves less than a factor of two to the bilinear filter; what is larger still is averaged over areas.
    """
    import cv2

    shrink = 1
    if header.form == 'JPEG' and header.channels in (1, 3):
        while shrink < 8 and min(box[2:]) >= 2 * shrink * size:
            shrink *= 2
    pixels = _decode_fast(encoded, header) if shrink == 1 else _decode(encoded, header, shrink)
    top, left, bottom, right = (round(edge / shrink) for edge in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    part = pixels[top:bottom, left:right]
    large = min(part.shape[:2]) >= 2 * size
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if large else cv2.INTER_LINEAR)


def decode_centre(
    encoded: bytes,
    *,
    resize: int,
    size: int,
    interpolation: Interpolation = 'bilinear',
    max_pixels: int = MAX_PIXELS,
    upright: bool = False,
) -> np.ndarray:
    """The centre, uint8 (size, size, 3), of the image with its short side resized to `resize`, with antialias.

    Pillow's arithmetic and torchvision's rounding: the same pixels as theirs, and as timm's for `resize` rounded down
    from size / crop share. Of an image longer than four times its short side only the centre is resized, as one pixel
    by a thousand would be huge whole.
    """
    header = read_header(encoded, max_pixels=max_pixels, upright=upright)
    image = open_rgb(encoded)
    if header.turn != 1:
        image = Image.fromarray(_turned(np.asarray(image), header.turn))
    short = min(image.size)
    wide, high = (int(resize * length / short) for length in image.size)  # the short one is `resize` exactly
    left, top = (round((length - size) / 2) for length in (wide, high))
    if max(wide, high) <= 4 * resize:
        whole = image.resize((wide, high), FILTERS[interpolation])
        return np.asarray(whole.crop((left, top, left + size, top + size)))
    across, down = image.width / wide, image.height / high
    box = (left * across, top * down, min((left + size) * across, image.width), min((top + size) * down, image.height))
    return np.asarray(image.resize((size, size), FILTERS[interpolation], box=box))
