"""A folder of one's own: an image keeps its side, classes keep their names, and nothing is left out unsaid."""
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

import collections
import itertools
import logging
import os

import numpy as np
import pytest
from small_imagenet import CLASSES, jpeg, make_tree

from cnn_jax.data import folder, pipeline, streaming
from cnn_jax.data.formats import bad_images, folder_splits
from cnn_jax.data.formats.folder_splits import Division
from cnn_jax.data.formats.remembered import Remembered, remembering
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.files import cache

SMALL = {'batch_size': 2, 'image_size': 16, 'resize': 20, 'validation': 0.0}
HELD = SMALL | {'validation': 0.1}
EARLIER = ['0', '1', '5', '24']


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Hashes are kept beside the test."""
    monkeypatch.setattr(cache, 'folder', lambda name: tmp_path / 'cache')


def make_flat(root, counts, start=0):
    """`counts` images below each of the folders, all different."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed = start + 100 * label + number
            (root / name / f'picture {number}.jpg').write_bytes(jpeg(seed, width=40, height=30))
    return str(root)


def sides(root, fraction=0.3, seed=0):
    """The bytes of the images on each side."""
    items = folder_splits.list_folder(root, Division(fraction, seed)).items
    assert items is not None
    return {split: {item.read() for item in found} for split, found in items.items()}


def test_folder_with_splits(tmp_path):
    root = make_tree(tmp_path / 'own')
    data = folder.load(batch_size=4, folder=str(root), image_size=32, resize=40, validation=0.0)
    assert (data.splits, data.class_names) == ({'train': 27, 'test': 9}, CLASSES)
    assert data.open('test', tmp_path)[8]['label'] == 2


def test_each_class_is_divided_by_seed(tmp_path):
    root = make_flat(tmp_path / 'own', {'cat': 10, 'dog': 5, 'eel': 2})
    data = folder.load(folder=root, **SMALL)
    assert sum(data.splits.values()) == 17
    labels = [data.open('test', tmp_path)[row]['label'] for row in range(data.num_test)]
    assert set(labels) == {0, 1, 2} == {data.open('train', tmp_path)[row]['label'] for row in range(data.num_train)}
    chosen = [frozenset(sides(tmp_path / 'own', seed=seed)['test']) for seed in range(8)]
    assert len(set(chosen)) > 4
    assert chosen[0] == frozenset(sides(tmp_path / 'own')['test'])


def test_the_share_is_the_share(tmp_path):
    """Of many images; 4 standard deviations of a binomial share."""
    items = [folder_splits.Item(str(n), 0, tmp_path, 0, 1, f'{n:064x}') for n in range(4000)]
    test = [item for item in items if Division(0.2, 0).place(item) < 0.2]
    assert abs(len(test) / 4000 - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5


def test_sides_are_those_of_earlier_versions(tmp_path):
    """The rows that the first version of the division gave these marks: a set that is stored stays as it is."""
    items = [folder_splits.Item(f'{n}', n % 3, tmp_path, 0, 1, f'{n // 2}') for n in range(24)]
    items += [folder_splits.Item(f'{n}', 3, tmp_path, 0, 1, f'{n}') for n in (24, 25)]
    found = folder_splits.divide(items, ('a', 'b', 'c', 'd'), Division(0.2, 3), tmp_path)
    assert [item.name for item in found['test']] == EARLIER


@pytest.mark.parametrize('change', ['delete', 'add', 'rename', 'touch', 'move to a folder'])
def test_an_image_keeps_its_side(tmp_path, change):
    """Not for a class that chance leaves on one side alone: here there are 20 of each."""
    root = tmp_path / 'own'
    make_flat(root, {'cat': 20, 'dog': 20})
    before = sides(root)
    for name in ('cat', 'dog'):
        first = sorted((root / name).iterdir())[0]
        if change == 'delete':
            first.unlink()
        elif change == 'add':
            (root / name / 'a new one.jpg').write_bytes(jpeg(999 + len(name)))
        elif change == 'rename':
            first.rename(first.with_name('zzz.jpg'))
        elif change == 'touch':
            os.utime(first)
        else:
            (root / name / 'more').mkdir()
            first.rename(root / name / 'more' / first.name)
    after = sides(root)
    assert not before['train'] & after['test']
    assert not before['test'] & after['train']


def test_the_same_bytes_are_on_one_side(tmp_path):
    root = tmp_path / 'own'
    make_flat(root, {'cat': 12, 'dog': 12})
    for path in sorted((root / 'cat').iterdir()):
        path.with_name(f'copy of {path.name}').write_bytes(path.read_bytes())
    found = sides(root)
    assert not found['train'] & found['test']


def test_hashes_are_remembered_and_follow_the_bytes(tmp_path, monkeypatch):
    root = tmp_path / 'own'
    make_flat(root, {'cat': 3, 'dog': 3})
    for path in root.rglob('*.jpg'):
        os.utime(path, (1e9, 1e9))  # long ago
    first, read, digest = sides(root), [], folder_splits.Item.digest
    monkeypatch.setattr(folder_splits.Item, 'digest', lambda item: read.append(item) or digest(item))
    folder_splits.list_folder(root, Division(0.3, 0))
    assert read == []
    path = root / 'cat' / 'picture 0.jpg'
    path.write_bytes(jpeg(77, width=40, height=30))
    folder_splits.list_folder(root, Division(0.3, 0))
    assert [item.path for item in read] == [path]
    assert first != sides(root)


def test_an_overwritten_image_is_read_again(tmp_path):
    root = tmp_path / 'own'
    data = folder.load(folder=make_flat(root, {'train/cat': 2, 'train/dog': 2, 'test/cat': 1, 'test/dog': 1}), **SMALL)
    source = data.open('test', tmp_path)
    before = source[0]['image']
    path = root / 'test' / 'cat' / 'picture 0.jpg'
    size, other = path.stat().st_size, jpeg(55, width=40, height=30)
    path.write_bytes(other[:size] + b'\0' * (size - len(other)))  # of the same size and name
    again = folder.load(folder=str(root), **SMALL).open('test', tmp_path)
    assert not np.array_equal(again[0]['image'], before)
    assert again.seal.differs(source.seal)  # pyright: ignore[reportAttributeAccessIssue]


def test_where_the_copy_is_is_said_when_it_is_made(tmp_path):
    data, said, again = folder.load(folder=make_flat(tmp_path / 'own', {'cat': 4, 'dog': 4}), **SMALL), [], []
    data.prepare(tmp_path, said.append)
    data.prepare(tmp_path, again.append)
    lines = [line for line in said if 'were copied to' in line]
    assert (len(lines), sum('were copied to' in line for line in again)) == (1, 0)
    assert sum(path.is_dir() for path in tmp_path.glob('cnn_jax_folder_*/*') if str(path) in lines[0]) == 1


def test_a_prepared_copy_is_made_again_after_a_change(tmp_path):
    root = make_flat(tmp_path / 'own', {'cat': 3, 'dog': 3})
    first = folder.load(folder=root, **SMALL)
    assert len(first.open('train', tmp_path)) == first.num_train
    (tmp_path / 'own' / 'cat' / 'another.png').write_bytes(jpeg(7))
    second = folder.load(folder=root, **SMALL)
    assert sum(second.splits.values()) == 7
    assert len(second.open('train', tmp_path)) == second.num_train


SPLIT = {'train/cat': 2, 'train/dog': 2}


@pytest.mark.parametrize(
    ('counts', 'splits', 'said'),
    [
        ({**SPLIT, 'val/cat': 1, 'val/dog': 1}, {'train': 4, 'test': 2}, ''),
        ({**SPLIT, 'valid/cat': 1, 'valid/dog': 1}, {'train': 4, 'test': 2}, ''),
        ({'Train/cat': 2, 'Train/dog': 2, 'testing/cat': 1, 'testing/dog': 1}, {'train': 4, 'test': 2}, ''),
        (
            {**SPLIT, 'val/cat': 1, 'val/dog': 1, 'test/cat': 2, 'test/dog': 1},
            {'train': 4, 'validation': 2, 'test': 3},
            '',
        ),
        ({**SPLIT, 'val/cat': 1, 'val/dog': 1, 'test': 5}, {'train': 4, 'test': 2}, 'test has no class folders'),
        ({**SPLIT, 'test/cat': 3}, {'train': 4, 'test': 3}, 'has no images of 1 of 2 classes: dog'),
        ({**SPLIT, 'test/cat': 3, 'test/dog': 0}, {'train': 4, 'test': 3}, 'has no images of 1 of 2 classes: dog'),
        ({**SPLIT, 'test/cat': 3, 'labels': 0}, {'train': 4, 'test': 3}, 'labels hold no images'),
        ({'train': 6, 'bus': 6}, None, ''),
        ({'train/wagons': 6, 'bus': 6}, None, ''),
        (SPLIT, None, 'has no folder of a test split: the images of train are divided'),
        ({**SPLIT, 'test': 2}, None, 'has no folder of a test split'),
    ],
)
def test_split_folders_as_people_have_them(tmp_path, caplog, counts, splits, said):
    root = make_flat(tmp_path / 'own', counts)
    with caplog.at_level(logging.WARNING):
        data = folder.load(folder=root, **SMALL)
    if splits is not None:
        assert data.splits == splits
    else:
        assert set(data.splits) == {'train', 'test'}
        assert sum(data.splits.values()) == (12 if 'bus' in counts else 4)
        assert data.class_names == (('bus', 'train') if 'bus' in counts else ('cat', 'dog'))
    assert said in caplog.text
    for split, count in data.splits.items():
        assert len(data.open(split, tmp_path)) == count


def test_labels_of_a_split_that_lacks_a_class(tmp_path):
    root = make_flat(tmp_path / 'own', {**SPLIT, 'train/eel': 2, 'test/dog': 1, 'test/eel': 1})
    data = folder.load(folder=root, **SMALL)
    assert [data.open('test', tmp_path)[row]['label'] for row in range(2)] == [1, 2]


def test_folders_in_a_class_and_what_is_no_image(tmp_path, caplog):
    root = tmp_path / 'own'
    make_flat(root, {'train/cat/images': 3, 'train/dog/images/more': 3, 'val/cat': 1, 'val/dog': 1})
    (root / 'train' / 'cat' / 'boxes.txt').write_text('0 0 1 1')
    (root / 'train' / 'dog' / '.DS_Store').write_text('')
    os.symlink(root / 'train' / 'cat', root / 'train' / 'cat' / 'images' / 'around')  # a circle ends
    data = folder.load(folder=str(root), **SMALL)
    assert data.splits == {'train': 6, 'test': 2}
    assert 'files left out, which are not images: 1 (1 .txt)' in caplog.text
    assert '.DS_Store' not in caplog.text


def test_the_same_image_in_training_and_test_is_said(tmp_path, caplog):
    root = tmp_path / 'own'
    make_flat(root, {**SPLIT, 'test/cat': 1, 'test/dog': 1}, start=0)
    folder.load(folder=str(root), **SMALL)
    assert 'have the bytes of a training image' not in caplog.text
    (root / 'test' / 'dog' / 'x.jpg').write_bytes((root / 'train' / 'cat' / 'picture 0.jpg').read_bytes())
    folder.load(folder=str(root), **SMALL)
    assert '1 of 3 test images have the bytes of a training image, such as dog/x.jpg' in caplog.text


def test_contradictions_are_said(tmp_path, caplog):
    root = tmp_path / 'own'
    make_flat(root, {'cat/train': 4, 'cat/test': 2, 'dog/train': 4, 'dog/test': 2})
    folder.load(folder=str(root), **SMALL)
    assert 'there are folders called train inside the class folders' in caplog.text
    assert 'in more than one class' not in caplog.text
    (root / 'dog' / 'x.jpg').write_bytes((root / 'cat' / 'train' / 'picture 0.jpg').read_bytes())
    folder.load(folder=str(root), **SMALL)
    assert 'images in more than one class with the same bytes: 1, one in cat and dog' in caplog.text


@pytest.mark.parametrize(
    ('counts', 'options', 'message'),
    [
        ({'cat': 3, 'dog': 0}, {}, 'the class folder .*/dog has no image'),
        ({'cat': 3, 'dog': 1}, {}, 'the class folder .*/dog has one image'),
        ({'cat': 3}, {}, 'class folders in .*: 1, needed are at least 2'),
        ({**SPLIT, 'dev/cat': 2, 'dev/dog': 2}, {}, 'dev has the classes of train and no name of a split'),
        ({**SPLIT, 'test/cat': 2, 'test/eel': 2}, {}, 'test has the class eel, which the training images have not'),
        ({'train/cat': 2, 'val/cat': 2}, {}, 'class folders in .*train: 1, needed'),
        ({**SPLIT, 'val/cat': 2, 'valid/cat': 2}, {}, 'val and valid, which are both names of the validation split'),
        ({'cat': 3, 'dog': 3}, {'test_fraction': 1.0}, r'test_fraction: got 1\.0'),
        ({'cat': 3, 'dog': 3}, {'image_size': 300}, 'image_size: got 300'),
    ],
)
def test_folder_refuses(tmp_path, counts, options, message):
    root = make_flat(tmp_path / 'own', counts)
    with pytest.raises(CnnJaxError, match=message) as caught:
        folder.load(batch_size=2, folder=root, **options)
    assert '\n' not in str(caught.value)


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match=r'cannot read the folder .*nowhere: No such file or directory'):
        folder.load(batch_size=2, folder=str(tmp_path / 'nowhere'))


def test_names_that_are_no_utf8_are_named(tmp_path):
    root = tmp_path / 'own'
    make_flat(root, {'cat': 2, 'dog': 2})
    os.mkdir(os.fsencode(root) + b'/caf\xe9')
    with pytest.raises(DataError, match=r"the name of the folder b'caf\\xe9' in .* is not UTF-8"):
        folder.load(batch_size=2, folder=str(root))


@pytest.mark.parametrize('what', ['folder', 'image'])
def test_what_cannot_be_read_is_named(tmp_path, monkeypatch, what):
    root = tmp_path / 'own'
    make_flat(root, {'cat': 2, 'dog': 2})
    denied = root / 'dog' if what == 'folder' else root / 'dog' / 'picture 1.jpg'

    def refuse(function):
        def guarded(path, *arguments, **options):
            if str(path) == str(denied):
                raise PermissionError(13, 'Permission denied', str(path))
            return function(path, *arguments, **options)

        return guarded

    if what == 'folder':
        monkeypatch.setattr(os, 'scandir', refuse(os.scandir))
    else:
        monkeypatch.setattr(type(denied), 'open', refuse(type(denied).open))
    with pytest.raises(DataError, match=f'cannot read .*{denied.name}: Permission denied'):
        folder.load(batch_size=2, folder=str(root))


def test_a_run_remembers_its_classes(tmp_path):
    known = Remembered(('dog', 'cat'), {'train': 5, 'test': 2}, tmp_path)
    with remembering(known):
        gone = folder.load(folder='gone', **SMALL)
    assert (gone.class_names, gone.splits) == (('dog', 'cat'), {'train': 5, 'test': 2})
    with pytest.raises(DataError, match='gone'):
        gone.open('test', tmp_path)
    make_flat(tmp_path / 'own', {'cat': 4, 'dog': 4})
    with remembering(known):
        there = folder.load(folder='own', **SMALL)  # relative to where the run was started
    names = {there.class_names[there.open('train', tmp_path)[row]['label']] for row in range(there.num_train)}
    assert (there.class_names, names) == (('dog', 'cat'), {'cat', 'dog'})
    (tmp_path / 'own' / 'cat').rename(tmp_path / 'own' / 'eel')
    with remembering(known):
        renamed = folder.load(folder='own', **SMALL)
    assert renamed.class_names == ('dog', 'cat')
    with pytest.raises(DataError, match='are not those that the run was trained on: cat, eel are in one only'):
        renamed.open('test', tmp_path)


def test_random_sources_are_streamed(tmp_path):
    root = make_flat(
        tmp_path / 'own', {f'{part}/{name}': 2 for part, name in itertools.product(('train', 'test'), 'ab')}
    )
    data = folder.load(folder=root, repeats=3, **SMALL)
    assert not pipeline.is_resident(data)
    assert data.repeats == 3
    source = data.open('train', tmp_path)
    batch = next(streaming.stream(source, seed=0, batch_size=12, repeats=3))
    index = batch['index'].reshape(4, 3)
    np.testing.assert_array_equal(np.sort(index[:, 0]), np.arange(4))
    assert (index == index[:, :1]).all()


def marks_of(source):
    """The bytes of the rows of a source, in order."""
    return [record.encoded for record in source.records(range(len(source)))]


@pytest.fixture
def thirty_each(tmp_path):
    return make_flat(tmp_path / 'own', {'cat': 30, 'dog': 30})


def test_folds_have_no_image_in_common_and_cover_all(tmp_path, thirty_each):
    """Of 24 images each in ten parts chance leaves some without; what is lent is the one thing that folds share."""
    data = folder.load(folder=thirty_each, **SMALL | {'validation': 0.25})
    whole = folder.load(folder=thirty_each, **SMALL)
    every = marks_of(whole.open('train', tmp_path))
    assert (data.folds, data.fold, whole.folds) == (4, 0, 1)
    held = []
    for number in range(data.folds):
        one = data.with_fold(number)
        validation, train = (marks_of(one.open(split, tmp_path)) for split in ('validation', 'train'))
        assert (one.fold, one.splits) == (
            number,
            {'train': len(train), 'validation': len(validation), 'test': whole.num_test},
        )
        assert sorted(validation + train) == sorted(every)
        held += validation
    assert sorted(held) == sorted(every)
    assert marks_of(data.open('test', tmp_path)) == marks_of(whole.open('test', tmp_path))
    with pytest.raises(CnnJaxError, match='fold: got 4; folder own has the folds 0 to 3'):
        data.with_fold(4)


def test_all_folds_and_shares_read_one_stored_copy(tmp_path, thirty_each):
    whole = folder.load(folder=thirty_each, **SMALL)
    seal = whole.open('train', tmp_path).seal
    (stored,) = tmp_path.glob('cnn_jax_folder_*/*/')
    before = {path: path.stat().st_mtime_ns for path in stored.iterdir()}
    for share in (0.1, 0.3):
        data = folder.load(folder=thirty_each, **SMALL | {'validation': share})
        seals = [data.with_fold(fold).open('train', tmp_path).seal for fold in range(2)]
        assert len({*seals, seal}) == 3
        assert seals[0] == data.open('train', tmp_path).seal
        assert seals[0].count == data.num_train
    assert {path: path.stat().st_mtime_ns for path in stored.iterdir()} == before
    assert not folder.load(folder=thirty_each, **SMALL).open('train', tmp_path).seal.differs(seal)


@pytest.mark.parametrize('change', ['delete', 'add', 'rename'])
def test_an_image_keeps_its_side_of_the_validation(tmp_path, thirty_each, change):
    def parts():
        data = folder.load(folder=thirty_each, **SMALL | {'validation': 0.3})
        return {split: {*marks_of(data.open(split, tmp_path))} for split in data.splits}

    before = parts()
    for number in range(3):
        path = tmp_path / 'own' / 'dog' / f'picture {number}.jpg'
        if change == 'delete':
            path.unlink()
        elif change == 'add':
            path.with_name(f'new {number}.jpg').write_bytes(jpeg(700 + number, width=40, height=30))
        else:
            path.rename(path.with_name(f'another {number}.jpg'))
    after = parts()
    assert {frozenset(part) for part in before.values()} != {frozenset(part) for part in after.values()} or (
        change == 'rename'
    )
    for one, other in itertools.permutations(before, 2):
        assert not before[one] & after[other]


def test_own_validation_folders_stay(tmp_path):
    counts = {**SPLIT, 'val/cat': 1, 'val/dog': 1, 'test/cat': 2, 'test/dog': 1}
    data = folder.load(folder=make_flat(tmp_path / 'own', counts), **HELD)
    assert (data.splits, data.folds) == ({'train': 4, 'validation': 2, 'test': 3}, 1)
    assert data.class_counts == (2, 2)


def test_small_classes_lend_to_the_validation(tmp_path, caplog):
    counts = {'train/cat': 20, 'train/dog': 2, 'train/eel': 1, 'test/cat': 1, 'test/dog': 1, 'test/eel': 1}
    data = folder.load(folder=make_flat(tmp_path / 'own', counts), **HELD)
    source = data.open('validation', tmp_path)
    assert {source[row]['label'] for row in range(len(source))} == {0, 1}
    assert 'on one side of the validation split alone, which have none to lend: 1: eel' in caplog.text
    assert 'on one side of the validation split alone: 1, each lends one: dog' in caplog.text
    assert data.class_counts[1:] == (1, 1)
    counts = [sum(source[row]['label'] == label for row in range(len(source))) for label in range(3)]
    assert data.class_sizes == {
        'train': (1, data.class_counts[0]), 'validation': (0, max(counts)), 'test': (1, 1),
    }  # fmt: skip
    assert pipeline.class_size_note(data, 'validation') == f', 0 to {max(counts)} a class'
    assert pipeline.class_size_note(data, 'test') == ', 1 a class'


def test_without_an_image_to_spare_there_is_no_validation_split(tmp_path, caplog):
    data = folder.load(folder=make_flat(tmp_path / 'own', {'cat': 2, 'dog': 2}), **HELD)
    assert (data.splits, data.folds) == ({'train': 2, 'test': 2}, 1)
    assert 'no class has two images to train on: there is no validation split' in caplog.text


def test_a_run_remembers_its_folds(tmp_path):
    known = Remembered(('dog', 'cat'), {'train': 5, 'validation': 2, 'test': 2}, tmp_path)
    with remembering(known):
        gone = folder.load(folder='gone', **HELD)
    assert (gone.splits, gone.folds, gone.with_fold(3).fold) == (known.splits, 10, 3)
    assert gone.class_counts == ()
    make_flat(tmp_path / 'gone', {'cat': 20, 'dog': 20})
    assert len(gone.open('validation', tmp_path)) > 1, 'they are there again'


def test_balanced_rows(tmp_path):
    root = make_flat(tmp_path / 'own', {'train/cat': 2, 'train/dog': 7, 'test/cat': 1, 'test/dog': 1})
    plain, data = (folder.load(folder=root, balanced=balanced, **SMALL) for balanced in (False, True))
    source = data.open('train', tmp_path)
    names = collections.Counter(record.name for record in source.records(range(len(source))))
    assert (data.num_train, len(source), data.class_counts) == (14, 14, (2, 7))
    assert sorted(names.values()) == [1] * 7 + [3, 4]
    assert collections.Counter(source[row]['label'] for row in range(14)) == {0: 7, 1: 7}
    assert source.seal == plain.open('train', tmp_path).seal
    held = folder.load(folder=root, balanced=True, **HELD)
    assert held.num_train == 2 * max(held.class_counts)
    assert held.open('train', tmp_path).seal.count == sum(held.class_counts)
    assert held.splits['validation'] == 9 - sum(held.class_counts)


def test_a_bad_image_is_said_once_a_run_with_its_folder(tmp_path, caplog):
    root = make_flat(tmp_path / 'own', {'train/cat': 20, 'train/dog': 20, 'test/cat': 1, 'test/dog': 1})
    (tmp_path / 'own' / 'train' / 'cat' / 'broken.jpg').write_text('not an image')
    feed = open_feed(
        folder.load(folder=root, **HELD | {'max_bad_images': 0.05}),
        data_dir=tmp_path,
        seed=0,
        mesh=mapping.make_mesh(1),
    )
    sizes = {split: len(feed.source(split)) for split in ('train', 'validation')}
    (there,) = [split for split in sizes if 'of which cannot be read' in feed.size_note(split)]
    assert f'{there} has {sizes[there]} images, 1 of which cannot be read' in feed.size_note(there)
    assert caplog.text.count('broken.jpg') == 0
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            feed.images(there, np.arange(sizes[there]))
    assert caplog.text.count('broken.jpg') == 1
    assert f'1 bad image of {sizes[there]} in {root} {there}, more than 1 stop the run: cat/broken.jpg: ' in caplog.text


def test_a_bad_image_that_stands_several_times_counts_once(tmp_path):
    root = make_flat(tmp_path / 'own', {'train/cat': 2, 'train/dog': 6, 'test/cat': 1, 'test/dog': 1})
    first = tmp_path / 'own' / 'train' / 'cat' / 'picture 0.jpg'
    first.write_bytes(first.read_bytes()[:40])
    data = folder.load(folder=root, balanced=True, max_bad_images=0.13, **SMALL)  # one of eight
    source = data.open('train', tmp_path)
    source.read_random(list(range(12)), epochs=[0] * 12, seed=0)
    assert list(source.bad_images.found) == [0]


@pytest.mark.parametrize('share', [-0.1, 0.6, float('nan')])
def test_a_share_that_is_none(tmp_path, share):
    with pytest.raises(CnnJaxError, match='validation: got'):
        folder.load(folder=str(tmp_path / 'not looked at'), **SMALL | {'validation': share})


def test_the_bad_images_of_a_part_are_counted_by_their_names():
    bad = ['a/1: b.jpg: not an image: it is text', 'a/2.jpg: cut short', 'b/1.jpg: cut short']
    assert bad_images.count_of(bad, ['a/1: b.jpg', 'a/2.jpg', 'a/3.jpg']) == 2
    assert bad_images.count_of(bad, ['a/2', 'b/1', 'jpg']) == 0
