"""Encoded images: their size without decoding them, and decoding under a cap, as training and as evaluation need it.

Pillow is the definition: RGB with 8 bits a channel, transparency dropped, not turned by EXIF (as torchvision and TFDS).
Training decodes JPEG files with simplejpeg and libjpeg-turbo's fast transforms, the quickest there is: some 1.5 of 255
away in the mean.
"""

import contextlib
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

MAX_PIXELS = 64 * 2**20  # 192 MB decoded; the largest image of ImageNet has 18 million pixels
FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF', 'WEBP')
JPEG_START, PNG_START = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG markers that are followed by the size
ALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a length

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


def read_header(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """The size of an encoded image; decodes nothing.

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
    return header


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


def _open(encoded: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(encoded), formats=FORMATS)
    except Exception as error:  # Pillow raises a dozen types for bad bytes
        raise BadImage('no image, or none of the forms ' + ', '.join(FORMATS)) from error


def open_rgb(encoded: bytes) -> Image.Image:
    """The image as Pillow decodes it, in RGB; read its header first, that has the cap."""
    image = _open(encoded)
    try:
        if image.mode == 'P' and 'transparency' in image.info:
            image = image.convert('RGBA')  # else Pillow warns; the colours are the same
        return image.convert('RGB')
    except Exception as error:
        raise BadImage(str(error) or type(error).__name__) from error


def decode(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """RGB uint8 (height, width, 3), whatever the form of the file.

    Raises:
        BadImage: cannot be decoded, or is too large.
    """
    return _decode(encoded, read_header(encoded, max_pixels=max_pixels), 1)


def _decode(encoded: bytes, header: Header, shrink: int) -> np.ndarray:
    """The image, a JPEG file at 1 / `shrink` of its size, rounded up."""
    if header.form != 'JPEG' or header.channels not in (1, 3):  # CMYK: Pillow's colours
        return np.asarray(open_rgb(encoded))
    import cv2  # a fifth of a second, which `--help` need not wait for

    full = cv2.IMREAD_COLOR_RGB if shrink == 1 else getattr(cv2, f'IMREAD_REDUCED_COLOR_{shrink}')
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), full | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise BadImage(str(error).splitlines()[0]) from error
    if pixels is None:
        raise BadImage('a JPEG file that is cut short or damaged')
    return pixels if shrink == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _decode_fast(encoded: bytes, header: Header) -> np.ndarray:
    """The image as training takes it; what simplejpeg has anything against goes the way of the others."""
    if header.form == 'JPEG' and header.channels in (1, 3):
        import simplejpeg

        with contextlib.suppress(ValueError):
            return simplejpeg.decode_jpeg(encoded, fastdct=True, fastupsample=True)
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


def decode_centre(encoded: bytes, *, resize: int, size: int, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The centre, uint8 (size, size, 3), of the image with its short side resized to `resize`, bilinear with antialias.

    Pillow's arithmetic and torchvision's rounding: the same pixels as theirs. Of an image longer than four times its
    short side only the centre is resized, as one pixel by a thousand would be huge whole.
    """
    read_header(encoded, max_pixels=max_pixels)
    image = open_rgb(encoded)
    short = min(image.size)
    wide, high = (int(resize * length / short) for length in image.size)  # the short one is `resize` exactly
    left, top = (round((length - size) / 2) for length in (wide, high))
    if max(wide, high) <= 4 * resize:
        whole = image.resize((wide, high), Image.Resampling.BILINEAR)
        return np.asarray(whole.crop((left, top, left + size, top + size)))
    across, down = image.width / wide, image.height / high
    box = (left * across, top * down, min((left + size) * across, image.width), min((top + size) * down, image.height))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
