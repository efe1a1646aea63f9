"""A small tree of real JPEG files of the shape of ImageNet, cut from scikit-learn's photographs, with awkward ones."""

import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

CLASSES = ('n00000001', 'n00000002', 'n00000003')
AWKWARD = ('grey', 'cmyk', 'png', 'rotated', 'thin', 'small', 'name with spaces', 'progressive', 'palette')


@functools.cache
def photographs() -> tuple[np.ndarray, ...]:
    """Two photographs, uint8 (427, 640, 3)."""
    return tuple(load_sample_images().images)


def cut(seed: int, width: int = 250, height: int = 188) -> Image.Image:
    """A piece of a photograph, the same for a seed."""
    rng = np.random.default_rng(seed)
    photograph = photographs()[seed % 2]
    left, top = rng.integers(0, 640 - width + 1), rng.integers(0, 427 - height + 1)
    return Image.fromarray(photograph[top : top + height, left : left + width])


def encode(image: Image.Image, form: str = 'JPEG', **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **({'quality': 90} if form == 'JPEG' else {}) | options)
    return buffer.getvalue()


def jpeg(seed: int, **size: int) -> bytes:
    return encode(cut(seed, **size))


def awkward(kind: str) -> bytes:
    """A whole image that is not like the others."""
    image = cut(100)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    return {
        'grey': lambda: encode(image.convert('L')),
        'cmyk': lambda: encode(image.convert('CMYK')),
        'png': lambda: encode(image, 'PNG'),
        'rotated': lambda: encode(image, exif=exif),
        'thin': lambda: encode(image.resize((1, 188))),
        'small': lambda: encode(image.resize((20, 13))),
        'name with spaces': lambda: encode(image),
        'progressive': lambda: encode(image, progressive=True),
        'palette': lambda: encode(image.quantize(16), 'PNG', transparency=bytes(16)),
    }[kind]()


def bad(kind: str) -> bytes:
    """What is no image, or too large a one."""
    return {
        'truncated': lambda: jpeg(101)[:-2000],
        'cut in the header': lambda: jpeg(101)[:100],
        'empty': lambda: b'',
        'text': lambda: b'<html>not found</html>',
        'bomb': lambda: png_header(20_000, 20_000),
        'jpeg bomb': lambda: _resized_header(jpeg(101), 60_000, 60_000),
        'header not first': lambda: _chunk_first(png_header(20_000, 20_000)),
        'two headers': lambda: _header_twice(png_header(20_000, 20_000)),
        'tile bomb': lambda: _large_tile(20_000),
        'program': lambda: b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n',
    }[kind]()


def png_header(width: int, height: int) -> bytes:
    """A PNG file that says it is large, and would be, if it were decoded."""

    header = _chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + _chunk(b'IDAT', zlib.compress(bytes(10**6))) + _chunk(b'IEND', b'')


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))


def _chunk_first(png: bytes) -> bytes:
    """Another chunk before the header; where the header should be, it says 4 x 4 pixels."""
    return png[:8] + _chunk(b'teXt', struct.pack('>II', 4, 4) + b'a\0b') + png[8:]


def _header_twice(png: bytes) -> bytes:
    """The first header says 4 x 4 pixels."""
    return png[:8] + _chunk(b'IHDR', struct.pack('>IIBBBBB', 4, 4, 8, 2, 0, 0, 0)) + png[8:]


def _large_tile(size: int) -> bytes:
    """A TIFF file of 9 x 9 pixels whose one tile has `size` x `size`."""
    content = bytes(10**4)
    tags = [(256, 4, 9), (257, 4, 9), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    tags += [(322, 4, size), (323, 4, size), (324, 4, 8), (325, 4, len(content))]
    entries = b''.join(struct.pack('<HHII', tag, kind, 1, value) for tag, kind, value in tags)
    return b'II*\0' + struct.pack('<I', 8 + len(content)) + content + struct.pack('<H', len(tags)) + entries + bytes(4)


def _resized_header(content: bytes, width: int, height: int) -> bytes:
    frame = content.index(b'\xff\xc0')
    return content[: frame + 5] + struct.pack('>HH', height, width) + content[frame + 9 :]


def make_tree(root: Path, *, classes=CLASSES, train: int = 6, val: int = 3) -> Path:
    """Writes `root/train/<class>/*.JPEG` and `root/val/<class>/*.JPEG`, the awkward ones among the first class."""
    for split, count in (('train', train), ('val', val)):
        for number, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f'{name}_{index}.JPEG').write_bytes(jpeg(1000 * (split == 'val') + 100 * number + index))
    for kind in AWKWARD:
        (root / 'train' / classes[0] / f'{kind}.JPEG').write_bytes(awkward(kind))
    return root


def imagenet_classes() -> tuple[str, ...]:
    """In the place of the thousand."""
    return CLASSES
