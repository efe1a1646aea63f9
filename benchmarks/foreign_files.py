"""Files as strangers make them, at random: weights, images, run folders; and what reads each kind."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from cnn_jax.data import arrays
from cnn_jax.data.formats import fitted, image, image_header, views
from cnn_jax.data.formats.seal import Seal
from cnn_jax.errors import CnnJaxError
from cnn_jax.report import gallery
from cnn_jax.weights.keras_file import MAGIC, is_keras, read_backbone
from cnn_jax.weights.reference import read_reference
from cnn_jax.weights.safetensors_file import write_safetensors
from cnn_jax.weights.source import read_arrays
from cnn_jax.workdir import openings, outcome, seals
from cnn_jax.workdir.config import data_dir_of, load_run
from cnn_jax.workdir.config_file import read_config
from cnn_jax.workdir.lock import WorkdirLock
from cnn_jax.workdir.log import read_metrics

DATA = Path(__file__).resolve().parent.parent / 'tests' / 'data'
MOST_PIXELS = 2**24  # of an image, so that whole ones take little time
FORMS = {
    'JPEG': 'RGB',
    'PNG': 'P',
    'BMP': 'RGB',
    'GIF': 'P',
    'WEBP': 'RGB',
    'TIFF': 'L',
    'PPM': 'RGB',
    'JPEG2000': 'RGB',
}
NUMBERS = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**32 - 1)
JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    1e308,
    '',
    'a\0',
    '\x1b[2J',
    'a' * 5000,
    [],
    [[]],
    {},
    {'a': None},
    '../x',
)

Image.init()

Read = Callable[[], Any]


class Kind(NamedTuple):
    """Files of one kind: `make` writes one at random into a folder, and gives what reads it.

    needs: a package that is no dependency of ours; where it is not installed the kind is left out, and that is said.
    """

    make: Callable[[Path, np.random.Generator], list[Read]]
    refusals: tuple[type[Exception], ...]
    needs: str | None = None


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with up to three changes: flipped, cut out, doubled, or a number in the place of four of them."""
    spoilt = bytearray(content or b'.')
    for _ in range(rng.integers(1, 4) if rng.integers(8) else 0):
        if not spoilt:
            break
        at, length = int(rng.integers(len(spoilt))), int(rng.integers(1, 32))
        change = rng.integers(5)
        if change == 0:
            spoilt[at] ^= 1 << int(rng.integers(8))
        elif change == 1:
            number = int(rng.choice(NUMBERS)).to_bytes(4, rng.choice(['little', 'big']))
            spoilt[at : at + 4] = number
        elif change == 2:
            del spoilt[at : at + length]
        elif change == 3:
            spoilt[at:at] = spoilt[at : at + length] * int(rng.integers(1, 5))
        else:
            del spoilt[max(at, 1) :]
    return bytes(spoilt)


def weights(folder: Path, rng: np.random.Generator) -> list[Read]:
    """A file of safetensors, of `torch.save` in its two forms, of opcodes at random, or an `.npz`."""
    form = rng.choice(['safetensors', 'zip', 'legacy', 'opcodes', 'npz', 'npz_compressed'])
    file = folder / f'a{".npz" if form.startswith("npz") else ".pth"}'
    if form == 'safetensors':
        write_safetensors(file, {'a.weight': np.ones((2, 3), np.float32), 'a.bias': np.zeros(2)}, {'by': 'a fuzzer'})
    elif form.startswith('npz'):
        numbers = {'images': np.zeros((2, 4, 4, 1), np.uint8), 'labels': np.arange(2)}
        (np.savez if form == 'npz' else np.savez_compressed)(file, **numbers)
    elif form == 'opcodes':
        with zipfile.ZipFile(file, 'w') as archive:
            archive.writestr('a/data.pkl', opcodes(rng))
        return [lambda: read_arrays(file)]
    else:
        shutil.copy(DATA / ('state_dict.pth' if form == 'zip' else 'state_dict_legacy.pth'), file)
        if form == 'zip' and rng.integers(2):  # behind the checksum of the archive
            with zipfile.ZipFile(DATA / 'state_dict.pth') as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
            with zipfile.ZipFile(file, 'w') as archive:
                for name, content in members.items():
                    archive.writestr(name, mutated(content, rng) if name.endswith('.pkl') else content)
            return [lambda: read_arrays(file)]
    file.write_bytes(mutated(file.read_bytes(), rng))
    if form.startswith('npz'):
        return [lambda: read_reference(file), lambda: arrays.load(file=str(file), batch_size=1)]
    return [lambda: read_arrays(file)]


def opcodes(rng: np.random.Generator) -> bytes:
    """A pickle of opcodes at random, in loops, with what torch's files call."""
    names = [
        b'ccollections\nOrderedDict\n',
        b'ctorch._utils\n_rebuild_tensor_v2\n',
        b'ctorch\nSize\n',
        b'c_codecs\nencode\n',
    ]
    plain = [*map(bytes, zip(b'(}])NRt\x85\x86eaus0')), b'K\x05', b'X\x01\0\0\0a']
    memo = [code + bytes([number]) for code in (b'q', b'h') for number in range(4)]
    parts = [*names, *plain, *memo]
    body = b''
    for _ in range(rng.integers(2, 12)):
        run = b''.join(parts[int(number)] for number in rng.integers(len(parts), size=rng.integers(1, 8)))
        body += run * int(rng.choice([1, 1, 1, 100, 20_000]))
    starts = [b'}', b'](K\1K\2eq\0', b'}(X\1\0\0\0aNuq\0']
    return b'\x80\x02' + starts[int(rng.integers(len(starts)))] + body + b'.'


def backbones(folder: Path, rng: np.random.Generator) -> list[Read]:
    """Keras' file of two blocks of convolutions, whose first bytes stay HDF5's, so that its reader is asked."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, 'w') as file:
        for block in (1, 2):
            place = f'block{block}/layers/conv2d/vars'
            options = {'compression': 'gzip'} if not rng.integers(8) else {}
            file.create_dataset(f'{place}/0', data=np.ones((3, 3, 2, 2), np.float32), **options)
            file.create_dataset(f'{place}/1', data=np.zeros(2, np.float16 if rng.integers(4) else np.float64))
    content = buffer.getvalue()
    path = folder / 'a.weights.h5'
    path.write_bytes(MAGIC + mutated(content[len(MAGIC) :], rng))
    return [lambda: is_keras(path), lambda: read_backbone(path)]


def images(folder: Path, rng: np.random.Generator) -> list[Read]:
    """An image file in any form."""
    form = str(rng.choice([form for form in FORMS if form in Image.SAVE]))
    picture = Image.fromarray(rng.integers(0, 256, (24, 33, 3), np.uint8)).convert(FORMS[form])
    buffer = io.BytesIO()
    options = {'progressive': bool(rng.integers(2))} if form == 'JPEG' else {}
    options |= {'compression': str(rng.choice(['raw', 'tiff_lzw', 'packbits']))} if form == 'TIFF' else {}
    picture.save(buffer, form, **options)
    encoded = mutated(buffer.getvalue(), rng)
    (folder / 'image').write_bytes(encoded)

    def in_box() -> None:
        header = image.read_header(encoded, max_pixels=MOST_PIXELS, upright=True)
        image.decode_box(encoded, (0, 0, header.height, header.width), size=8, header=header)

    def as_ours() -> None:
        image_header.check_png(encoded, max_pixels=MOST_PIXELS)
        cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)

    return [
        lambda: image.decode(encoded, max_pixels=MOST_PIXELS),
        lambda: image.check(encoded, max_pixels=MOST_PIXELS),
        lambda: image.decode_centre(encoded, resize=9, size=8, max_pixels=MOST_PIXELS, upright=True),
        lambda: fitted.fit(encoded, (8, 8, 3)),
        lambda: views.decode(encoded, max_pixels=MOST_PIXELS),
        in_box,
        as_ours,
    ]


CONFIG = {
    'experiment': 'lenet_digits', 'options': {'epochs': 1}, 'seed': 0, 'fold': 0, 'data_dir': '/data',
    'init_from': None, 'folder': '/home', 'splits': {'train': 4, 'test': 2}, 'class_names': ['a', 'b'],
    'fields': ['label'], 'image_shape': [8, 8, 1], 'preprocessing': None, 'experiment_files': {},
    'seals': {'train': [4, 'ab'], 'test': [2, None]}, 'test_openings': [{'time': 'now', 'step': 1, 'by': 'a'}],
    'versions': {'jax': '1'}, 'parallel': 'mapped',
}  # fmt: skip
LINE = {'step': 1, 'seconds': 0.5, 'split': 'train', 'loss': 1.0}


def changed(value: Any, rng: np.random.Generator) -> Any:
    """A JSON value with one of the values in it another one."""
    if isinstance(value, dict | list) and value and rng.integers(4):
        places = list(value) if isinstance(value, dict) else range(len(value))
        place = places[int(rng.integers(len(places)))]
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[place] = changed(value[place], rng)
        return copy
    return JUNK[int(rng.integers(len(JUNK)))]


def run_folders(folder: Path, rng: np.random.Generator) -> list[Read]:
    """The folder of a run, one file of which is spoilt."""
    (folder / 'figures').mkdir(exist_ok=True)
    settings = {'method': 'gradient', 'layer': 'fc', 'unit': 1}
    buffer, check = io.BytesIO(), io.BytesIO()
    np.savez(buffer, maps=np.zeros(3), settings=np.array(json.dumps(settings)))
    np.savez(check, correlation=np.ones((2, 3)), insertion_score=np.ones(3), deletion_score=np.ones(3))
    files = {
        'config.json': json.dumps(CONFIG).encode(),
        'metrics.jsonl': (json.dumps(LINE) + '\n').encode() * 3,
        'outcome.json': b'{"state": "finished", "result_step": 3}',
        'LOCK': b'process 1 on host, started now,',
        'figures/gradient.npz': buffer.getvalue(),
        'figures/gradient_honesty.npz': check.getvalue(),
    }
    spoilt = str(rng.choice(list(files)))
    if spoilt.endswith(('.json', '.jsonl')) and rng.integers(2):
        lines = files[spoilt].splitlines()
        lines[int(rng.integers(len(lines)))] = json.dumps(changed(json.loads(lines[0]), rng)).encode()
        files[spoilt] = b'\n'.join(lines) + b'\n'
    else:
        files[spoilt] = mutated(files[spoilt], rng)
    for name, content in {**files, 'figures/gradient.png': b'', 'figures/gradient_honesty.png': b''}.items():
        (folder / name).write_bytes(content)

    def configured() -> None:
        config = read_config(folder) or {}
        data_dir_of(config)
        openings.in_words(config)
        seals.differences(config, {'train': Seal(4, 'ab')})
        load_run(config, path=folder, report=lambda line: None)

    def locked() -> None:
        lock = WorkdirLock(folder)
        lock.acquire()
        lock.release()

    return [
        configured,
        locked,
        lambda: read_metrics(folder),
        lambda: outcome.read(folder),
        lambda: gallery.section(folder),
    ]


KINDS = {
    'weights': Kind(weights, (CnnJaxError,)),
    'backbones': Kind(backbones, (CnnJaxError,), needs='h5py'),
    'images': Kind(images, (image.BadImage,)),
    'run_folders': Kind(run_folders, (CnnJaxError,)),
}
