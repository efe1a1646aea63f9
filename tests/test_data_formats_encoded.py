"""Sets of encoded images: built in parallel, resumed, read back; bad images counted, replaced, too many an error."""

import functools
import json
import logging
import pickle
import shutil
import sys
from itertools import islice
from typing import Any

import numpy as np
import pytest
from small_imagenet import AWKWARD, CLASSES, awkward, bad, jpeg, make_tree

from cnn_jax.data import pipeline, streaming
from cnn_jax.data.formats import array_record, crops, encoded, image, shards, tree
from cnn_jax.data.formats.encoded import Decoding, EncodedSource, Part
from cnn_jax.data.formats.seal import Seal
from cnn_jax.errors import CnnJaxError, DataError

NAME = 'cnn_jax_tree'
SMALL = Decoding(size=32, resize=40)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp('tree'))


def list_splits(root):
    return {'train': tree.list_classes(root / 'train', CLASSES), 'test': tree.list_classes(root / 'val', CLASSES)}


def build(data_dir, root, say=lambda line: None, decoding=SMALL, **given):
    options: dict[str, Any] = {'shard_bytes': 60_000, 'num_threads': 2} | given
    return shards.build(NAME, data_dir, list_splits(root), class_names=CLASSES, say=say, decoding=decoding, **options)


@pytest.fixture(scope='module')
def folder(tmp_path_factory, root):
    return build(tmp_path_factory.mktemp('data'), root)


def copy(root, to):
    return shutil.copytree(root, to / 'tree')


def test_bytes_come_back_in_order(folder, root):
    for split, items in list_splits(root).items():
        source = EncodedSource(folder, split, SMALL)
        records = source.records(range(len(source)))
        assert [record.name for record in records] == [item.name for item in items]
        assert [record.label for record in records] == [item.label for item in items]
        assert [record.encoded for record in records] == [item.path.read_bytes() for item in items]
    assert len(list(folder.glob('*train.array_record-*'))) > 2  # several files
    assert sorted(path.name for path in folder.iterdir() if 'array_record' not in path.name) == [
        *('bad_images.txt', 'dataset_info.json', 'features.json', 'files.json', 'label.labels.txt', 'plan.json'),
        'seals.json',
    ]
    assert 'tensorflow' not in sys.modules


def test_names_of_all_kinds_are_there(root):
    names = {item.path.stem for item in list_splits(root)['train']}
    assert set(AWKWARD) <= names


def test_tfds_reads_it_too(folder):
    import tensorflow_datasets as tfds

    builder: Any = tfds.builder_from_directory(folder)
    example = builder.as_data_source('test')[4]
    np.testing.assert_array_equal(example['image'], image.decode(jpeg(1101)))
    assert (example['label'], example['file_name']) == (1, b'n00000002/n00000002_1.JPEG')
    assert builder.info.features['label'].names == list(CLASSES)


def test_centre_and_random(folder, root):
    source = EncodedSource(folder, 'train', SMALL)
    item = list_splits(root)['train'][-1]
    row = len(source) - 1
    expected = image.decode_centre(item.path.read_bytes(), resize=40, size=32)
    np.testing.assert_array_equal(source[row]['image'], expected)
    encoded = item.path.read_bytes()
    for epoch in range(3):
        (example,) = source.read_random([row], epochs=[epoch], seed=5)
        box = crops.random_resized(crops.generator(5, epoch, row), 188, 250)
        cropped = image.decode_box(encoded, box, size=32, header=image.read_header(encoded))
        np.testing.assert_array_equal(example['image'], cropped)
        assert example['label'] == 2


def assert_batches_equal(first, second):
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])


@pytest.mark.parametrize('num_threads', [1, 3])
def test_stream_crops_by_seed_epoch_and_index(folder, num_threads):
    """F3: random crops are a pure function of seed, epoch and row, with any number of threads and hosts."""
    source = EncodedSource(folder, 'train', SMALL)
    batches = list(
        islice(streaming.stream(source, seed=2, batch_size=8, num_threads=num_threads), 8)
    )  # over two epochs
    assert max(batch['epoch'].max() for batch in batches) >= 2
    for batch in batches:
        for row, epoch, pixels, label in zip(
            *(batch[key] for key in ('index', 'epoch', 'image', 'label')), strict=True
        ):
            (alone,) = source.read_random([int(row)], epochs=[int(epoch)], seed=2)
            np.testing.assert_array_equal(pixels, alone['image'])
            assert label == alone['label']
    resumed = next(streaming.stream(source, seed=2, batch_size=8, start_step=5))
    assert_batches_equal(resumed, batches[5])
    halves = [next(streaming.stream(source, seed=2, batch_size=8, start_step=5, shard=(host, 2))) for host in (0, 1)]
    assert_batches_equal({key: np.concatenate([half[key] for half in halves]) for key in batches[5]}, batches[5])


def test_evaluation_does_not_crop_at_random(folder):
    source = EncodedSource(folder, 'test', SMALL)
    (batch,) = streaming.stream_evaluation(source, batch_size=16)
    for row in range(9):
        np.testing.assert_array_equal(batch['image'][row], source[row]['image'])


def test_a_source_goes_to_a_worker(folder):
    source = EncodedSource(folder, 'train', SMALL)
    sent = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(sent[3]['image'], source[3]['image'])
    for row in (-1, len(source)):
        with pytest.raises(IndexError):
            source[row]


# Bad images


def spoil(root, kinds, label=1):
    for number, kind in enumerate(kinds):
        (root / 'train' / CLASSES[label] / f'{CLASSES[label]}_{number}.JPEG').write_bytes(bad(kind))


def test_bad_images_are_counted_named_once_and_replaced(tmp_path, root, caplog):
    """F12: an image that cannot be decoded is replaced by the next one, counted, and named once."""
    root = copy(root, tmp_path)
    spoil(root, ['truncated', 'bomb'])  # rows 15 and 16, after 15 images of the first class
    lenient = Decoding(size=32, resize=40, max_bad_images=0.1)
    lines = []
    folder = build(tmp_path, root, say=lines.append, decoding=lenient)
    assert [line.split(':')[0] for line in lines if 'bad image' in line] == [f'{NAME} train'] * 2
    assert len((folder / 'bad_images.txt').read_text().splitlines()) == 2
    source = EncodedSource(folder, 'train', lenient)
    with caplog.at_level(logging.WARNING, 'cnn_jax'):
        for _ in range(3):
            examples = source.read_random([15, 16, 17], epochs=[1, 1, 1], seed=0)
    assert [record.getMessage() for record in caplog.records] == [
        f'1 bad image of 27 in {NAME} train, more than 2 stop the run: n00000002/n00000002_0.JPEG: a JPEG file that '
        'is cut short or damaged; the next good one stands in for it',
        f'2 bad images of 27 in {NAME} train, more than 2 stop the run: n00000002/n00000002_1.JPEG: 20000 x 20000 = '
        '400,000,000 pixels, at most 67,108,864 are decoded; the next good one stands in for it',
    ]
    assert sorted(source.bad_images.found) == [15, 16]
    encoded = source.records([17])[0].encoded  # the next good one, with the box of the own row
    for row, example in zip((15, 16, 17), examples, strict=True):
        box = crops.random_resized(crops.generator(0, 1, row), 188, 250)
        expected = image.decode_box(encoded, box, size=32, header=image.read_header(encoded))
        np.testing.assert_array_equal(example['image'], expected)
        assert example['label'] == 1


def test_the_last_image_is_replaced_by_the_first(tmp_path, root):
    root = copy(root, tmp_path)
    (root / 'train' / CLASSES[2] / f'{CLASSES[2]}_5.JPEG').write_bytes(b'')
    lenient = Decoding(size=32, resize=40, max_bad_images=0.1)
    source = EncodedSource(build(tmp_path, root, decoding=lenient), 'train', lenient)
    (example,) = source.read_random([len(source) - 1], epochs=[0], seed=0)
    assert example['label'] == 0


def test_evaluation_does_not_count_a_bad_image(tmp_path, root):
    root = copy(root, tmp_path)
    (root / 'val' / CLASSES[1] / f'{CLASSES[1]}_0.JPEG').write_bytes(bad('text'))
    lenient = Decoding(size=32, resize=40, max_bad_images=0.2)
    source = EncodedSource(build(tmp_path, root, decoding=lenient), 'test', lenient)
    example = source[3]
    assert (example['label'], example['image'].max()) == (1, 0)
    assert list(source.bad_images.found) == [3]
    (batch,) = streaming.stream_evaluation(source, batch_size=10)
    np.testing.assert_array_equal(batch['mask'], [True] * 3 + [False] + [True] * 5 + [False])
    np.testing.assert_array_equal(batch['index'], [*range(9), -1])


def test_too_many_bad_images_stop_the_build_and_the_run(tmp_path, root, folder):
    """F12: more than a share of bad images is exit 3."""
    root = copy(root, tmp_path)
    spoil(root, ['truncated', 'text', 'empty'])
    with pytest.raises(DataError, match=r'3 bad images in cnn_jax_tree train, more than 10\.000% of 27') as caught:
        build(tmp_path, root, decoding=Decoding(size=32, resize=40, max_bad_images=0.1))
    assert caught.value.exit_code == 3
    assert all(f'n00000002_{number}.JPEG' in str(caught.value) for number in range(3))
    assert '\n' not in str(caught.value)
    strict = Decoding(size=32, resize=40, max_pixels=40_000)  # nearly all are larger
    with pytest.raises(DataError, match=r'\d bad images? in cnn_jax_tree train'):
        list(islice(streaming.stream(EncodedSource(folder, 'train', strict), seed=0, batch_size=4), 9))


def test_nothing_good_at_all(folder):
    source = EncodedSource(folder, 'train', Decoding(size=8, resize=8, max_pixels=1, max_bad_images=1.0))
    with pytest.raises(DataError, match='no image of train can be decoded'):
        source.read_random([0], epochs=[0], seed=0)


# Building


def test_a_whole_set_is_kept_and_a_changed_one_built_again(tmp_path, root):
    root = copy(root, tmp_path)
    folder = build(tmp_path, root)
    before = (folder / 'dataset_info.json').stat().st_ino
    lines = []
    assert build(tmp_path, root, say=lines.append) == folder
    assert (folder / 'dataset_info.json').stat().st_ino == before
    assert lines == []
    (root / 'train' / CLASSES[0] / 'new.jpg').write_bytes(awkward('grey'))
    build(tmp_path, root)
    assert len(EncodedSource(folder, 'train', SMALL)) == 28
    assert sorted(path.name for path in folder.parent.iterdir()) == ['1.0.0', 'LOCK']


def test_an_interrupted_build_goes_on(tmp_path, root, monkeypatch):
    check, done = image.check, []

    def interrupt(content, **options):
        done.append(content)
        if len(done) == 20:
            raise KeyboardInterrupt
        check(content, **options)

    monkeypatch.setattr(shards.image, 'check', interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, root, num_threads=1)
    assert array_record.find(NAME, tmp_path) is None
    left = len(list((tmp_path / NAME / 'building').glob('*.json')))
    assert left > 1
    lines, written = [], len(done)
    monkeypatch.setattr(shards.image, 'check', lambda content, **options: done.append(content))
    folder = build(tmp_path, root, say=lines.append)
    assert lines[0].startswith(f'{NAME}: {left} of ')
    assert len(done) - written < 36 - left
    assert len(EncodedSource(folder, 'train', SMALL)) == 27
    assert not list(folder.glob('*.part'))
    assert len(json.loads((folder / 'plan.json').read_text())['files']) == len(list(folder.glob('*array_record-*')))


def test_too_little_disk(tmp_path, root, monkeypatch):
    monkeypatch.setattr(shards.shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10**6, 0, 1000))
    with pytest.raises(DataError, match=r'cnn_jax_tree needs 0\.\d GB more below .* free; free space there, or give'):
        build(tmp_path, root)


def test_a_folder_that_cannot_be_written(tmp_path, root):
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match=r'cannot write the data set cnn_jax_tree below .*--data_dir=FOLDER'):
        build(tmp_path / 'file', root)


def test_damaged_files_are_named(tmp_path, root):
    folder = build(tmp_path, root)
    file = next(iter(folder.glob('*train.array_record-00001*')))
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match=f'unreadable data set: {folder}; '):
        pipeline.load_arrays(EncodedSource(folder, 'train', SMALL))


def test_progress_is_said(tmp_path, root):
    lines = []
    build(tmp_path, root, say=lines.append)
    done = [line for line in lines if line.startswith(f'{NAME}: [')]
    assert done[-1].startswith(f'{NAME}: [####################] 36 of 36 images written, ')
    assert lines[-1] == f'{NAME}: the images were copied to {tmp_path / NAME}/1.0.0, their files as they are'
    assert lines[-2].startswith(f'{NAME}: 1 photographs are stored on their side, as EXIF says; they are not turned')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'size': 0}, 'image_size: got 0'),
        ({'size': 300}, 'image_size: got 300 with resize 256'),
        ({'max_bad_images': 1.5}, r'max_bad_images: got 1\.5'),
        ({'max_pixels': 0}, 'max_pixels: got 0'),
        ({'interpolation': 'nearest'}, "interpolation: got 'nearest'; it is one of bilinear, bicubic"),
    ],
)
def test_decoding_refuses(options, message):
    with pytest.raises(CnnJaxError, match=message):
        Decoding(**options)


def part(*rows, name='train'):
    return Part(name, rows, None)


def test_a_part_is_a_split_of_its_own(folder):
    whole, some = EncodedSource(folder, 'train', SMALL), EncodedSource(folder, 'train', SMALL, part=part(20, 3, 20, 7))
    assert len(some) == 4
    assert [record.name for record in some.records([0, 3])] == [whole.records([row])[0].name for row in (20, 7)]
    np.testing.assert_array_equal(some[2]['image'], whole[20]['image'])
    with pytest.raises(IndexError):
        some.records([4])
    assert some.seal == whole.seal
    first, again = some.read_random([0, 2], epochs=[0, 0], seed=0)
    assert not np.array_equal(first['image'], again['image']), 'each place has a box of its own'
    assert EncodedSource(folder, 'train', SMALL, part=Part('x', [1], Seal(1, 'ab'))).seal == Seal(1, 'ab')


def test_a_bad_image_is_replaced_from_its_own_part(tmp_path, root, caplog):
    """The row after it in the files is on the other side."""
    root = copy(root, tmp_path)
    spoil(root, ['truncated', 'bomb'])  # rows 15 and 16
    lenient = Decoding(size=32, resize=40, max_bad_images=0.34)
    folder = build(tmp_path, root, decoding=lenient)
    source = EncodedSource(folder, 'train', lenient, part=part(15, 3, 15, name='validation'))
    examples = source.read_random([0, 1, 2], epochs=[1, 1, 1], seed=0)
    assert [example['label'] for example in examples] == [0, 0, 0]
    assert list(source.bad_images.found) == [0], 'the image stands twice and counts once'
    assert '1 bad image of 2 in cnn_jax_tree validation, more than 1 stop the run' in caplog.text
    assert source[2]['readable'] is False
    assert len(source.bad_images.found) == 1


def test_rows_of_several_classes(tmp_path, root, folder):
    """Stored beside the first class; sets of one class are written as before."""
    splits = {split: [item._replace(labels=(item.label, 2)) for item in items[:3]] for split, items in
              list_splits(root).items()}  # fmt: skip
    made = shards.build('several', tmp_path, splits, class_names=CLASSES, say=print, decoding=SMALL, num_threads=1)
    answer = functools.partial(encoded.several_classes, num_classes=3)
    source = EncodedSource(made, 'train', SMALL, answer=answer)
    assert source.records([1])[0].labels == (0, 2)
    np.testing.assert_array_equal(source[1]['labels'], [True, False, True])
    assert source.read_random([1], epochs=[0], seed=0)[0]['labels'].dtype == bool
    assert EncodedSource(folder, 'train', SMALL).records([0])[0].labels == (0,)
    one = {'train': splits['train'], 'test': [item._replace(labels=()) for item in splits['test']]}
    other = {'train': splits['train'], 'test': [item._replace(labels=(0, 1)) for item in splits['test']]}
    digests = {shards.Shard('test', 0, 1, tuple(found['test'])).digest() for found in (splits, one, other)}
    assert len(digests) == 3
