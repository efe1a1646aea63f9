"""Labels in a CSV file as people write them: what is read, and one line with the place for what is not."""

import logging
import unicodedata
from typing import Any

import pytest
from small_imagenet import jpeg

from cnn_jax.data import folder
from cnn_jax.data.formats import label_file
from cnn_jax.data.formats.labelled import list_labelled
from cnn_jax.data.formats.remembered import Remembered, remembering
from cnn_jax.data.formats.sides import Division
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.files import cache

ODD = 'ä ö, ü.png'
ROWS = [f'a/{number}.jpg,{"cat" if number % 3 else "dog"}' for number in range(9)]
PLAIN = '\n'.join(['file,label', *ROWS])
SPLIT = '\n'.join(['file,label,split', *(f'{row},{"train" if n < 6 else "test"}' for n, row in enumerate(ROWS))])


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Ten images, nine of them in a folder, and one file that is none."""
    root = tmp_path_factory.mktemp('pictures')
    (root / 'a').mkdir()
    for number in range(9):
        (root / 'a' / f'{number}.jpg').write_bytes(jpeg(number, width=30, height=20))
    (root / ODD).write_bytes(jpeg(99, width=30, height=20))
    (root / 'notes.txt').write_text('none', encoding='utf-8')
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, 'folder', lambda name: tmp_path / 'cache')


@pytest.fixture
def listed(root, tmp_path):
    def listed(text, **options):
        path = tmp_path / 'labels.csv'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return list_labelled(root, path, Division(0.3, 0), **options)

    return listed


def labels_of(listing):
    return {
        item.name: [listing.classes[label] for label in item.classes]
        for items in listing.items.values()
        for item in items
    }


EXPECTED = {row.split(',')[0]: [row.split(',')[1]] for row in ROWS}


@pytest.mark.parametrize(
    'text',
    [
        PLAIN,
        ('\ufeff' + PLAIN.replace('\n', '\r\n')).encode(),
        PLAIN.replace('\n', '\r'),
        PLAIN.replace('\n', '\n\n , \n'),
        PLAIN.replace(',', ' , '),
        PLAIN.replace(',', ', "').replace('\n', '"\n') + '"',
        PLAIN.replace('a/', './a/../a/'),
        PLAIN.replace('a/', 'a\\'),
        PLAIN.replace('file,label', 'Path,Class'),
        PLAIN.replace('file,label', 'image,LABELS'),
        PLAIN + '\n' + ROWS[0],
        '\n'.join(['id,file,image,label', *(f'7,{row.split(",")[0]},{row}' for row in ROWS)]),
        SPLIT,
    ],
)
def test_forms_of_a_file(listed, text):
    found = listed(text)
    assert labels_of(found) == EXPECTED
    assert (found.classes, found.several) == (('cat', 'dog'), False)


def test_names_from_the_root_of_the_disk_are_taken_inside_the_folder(listed, root):
    assert labels_of(listed(PLAIN.replace('a/', f'{root}/a/'))) == EXPECTED


@pytest.mark.parametrize('name', [ODD, unicodedata.normalize('NFD', ODD)])
def test_names_that_are_not_ascii(listed, name):
    assert labels_of(listed(f'{PLAIN}\n"{name}",cat'))[ODD] == ['cat']


@pytest.mark.parametrize(
    'text',
    [PLAIN.replace('cat', 'cat;pet'), PLAIN.replace('cat', ' pet | cat|pet'), 'rows'],
)
def test_several_labels(listed, text):
    more = '\n'.join(row.replace('cat', 'pet') for row in ROWS if 'cat' in row)
    found = listed(PLAIN.replace('label', 'labels', 1) + '\n' + more if text == 'rows' else text)
    assert found.several
    assert found.classes == ('cat', 'dog', 'pet')
    assert labels_of(found) == {name: ['cat', 'pet'] if own == ['cat'] else own for name, own in EXPECTED.items()}
    for items in found.items.values():
        assert {label for item in items for label in item.classes} == {0, 1, 2}


def test_a_hundred_labels_in_a_cell(listed, caplog):
    found = listed(f'{PLAIN}\n"{ODD}",' + ';'.join(f'l{number}' for number in range(100)))
    assert len(found.classes) == 102
    assert 'alone, which have none to lend: 100: l0, l1' in caplog.text


def test_splits_of_the_file(listed):
    assert listed(SPLIT).counts == {'train': 6, 'test': 3}
    three = SPLIT.replace('a/6.jpg,dog,test', 'a/6.jpg,dog,Val').replace(',train', ',TRAINING')
    assert listed(three).counts == {'train': 6, 'validation': 1, 'test': 2}
    assert listed(SPLIT.replace(',test', ',valid')).counts == {'train': 6, 'test': 3}
    assert listed(SPLIT.replace(',test', ',train')).counts == listed(PLAIN).counts


def test_what_is_said(listed, caplog):
    with caplog.at_level(logging.INFO):
        listed('\n'.join(f'{row},{row}' if n else f'{row},x,y' for n, row in enumerate(PLAIN.split('\n'))) + '\n'
               + f'{ROWS[0]},,')  # fmt: skip
    assert 'columns that are not looked at: x, y' in caplog.text
    assert 'rows that say what an earlier one said: 1' in caplog.text
    assert '9 images, one label for each image' in caplog.text
    assert 'that it does not name: 1; they are left out' in caplog.text
    listed(PLAIN.replace('1.jpg,cat', '1.jpg,Cat').replace('2.jpg,cat', '2.jpg,Cat'))
    assert 'labels that differ in case alone are classes of their own: Cat and cat' in caplog.text


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', "is empty; its first line is 'file,label'"),
        ('\n\r\n', 'is empty'),
        ('file,label\n', 'has a header and no rows'),
        ('file,label\na/1.jpg,cat\na/2.jpg,dog', r'labels.csv: the label cat has one image \(copies count once\)'),
        ('\n'.join(ROWS), "has no column 'file': its first line is 'a/0.jpg,dog'"),
        (PLAIN.replace(',', ';'), "has no column 'file'.*; the columns stand between commas"),
        (PLAIN.replace('label', 'name'), "has no column 'label'"),
        (PLAIN.replace('file', 'label', 1).replace('label,label', 'path,image,label'), 'the columns path and image'),
        (PLAIN.replace('file,label', 'file,tags,class'), 'the columns tags and class, which may both be the label'),
        (PLAIN.replace('dog', 'cat'), "all 9 images have the label 'cat'"),
        (f'{PLAIN}\na/0.jpg,cat', "line 11: a/0.jpg is dog on line 2 and cat here; .* call the column 'labels'"),
        (PLAIN.replace('1.jpg,cat', '1.jpg,'), 'line 3: a/1.jpg has no label'),
        (PLAIN.replace('a/1.jpg', ''), 'line 3: no file is named'),
        (PLAIN.replace('1.jpg,cat', '1.jpg,cat;'), "line 3: the label cell is 'cat;'"),
        (PLAIN.replace('1.jpg,cat', '1.jpg,"ca\nt"'), r"line 4: the label cell is 'ca\\nt'"),
        (PLAIN.replace('a/1.jpg', 'a/\x001.jpg'), 'line 3: the file is .* cannot be seen'),
        (f'{PLAIN}\n/etc/x.jpg,cat', 'line 11: /etc/x.jpg is outside of'),
        (f'{PLAIN}\n../x.jpg,cat', 'line 11: ../x.jpg is outside of'),
        (f'{PLAIN}\na/77.jpg,cat\na/78.jpg,cat', 'line 11: a/77.jpg is not in .*, one of 2 .*there is a/7.jpg'),
        (f'{PLAIN}\na,cat', 'line 11: a is not an image of .*it is a folder'),
        (f'{PLAIN}\nnotes.txt,cat', 'line 11: notes.txt is not an image of'),
        (PLAIN.replace('.jpg', ''), 'line 2: a/0 is not in .*a/0.jpg is there: write the whole name'),
        (f'{PLAIN}\n{ODD},cat', 'line 11: 3 cells, where the header has 2; .* double quotes'),
        (f'{PLAIN}\n"a/3.jpg,cat', 'line 11: unexpected end of data; mend the quotes'),
        (f'{PLAIN}\na/x.jpg,{"x" * 200_000}', 'line 11: field larger than field limit'),
        (f'{PLAIN}\n"{ODD}",cat'.encode('latin-1'), 'is not UTF-8 text'),
        (PLAIN.encode('utf-16'), 'is not UTF-8 text'),
        (f'{PLAIN}\na\\1.jpg,cat', r'line 11: a\\1.jpg is the file of line 3, spelled in another way'),
        (f'{SPLIT}\n"{ODD}",cat,dev', "line 11: the split is 'dev'; it is one of train, training"),
        (f'{SPLIT}\n"{ODD}",cat,', "line 11: the split is ''"),
        (f'{SPLIT}\na/1.jpg,cat,test', 'line 11: a/1.jpg is in train on line 3 and in test here'),
        (f'{SPLIT}\n"{ODD}",eel,test', 'the label eel is in test and not in train'),
        (SPLIT.replace(',train', ',test'), 'no row has the split train'),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_with_their_place(listed, text, message):
    with pytest.raises(DataError, match=message) as caught:
        listed(text)
    assert '\n' not in str(caught.value)
    assert '\0' not in str(caught.value)


def test_a_prefix_too_many_is_seen(listed, root):
    with pytest.raises(DataError, match=r'files are named from the folder on: a/0.jpg'):
        listed(PLAIN.replace('a/', f'{root.name}/a/'))


def test_classes_of_a_run(listed):
    assert listed(PLAIN, classes=('dog', 'cat')).classes == ('dog', 'cat')
    with pytest.raises(DataError, match=r'the labels of .* are not those that the run was trained on: cat, eel'):
        listed(PLAIN, classes=('dog', 'eel'))


OPTIONS: dict[str, Any] = {'batch_size': 2, 'image_size': 16, 'resize': 20}


def test_a_source_of_labelled_images(root, tmp_path, caplog):
    (root / 'labels.csv').write_text(PLAIN.replace('cat', 'cat|pet'), encoding='utf-8')
    with caplog.at_level(logging.INFO):
        data = folder.load(folder=str(root), labels='labels.csv', validation=0.3, **OPTIONS)
    assert f'{root / "labels.csv"} is taken' in caplog.text
    assert sum(data.splits.values()) == 9
    for split, count in data.splits.items():
        source = data.open(split, tmp_path)
        assert len(source) == count
        there = {label for row in range(count) for label, own in enumerate(source[row]['labels']) if own}
        assert there == {0, 1, 2}, 'each label is on each side'
    with pytest.raises(CnnJaxError, match=r'balanced: images of .* have several labels'):
        folder.load(folder=str(root), labels='labels.csv', balanced=True, **OPTIONS)


def test_a_run_remembers_whether_images_have_several_labels(tmp_path, caplog):
    splits = {'train': 5, 'validation': 1, 'test': 2}
    for fields, several in ((('labels',), True), (('label',), False), ((), False)):
        with remembering(Remembered(('cat', 'dog'), splits, tmp_path, fields)):
            gone = folder.load(folder='gone', labels='gone.csv', **OPTIONS)
        assert (list(gone.row_fields), gone.splits) == (['labels' if several else 'label'], splits)
    assert 'does not say whether its images have several labels' in caplog.text


def test_a_label_file_of_another_kind_is_refused_when_it_is_read(root, tmp_path):
    path = tmp_path / 'labels.csv'
    path.write_text(PLAIN, encoding='utf-8')
    with remembering(Remembered(('cat', 'dog'), {'train': 5, 'test': 2}, tmp_path, ('labels',))):
        data = folder.load(folder=str(root), labels=str(path), **OPTIONS)
    assert list(data.row_fields) == ['labels']
    with pytest.raises(DataError, match='have one label each now and had several when the run was trained'):
        data.open('test', tmp_path)


def test_reading_needs_a_file(root, tmp_path):
    for path in (tmp_path / 'nowhere.csv', tmp_path):
        with pytest.raises(DataError, match=r'cannot read the labels .*; give a CSV file'):
            label_file.read(path, root)
