"""ImageNet, Imagenette, own folders: from trees, tar files and archives made small; what is missing is said."""

import hashlib
import io
import shutil
import tarfile
from collections import Counter

import pytest
from small_imagenet import CLASSES, jpeg, make_tree

from cnn_jax.data import imagenet, imagenette, pipeline
from cnn_jax.data.formats import checksum, shards, tree
from cnn_jax.errors import DataError


@pytest.fixture(autouse=True)
def three_classes(monkeypatch):
    monkeypatch.setattr(imagenet, 'class_names', lambda: CLASSES)


def prepare(data, data_dir) -> list[str]:
    lines = []
    data.prepare(data_dir, lines.append)
    return lines


def tar(files: dict[str, bytes], mode: str = 'w') -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def make_archives(home, monkeypatch):
    """The two tar files of image-net.org, small; returns the labels of the validation images."""
    train = {
        f'{name}.tar': tar({f'{name}_{number}.JPEG': jpeg(10 * label + number) for number in range(4)})
        for label, name in enumerate(CLASSES)
    }
    val = {f'ILSVRC2012_val_{number:08d}.JPEG': jpeg(50 + number) for number in (3, 1, 2, 4)}
    home.mkdir(parents=True)
    archives = {}
    for split, (name, _, _) in imagenet.ARCHIVES.items():
        content = tar(train if split == 'train' else val)
        (home / name).write_bytes(content)
        archives[split] = (name, len(content), hashlib.md5(content, usedforsecurity=False).hexdigest())
    monkeypatch.setattr(imagenet, 'ARCHIVES', archives)
    labels = [2, 0, 1, 0]
    monkeypatch.setattr(imagenet, '_tfds_lines', lambda name: [CLASSES[label] for label in labels])
    return labels


def test_the_thousand_classes(monkeypatch):
    monkeypatch.undo()
    data = imagenet.load(batch_size=4)
    assert (data.num_classes, data.num_train, data.num_test) == (1000, 1_281_167, 50_000)
    assert list(data.class_names) == sorted(data.class_names)
    assert data.class_names[0] == 'n01440764'  # the tench
    assert not pipeline.is_resident(data)
    labels = imagenet._tfds_lines('validation_labels.txt')
    assert set(Counter(labels).values()) == {50}
    assert {*labels} == {*data.class_names}


def test_from_the_tar_files(tmp_path, monkeypatch):
    labels = make_archives(tmp_path / 'imagenet', monkeypatch)
    data = imagenet.load(batch_size=4)
    lines = prepare(data, tmp_path)
    assert 'imagenet train: 12 images in' in lines[-2]
    assert 'NOT the 1,281,167 published ones' in lines[-2]
    test = data.open('test', tmp_path)
    assert [test[row]['label'] for row in range(4)] == labels
    records = test.records(range(4))  # pyright: ignore[reportAttributeAccessIssue]
    assert [record.encoded for record in records] == [jpeg(50 + number) for number in (1, 2, 3, 4)]  # by name
    train = data.open('train', tmp_path).records(range(12))  # pyright: ignore[reportAttributeAccessIssue]
    assert [(record.label, record.encoded) for record in train] == [
        (label, jpeg(10 * label + number)) for label in range(3) for number in range(4)
    ]
    assert any('checked before' in line for line in prepare(data, tmp_path))


def test_a_tar_file_that_is_not_complete(tmp_path, monkeypatch):
    make_archives(tmp_path / 'imagenet', monkeypatch)
    archive = tmp_path / 'imagenet' / 'ILSVRC2012_img_train.tar'
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-10_000])
    with pytest.raises(DataError, match=r'img_train\.tar has .* bytes, the published file .*: it is not complete'):
        prepare(imagenet.load(batch_size=4), tmp_path)
    archive.write_bytes(whole[:5000] + b'?' + whole[5001:])
    with pytest.raises(DataError, match=r'img_train\.tar has the MD5 '):
        prepare(imagenet.load(batch_size=4), tmp_path)


def test_from_folders_and_from_flat_validation(tmp_path, monkeypatch):
    home = make_tree(tmp_path / 'imagenet')
    data = imagenet.load(batch_size=4, image_size=32, resize=40)
    prepare(data, tmp_path)
    assert len(data.open('train', tmp_path)) == 27
    assert data.open('test', tmp_path)[8]['label'] == 2
    flat = [path.rename(home / 'val' / path.name) for path in sorted((home / 'val').rglob('*.JPEG'))]
    for path in (home / 'val').iterdir():
        if path.is_dir():
            path.rmdir()
    with pytest.raises(DataError, match='val has 9 images, the validation set 50,000'):
        prepare(data, tmp_path)
    monkeypatch.setattr(imagenet, '_tfds_lines', lambda name: [CLASSES[row % 3] for row in range(len(flat))])
    prepare(data, tmp_path)
    assert [data.open('test', tmp_path)[row]['label'] for row in range(4)] == [0, 1, 2, 0]


def test_wrong_folders_are_said(tmp_path):
    make_tree(tmp_path / 'imagenet', classes=('cat', 'dog'))
    with pytest.raises(DataError, match=r'train has 0 of the 3 class folders of ImageNet and 2 others \(cat, ...\)'):
        prepare(imagenet.load(batch_size=4), tmp_path)
    with pytest.raises(DataError, match=r'put ILSVRC2012_img_train\.tar and ILSVRC2012_img_val\.tar') as caught:
        prepare(imagenet.load(batch_size=4), tmp_path / 'elsewhere')
    assert caught.value.exit_code == 3
    shutil.rmtree(tmp_path / 'imagenet' / 'val')
    (tmp_path / 'imagenet' / 'train').rename(tmp_path / 'imagenet' / 'val')
    with pytest.raises(DataError, match='class folders'):
        prepare(imagenet.load(batch_size=4), tmp_path)


def test_tfds_own_set_is_read(tmp_path):
    root = make_tree(tmp_path / 'tree')
    splits = {
        'train': tree.list_classes(root / 'train', CLASSES),
        'validation': tree.list_classes(root / 'val', CLASSES),
    }
    data = imagenet.load(batch_size=4, image_size=32, resize=40)
    how = data.open  # nothing there yet
    with pytest.raises(DataError, match='imagenet is not prepared below'):
        how('train', tmp_path)
    made = shards.build(
        'imagenet2012',
        tmp_path,
        splits,
        class_names=CLASSES,
        say=lambda line: None,
        decoding=imagenet.Decoding(size=32, resize=40),
    )
    made.rename(made.with_name('5.1.0'))
    info = made.with_name('5.1.0') / 'dataset_info.json'
    info.write_text(info.read_text().replace('"1.0.0"', '"5.1.0"'))
    assert len(data.open('test', tmp_path)) == 9
    assert data.open('train', tmp_path)[26]['label'] == 2


# Imagenette


def test_imagenette_from_its_archive(tmp_path, monkeypatch):
    tree_of = make_tree(tmp_path / 'made' / 'imagenette2-160', classes=tuple(imagenette.CLASSES), train=2, val=1)
    home = tmp_path / 'data' / 'imagenette'
    home.mkdir(parents=True)
    with tarfile.open(home / 'imagenette2-160.tgz', 'w:gz') as archive:
        archive.add(tree_of, 'imagenette2-160')
    data = imagenette.load(batch_size=4, variant='160px', image_size=32, resize=40)
    with pytest.raises(DataError, match=r'imagenette2-160\.tgz has the MD5'):
        prepare(data, tmp_path / 'data')
    content = (home / 'imagenette2-160.tgz').read_bytes()
    monkeypatch.setitem(imagenette.MD5, '160px', hashlib.md5(content, usedforsecurity=False).hexdigest())
    prepare(data, tmp_path / 'data')
    assert (len(data.open('train', tmp_path / 'data')), len(data.open('test', tmp_path / 'data'))) == (29, 10)
    assert data.class_names[data.open('test', tmp_path / 'data')[9]['label']] == 'parachute'
    assert not list(home.glob('*.part'))
    shutil.rmtree(home)
    assert '29 images' in prepare(data, tmp_path / 'data')[0]  # the archive is not needed any more


# Files that a user supplies


def test_checksums_are_remembered(tmp_path):
    path, lines = tmp_path / 'file', []
    path.write_bytes(b'abc')
    checksum.check_file(path, '900150983cd24fb0d6963f7d28e17f72', lines.append, size=3)  # RFC 1321
    checksum.check_file(path, '900150983cd24fb0d6963f7d28e17f72', lines.append)
    assert lines == ['file: the published file', 'file: checked before']
    with pytest.raises(DataError, match='has the MD5 900150983cd24fb0d6963f7d28e17f72, the published file 0000'):
        checksum.check_file(path, '0' * 32, lines.append)
    with pytest.raises(DataError, match='has 3 bytes, the published file 2: it is another file'):
        checksum.check_file(path, '0' * 32, lines.append, size=2)


def test_tar_files_are_read_in_place(tmp_path):
    files = {'a/2.JPEG': b'two', 'a/1.jpg': b'one', 'readme.txt': b'no image', '../../3.png': b'three'}
    (tmp_path / 'x.tar').write_bytes(tar(files))
    items = tree.list_tar(tmp_path / 'x.tar', 4, prefix='n/')
    assert [(item.name, item.label, item.read()) for item in items] == [
        *(('n/1.jpg', 4, b'one'), ('n/2.JPEG', 4, b'two'), ('n/3.png', 4, b'three')),
    ]
    (tmp_path / 'y.tar').write_bytes(b'no tar file' * 100)
    with pytest.raises(DataError, match='unreadable tar file'):
        tree.list_tar(tmp_path / 'y.tar')
    (tmp_path / 'z.tar').write_bytes(tar({'cat.tar': tar(files)}))
    with pytest.raises(DataError, match=r'has no dog\.tar \(1 classes are missing\)'):
        tree.list_tar_of_tars(tmp_path / 'z.tar', ['cat', 'dog'])
    assert [item.read() for item in tree.list_tar_of_tars(tmp_path / 'z.tar', ['cat'])] == [b'one', b'two', b'three']
