"""Encoded images: their size without decoding them, and decoding under a cap, as training and as evaluation need it.

Pillow is the definition: RGB with 8 bits a channel (of 16 the upper 8), transparency dropped, not turned by EXIF unless
that is asked for (as torchvision and TFDS).
Training decodes JPEG files with simplejpeg and libjpeg-turbo's fast transforms, the quickest there is: some 1.5 of 255
away in the mean.
"""

import contextlib
from typing import Literal

import numpy as np
from PIL import Image

from cnn_jax.data.formats.image_header import MAX_PIXELS, BadImage, Header, explained, open_image, read_header
from cnn_jax.data.formats.view import place_centre

Interpolation = Literal['bilinear', 'bicubic']
FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}  # Pillow's, with antialias
Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels of an image."""


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """An image (height, width, channels) upright, by its EXIF orientation."""
    if turn == 1:
        return pixels
    across = pixels.swapaxes(0, 1) if turn >= 5 else pixels
    down, right = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[turn]
    return np.ascontiguousarray(across[::down, ::right])


def open_rgb(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image as Pillow decodes it, in RGB.

    Raises:
        BadImage: cannot be decoded, or is too large.
    """
    image = open_image(encoded, max_pixels=max_pixels)
    with explained():
        if image.mode == 'P' and 'transparency' in image.info:
            image = image.convert('RGBA')  # else Pillow warns; the colours are the same
        return _eight_bits(image).convert('RGB')


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
    if header.form != 'JPEG':
        return np.asarray(open_rgb(encoded, max_pixels=header.height * header.width))
    import cv2  # a fifth of a second, which `--help` need not wait for

    full = cv2.IMREAD_COLOR_RGB if shrink == 1 else getattr(cv2, f'IMREAD_REDUCED_COLOR_{shrink}')
    with explained():
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), full | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise BadImage('a JPEG file that is cut short or damaged')
    return pixels if shrink == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _decode_fast(encoded: bytes, header: Header) -> np.ndarray:
    """The image as training takes it; what simplejpeg has anything against goes the way of the others."""
    if header.form == 'JPEG':
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
    if header.form == 'JPEG':
        while shrink < 8 and min(box[2:]) >= 2 * shrink * size:
            shrink *= 2
    pixels = _decode_fast(encoded, header) if shrink == 1 else _decode(encoded, header, shrink)
    if pixels.shape[:2] != (-(-header.height // shrink), -(-header.width // shrink)):
        raise BadImage('its pixels are not as many as its header says')
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
    image = open_rgb(encoded, max_pixels=max_pixels)
    if header.turn != 1:
        image = Image.fromarray(_turned(np.asarray(image), header.turn))
    (wide, high), (left, top) = place_centre(image.size, resize=resize, size=size)
    if max(wide, high) <= 4 * resize:
        whole = image.resize((wide, high), FILTERS[interpolation])
        return np.asarray(whole.crop((left, top, left + size, top + size)))
    across, down = image.width / wide, image.height / high
    box = (left * across, top * down, min((left + size) * across, image.width), min((top + size) * down, image.height))
    return np.asarray(image.resize((size, size), FILTERS[interpolation], box=box))
