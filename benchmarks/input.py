"""The input pipeline against the loaders it would replace: decoding, Grain's share, sets on the device.

    python -m benchmarks.input

One run compares: the ways take turns on the same images, and a row is the best round, which other work on the machine
disturbs least, in images per second; decoding is measured image by image. Real JPEG files of 500 by 375, 4:2:0,
quality 90, cut from scikit-learn's photographs. Writes benchmarks/results/input.json.
"""

import argparse
import concurrent.futures
import io
import json
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.lenet_digits import machine
from cnn_jax.data import digits, order, pipeline, streaming
from cnn_jax.data.formats import array_record, crops, image, shards
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.data.formats.tree import list_classes
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import ResidentFeed

RESULTS = Path(__file__).parent / 'results' / 'input.json'
SIZE = 224
CLASSES = ('flower', 'temple')

Way = Callable[[], int]  # does some work; how many images that was


def make_files(folder: Path, each: int = 16) -> list[bytes]:
    """Writes `folder/<class>/*.jpg`, pieces of two photographs; their bytes."""
    from sklearn.datasets import load_sample_images

    rng, encoded = np.random.default_rng(0), []
    for name, photograph in zip(CLASSES, load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            top, left = rng.integers(0, 427 - 375 + 1), rng.integers(0, 640 - 500 + 1)
            buffer = io.BytesIO()
            piece = np.ascontiguousarray(photograph[top : top + 375, left : left + 500])
            Image.fromarray(piece).save(buffer, 'JPEG', quality=90)
            (folder / name / f'{number:03d}.jpg').write_bytes(buffer.getvalue())
            encoded.append(buffer.getvalue())
    return encoded


def take_turns(ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """Images per second of each way, the best of the rounds in which each has its turn."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for name in ways:
        ways[name]()  # caches, lazy imports, compilation
    for number in range(rounds):
        order = list(ways) if number % 2 else list(ways)[::-1]
        for name in order:
            begin = time.perf_counter()
            count = ways[name]()
            rates[name].append(count / (time.perf_counter() - begin))
    return {name: max(found) for name, found in rates.items()}


def one_by_one(ways: dict[str, Callable[[int], Any]], num_images: int, rounds: int) -> dict[str, float]:
    """Images per second of each way: for each image the best of the rounds, in which each way reads all images."""
    rng = np.random.default_rng(0)
    best = {name: np.full(num_images, np.inf) for name in ways}
    for _ in range(rounds):
        for name in rng.permutation(list(ways)).tolist():
            for index in range(num_images):
                begin = time.perf_counter()
                ways[name](index)
                best[name][index] = min(best[name][index], time.perf_counter() - begin)
    return {name: float(num_images / seconds.sum()) for name, seconds in best.items()}


def decoders(encoded: list[bytes]) -> dict[str, Callable[[int], Any]]:
    """Decode and random-resized-crop to 224 on one core; the boxes are the same, and drawn beforehand but for ours."""
    start = crops.generators(0)
    boxes = [crops.random_resized(start(0, index), 375, 500) for index in range(len(encoded))]

    def ours(index: int) -> np.ndarray:
        header = image.read_header(encoded[index])
        box = crops.random_resized(start(0, index), header.height, header.width)
        return image.decode_box(encoded[index], box, size=SIZE, header=header)

    def opencv(index: int) -> np.ndarray:
        pixels = cv2.imdecode(np.frombuffer(encoded[index], np.uint8), cv2.IMREAD_COLOR_RGB)
        return cv2.resize(_cut(np.asarray(pixels), boxes[index]), (SIZE, SIZE))

    def pillow(index: int) -> np.ndarray:  # as torchvision's folder loader and RandomResizedCrop
        top, left, height, width = boxes[index]
        whole = Image.open(io.BytesIO(encoded[index])).convert('RGB')
        part = whole.crop((left, top, left + width, top + height))
        return np.asarray(part.resize((SIZE, SIZE), Image.Resampling.BILINEAR))

    def simple(index: int) -> np.ndarray:
        pixels = simplejpeg.decode_jpeg(encoded[index], fastdct=True, fastupsample=True)
        return cv2.resize(_cut(pixels, boxes[index]), (SIZE, SIZE))

    return {'ours': ours, 'opencv, bare': opencv, 'pillow, torchvision': pillow, 'simplejpeg, bare': simple}


def _cut(pixels: np.ndarray, box: image.Box) -> np.ndarray:
    top, left, height, width = box
    return pixels[top : top + height, left : left + width]


def build(folder: Path, files: Path) -> EncodedSource:
    decoding = Decoding(size=SIZE)
    items = {'train': list_classes(files, CLASSES), 'test': list_classes(files, CLASSES)}
    made = shards.build('cnn_jax_bench', folder, items, class_names=CLASSES, say=lambda line: None, decoding=decoding)
    return EncodedSource(made, 'train', decoding)


def with_and_without_grain(source: EncodedSource, num_threads: int, num_batches: int) -> dict[str, Way]:
    """Batches of 32 of the same rows, by Grain and by a plain pool of as many threads."""

    def grain() -> int:
        batches = streaming.stream(source, seed=0, batch_size=32, num_threads=num_threads)
        return sum(len(batch['index']) for batch in islice(batches, num_batches))

    def plain() -> int:
        def batch(step: int) -> int:
            index, epoch = order.rows(len(source), 0, step, 32)
            return len(pipeline.read(source, index, epoch=epoch, seed=0)['image'])

        with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
            return sum(pool.map(batch, range(num_batches)))

    return {'grain': grain, 'plain threads': plain}


def resident(data: pipeline.Data, data_dir: Path, num_batches: int) -> dict[str, Way]:
    """Batches gathered on the device, against a loop that reads each row and stacks a batch."""
    import jax

    feed = ResidentFeed(data, data_dir=data_dir, seed=0, mesh=mapping.make_mesh())
    source = data.open('train', data_dir)

    def device() -> int:
        for step in range(20 * num_batches):
            batch = feed.train(step)
        jax.block_until_ready(batch)
        return 20 * num_batches * data.batch_size

    def python() -> int:
        for step in range(num_batches):
            index, _ = order.rows(len(source), 0, step, data.batch_size)
            examples = [source[int(row)] for row in index]
            jax.block_until_ready(jax.device_put(np.stack([example['image'] for example in examples])))
        return num_batches * data.batch_size

    return {'on the device': device, 'a loop in Python': python}


def small_cifar(folder: Path, files: list[bytes]) -> pipeline.Data:
    """1,024 pieces of 32 by 32 in the form that CIFAR is kept in."""
    pieces = [
        image.decode(content)[:32, 32 * column : 32 * column + 32]
        for content in files
        for column in range(15)
        for _ in range(2)
    ]

    def examples() -> list[tuple[np.ndarray, int]]:
        return [(piece, number % 2) for number, piece in enumerate(pieces)]

    splits = {'train': examples, 'test': examples}
    made = array_record.build('cnn_jax_small', folder, splits, shape=(32, 32, 3), class_names=CLASSES)
    return pipeline.Data(
        name='like CIFAR',
        batch_size=128,
        splits={'train': len(pieces), 'test': len(pieces)},
        class_names=CLASSES,
        image_shape=(32, 32, 3),
        open=lambda split, data_dir: array_record.ArrayRecordSource(made, split),
        prepare=lambda data_dir, say: None,
    )


def show(title: str, rates: dict[str, float], base: str) -> dict[str, Any]:
    """Prints a table; ratios are the first row's speed over each other's."""
    print(f'\n{title}')
    for name, rate in rates.items():
        ratio = rates[base] / rate
        print(f'  {name:<22}{rate:>12,.0f} images/s' + ('' if name == base else f'   {base} is {ratio:.2f}x this'))
    return {'title': title, 'images_per_second': rates, 'ratios': {name: rates[base] / rates[name] for name in rates}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=15)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    tables = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoded = make_files(folder / 'files')
        print(f'{machine()}; {len(encoded)} files, {sum(map(len, encoded)) / len(encoded) / 1000:.0f} kB on average')
        rates = one_by_one(decoders(encoded), len(encoded), 2 * rounds)
        tables.append(show('decode + random-resized-crop 224, one core', rates, 'ours'))
        source = build(folder, folder / 'files')
        rates = take_turns(with_and_without_grain(source, 2, 8), rounds)
        tables.append(show('batches of 32 from ArrayRecord, two threads', rates, 'grain'))
        data = digits.load(batch_size=64)
        rates = take_turns(resident(data, folder, 10), rounds)
        tables.append(show('digits, batches of 64', rates, 'on the device'))
        rates = take_turns(resident(small_cifar(folder, encoded), folder, 4), rounds)
        tables.append(show('like CIFAR, batches of 128', rates, 'on the device'))
    RESULTS.parent.mkdir(exist_ok=True)
    measured = {'machine': machine(), 'date': time.strftime('%Y-%m-%d'), 'tables': tables}
    RESULTS.write_text(json.dumps(measured, indent=2) + '\n')
    print(f'\nwritten to {RESULTS}')


if __name__ == '__main__':
    main()
