"""Decoding: Pillow is the definition; awkward files, damaged files, and files that lie about their size."""

import io
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from small_imagenet import AWKWARD, awkward, bad, cut, encode, jpeg

from cnn_jax.data import synthetic
from cnn_jax.data.formats import fitted, image, image_header, tree, views
from cnn_jax.data.formats.view import Seen
from cnn_jax.errors import CnnJaxError
from cnn_jax.prediction import pictures
from cnn_jax.visualize.engine import image_file

BAD = (
    *('truncated', 'cut in the header', 'empty', 'text', 'bomb', 'jpeg bomb'),
    *('header not first', 'two headers', 'tile bomb', 'program'),
)


def pillow(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert('RGB'))


@pytest.mark.parametrize('kind', [kind for kind in AWKWARD if kind != 'palette'])
def test_decodes_as_pillow_does(kind):
    encoded = awkward(kind)
    expected = pillow(encoded)
    pixels = image.decode(encoded)
    assert pixels.shape == expected.shape
    np.testing.assert_array_equal(pixels, expected)
    header = image.read_header(encoded)
    assert (header.height, header.width) == expected.shape[:2]


def test_transparent_palette_keeps_its_colours():
    encoded = awkward('palette')
    expected = np.asarray(cut(100).quantize(16).convert('RGB'))
    np.testing.assert_array_equal(image.decode(encoded), expected)


@pytest.mark.parametrize('kind', BAD)
def test_bad_images_are_found_by_every_way_of_reading(kind):
    encoded = bad(kind)
    tracemalloc.start()
    for read in (
        image.decode,
        image.check,
        lambda encoded: image.decode_centre(encoded, resize=64, size=56),
        lambda encoded: image.decode_box(encoded, (0, 0, 9, 9), size=8, header=image.read_header(encoded)),
        lambda encoded: fitted.fit(encoded, (8, 8, 3)),
        lambda encoded: views.decode(encoded, max_pixels=10**6),
    ):
        with pytest.raises(image.BadImage) as caught:
            read(encoded)
        assert '\n' not in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 20e6  # nothing large was decoded
    tracemalloc.stop()


@pytest.mark.parametrize('kind', ['bomb', 'header not first', 'two headers', 'text'])
def test_a_small_png_is_what_opencv_decodes_or_refused(kind):
    """In a set of ours OpenCV alone reads it; what it would make of two headers is nothing large."""
    try:
        image_header.check_png(bad(kind))
    except image.BadImage:
        return
    pixels = cv2.imdecode(np.frombuffer(bad(kind), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is None or pixels.shape[:2] == (4, 4)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path):
    sparse = tmp_path / 'image.jpg'
    with sparse.open('wb') as file:
        file.truncate(2**31)
    tracemalloc.start()
    item = tree.Item('image.jpg', 0, sparse, 0, 2**31)
    for read in (lambda: image_header.read(sparse), item.read, lambda: image_header.read(Path('/dev/zero'))):
        with pytest.raises(image.BadImage, match='at most 268,435,456 are read'):
            read()
    assert pictures.read_picture(str(sparse), lambda content: Seen(image.decode(content), None)).seen is None
    with pytest.raises(CnnJaxError, match='at most 268,435,456 are read'):
        image_file.load(sparse, synthetic.load(batch_size=8, image_shape=(8, 8, 3)))
    assert tracemalloc.get_traced_memory()[1] < 300e6
    tracemalloc.stop()


def test_the_cap_is_an_option():
    encoded = jpeg(0)
    image.read_header(encoded, max_pixels=250 * 188)
    with pytest.raises(image.BadImage, match='250 x 188 = 47,000 pixels, at most 46,999 are decoded'):
        image.read_header(encoded, max_pixels=250 * 188 - 1)


def test_damage_anywhere_is_an_error_or_an_image():
    encoded = encode(cut(3, width=60, height=40))
    rng = np.random.default_rng(0)
    for _ in range(300):
        spoilt = bytearray(encoded)
        for at in rng.integers(0, len(spoilt), 3):
            spoilt[at] = rng.integers(0, 256)
        try:
            pixels = image.decode(bytes(spoilt), max_pixels=10**6)
        except image.BadImage:
            continue
        assert pixels.dtype == np.uint8
        assert pixels.shape[-1] == 3


def torchvision_way(encoded: bytes, resize: int, size: int) -> np.ndarray:
    """Resize(resize), CenterCrop(size) of torchvision on a Pillow image, written out."""
    whole = Image.open(io.BytesIO(encoded)).convert('RGB')
    width, height = whole.size
    if width <= height:
        wide, high = resize, int(resize * height / width)
    else:
        wide, high = int(resize * width / height), resize
    whole = whole.resize((wide, high), Image.Resampling.BILINEAR)
    left, top = round((wide - size) / 2.0), round((high - size) / 2.0)
    return np.asarray(whole.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize('resize', [256, 232])
@pytest.mark.parametrize('shape', [(500, 375), (333, 427), (640, 427), (224, 224), (251, 400), (100, 80), (400, 100)])
def test_centre_is_torchvisions(shape, resize):
    encoded = jpeg(7, width=shape[0], height=shape[1])
    centre = image.decode_centre(encoded, resize=resize, size=224)
    np.testing.assert_array_equal(centre, torchvision_way(encoded, resize, 224))


@pytest.mark.parametrize('shape', [(500, 375), (333, 427), (97, 101)])
def test_bicubic_is_pillows(shape):
    encoded = jpeg(7, width=shape[0], height=shape[1])
    centre = image.decode_centre(encoded, resize=50, size=50, interpolation='bicubic')
    whole = Image.open(io.BytesIO(encoded)).convert('RGB')
    wide, high = (int(50 * length / min(shape)) for length in shape)
    whole = whole.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = round((wide - 50) / 2), round((high - 50) / 2)
    np.testing.assert_array_equal(centre, np.asarray(whole)[top : top + 50, left : left + 50])


def test_centre_of_a_long_image_is_torchvisions_but_for_roundings():
    encoded = jpeg(7, width=500, height=100)
    centre = image.decode_centre(encoded, resize=256, size=224).astype(int)
    difference = np.abs(centre - torchvision_way(encoded, 256, 224))
    # Pillow keeps the box in float32, so a weight may fall on the other side of a half: by 1 in each of its two passes.
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.06


def test_resize_has_the_antialias_filter():
    """Pillow's resize against the triangle filter, written out in float64."""
    pixels = np.asarray(cut(5, width=100, height=100).convert('L')).astype(float)
    scale = 100 / 40
    centres = (np.arange(40)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs((np.arange(100)[None] + 0.5 - centres) / scale))
    weights /= weights.sum(1, keepdims=True)
    expected = weights @ pixels @ weights.T
    encoded = encode(cut(5, width=100, height=100).convert('L'), 'PNG')
    centre = image.decode_centre(encoded, resize=40, size=40)[..., 0]
    assert np.abs(centre - expected).max() < 1.1


@pytest.mark.parametrize('kind', AWKWARD)
def test_centre_of_awkward_images(kind):
    centre = image.decode_centre(awkward(kind), resize=256, size=224)
    assert centre.shape == (224, 224, 3)
    assert np.ptp(centre) > (5 if kind == 'thin' else 20)


def test_one_pixel_wide_is_not_blown_up():
    encoded = encode(Image.new('L', (1, 60_000), 128), 'PNG')
    tracemalloc.start()
    image.decode_centre(encoded, resize=256, size=224)  # whole it would be 256 by 15 million
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_box_is_a_bilinear_resize():
    ramp = np.broadcast_to(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], (100, 100, 3))
    encoded = encode(Image.fromarray(np.ascontiguousarray(ramp)), 'PNG')
    header = image.read_header(encoded)
    box = image.decode_box(encoded, (10, 20, 60, 60), size=40, header=header)
    expected = 2 * (20 + (np.arange(40) + 0.5) * 1.5 - 0.5)
    np.testing.assert_allclose(box[3, :, 1], expected, atol=0.51)
    np.testing.assert_array_equal(image.decode_box(encoded, (5, 5, 8, 8), size=8, header=header), ramp[5:13, 5:13])


@pytest.mark.parametrize('size', [24, 50, 90, 150])
def test_large_boxes_are_decoded_smaller(size):
    """Nearer to Pillow's antialiased resize than the bilinear filter alone is."""
    encoded = jpeg(2, width=600, height=400)
    box = image.decode_box(encoded, (30, 50, 360, 480), size=size, header=image.read_header(encoded)).astype(int)
    whole = image.decode(encoded)[30:390, 50:530]
    smooth = np.asarray(Image.fromarray(whole).resize((size, size), Image.Resampling.BILINEAR)).astype(int)
    plain = cv2.resize(whole, (size, size)).astype(int)
    assert np.abs(box - smooth).mean() < 0.9 * np.abs(plain - smooth).mean()


def test_rotation_by_exif_is_left_alone():
    encoded = awkward('rotated')
    assert image.decode(encoded).shape == (188, 250, 3)
    assert image.decode_box(encoded, (0, 0, 188, 250), size=16, header=image.read_header(encoded)).shape == (16, 16, 3)


# What people really have


def encoded_as(pixels, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize('form', ['PNG', 'TIFF', 'PPM'])
def test_grey_of_16_bits_keeps_its_shades(form):
    """Pillow alone makes white of all above 255."""
    wide = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    pixels = image.decode(encoded_as(wide, form))
    assert np.abs(pixels[..., 0] - wide / 257).max() <= 1
    assert (pixels == pixels[..., :1]).all()
    centre = image.decode_centre(encoded_as(wide, form), resize=48, size=48)
    assert np.abs(centre[..., 0] - wide[:, 8:56] / 257).max() <= 1


def test_numbers_without_a_range_are_refused():
    with pytest.raises(image.BadImage, match='floating-point'):
        image.decode(encoded_as(np.ones((8, 8), np.float32), 'TIFF'))
    with pytest.raises(image.BadImage, match='32 bits'):
        image.decode(encoded_as(np.full((8, 8), 70_000, np.int32), 'TIFF'))


@pytest.mark.parametrize('suffix', image_header.SUFFIXES)
def test_every_suffix_that_is_listed_is_read(suffix):
    Image.init()
    form = Image.registered_extensions()[suffix]
    pixels = np.asarray(cut(3, 40, 30))
    options = {'quality': 95} if form in ('JPEG', 'WEBP', 'AVIF') else {}
    found = image.decode(encoded_as(pixels, form, **options))
    assert found.shape == pixels.shape
    assert np.abs(found.astype(int) - pixels).mean() < 12  # GIF has 256 colours


@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('turn', range(1, 9))
def test_photographs_are_turned_as_pillow_turns_them(form, turn):
    exif = Image.Exif()
    exif[image_header.ORIENTATION] = turn
    buffer = io.BytesIO()
    options = {'lossless': True} if form == 'WEBP' else {'quality': 100} if form == 'JPEG' else {}
    cut(1, 60, 40).save(buffer, form, exif=exif, **options)
    encoded = buffer.getvalue()
    assert image_header.orientation(encoded) == (1 if form == 'TIFF' else turn)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert('RGB')).astype(int)
    header = image.read_header(encoded, upright=True)
    assert (header.height, header.width) == upright.shape[:2]
    assert np.abs(image.decode(encoded, upright=True) - upright).max() <= 4  # two decoders of JPEG
    assert image.decode(encoded).shape == (upright.shape if form == 'TIFF' else (40, 60, 3))
    whole = image.decode_box(encoded, (0, 0, *upright.shape[:2]), size=20, header=header)
    expected = cv2.resize(upright.astype(np.uint8), (20, 20), interpolation=cv2.INTER_AREA)
    assert np.abs(whole.astype(int) - expected).mean() < 6
    centre = image.decode_centre(encoded, resize=40, size=40, upright=True)
    edge = (upright.shape[0] - 40) // 2, (upright.shape[1] - 40) // 2
    assert np.abs(centre - upright[edge[0] : edge[0] + 40, edge[1] : edge[1] + 40]).max() <= 4


@pytest.mark.parametrize('form', ['PNG', 'BMP', 'GIF', 'TIFF'])
def test_the_cap_is_an_option_and_named_for_every_form(form):
    """Pillow has a cap of its own, 179 million pixels, which must neither refuse what is allowed nor hide the cause."""
    encoded = encoded_as(np.zeros((15_000, 15_000), bool), form)
    with pytest.raises(image.BadImage, match=r'15000 x 15000 = 225,000,000 pixels, at most 67,108,864'):
        image.decode_centre(encoded, resize=8, size=8)
    header = image.read_header(encoded, max_pixels=10**9)
    assert (header.height, header.width) == (15_000, 15_000)
