"""Labels in a CSV file beside a folder of images: a header, then `file,label` in each row, and `split` if one likes.

UTF-8, with or without a byte-order mark, any line ends, commas between the columns, blanks around cells ignored. Files
are named from the folder on. Of a file with several labels the cell holds them all, `cat;dog` or `cat|dog`; in a column
called `labels` it may also have a row for each. Columns of other names are found where there is one alone, see
COLUMNS.
"""

import csv
import logging
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cnn_jax.data.formats.folder_splits import NAMES
from cnn_jax.errors import DataError, closest
from cnn_jax.files.cells import unmarked

COLUMNS = {
    'file': ('file', 'filename', 'file_name', 'path', 'filepath', 'file_path', 'image', 'image_path'),
    'label': ('label', 'labels', 'class', 'class_name', 'category', 'tags'),
    'split': ('split', 'subset', 'partition'),
}
PLURAL = ('labels', 'tags')  # in a column of such a name a file may have several rows
BETWEEN = re.compile('[;|]')  # labels of one cell
NAMED = 5

log = logging.getLogger(__name__)


class Labelled(NamedTuple):
    """What a file says of one image: its name from the folder on, the line, its labels, its split or ''."""

    file: str
    line: int
    labels: tuple[str, ...]
    split: str


class LabelFile(NamedTuple):
    """The images of a label file, one each, in its order; `several`: there are images with several labels."""

    rows: list[Labelled]
    several: bool


def read(path: Path, root: Path) -> LabelFile:
    """Reads a label file of the images in `root`.

    Raises:
        DataError: it cannot be read, is not such a file, or a row is not as it should be: with its line.
    """
    columns, lines = _read_cells(path)
    found: dict[str, Labelled] = {}
    twice = 0
    for line, cells in lines:
        row = _row(path, root, line, {what: cells[number].strip() for what, (number, _) in columns.items()})
        before = found.setdefault(row.file, row)
        if before is row:
            continue
        if row.split != before.split:
            raise _wrong(path, line, f'{row.file} is in {before.split or "no split"} on line {before.line} and in '
                         f'{row.split or "no split"} here; leave one of the rows')  # fmt: skip
        if {*row.labels} <= {*before.labels}:
            twice += 1
            continue
        if columns['label'][1] not in PLURAL:
            raise _wrong(path, line, f'{row.file} is {"|".join(before.labels)} on line {before.line} and '
                         f'{"|".join(row.labels)} here; leave one of the rows, or, where files have several labels, '
                         "call the column 'labels'")  # fmt: skip
        found[row.file] = before._replace(labels=tuple(dict.fromkeys(before.labels + row.labels)))
    if twice:
        log.warning('%s: rows that say what an earlier one said: %s; they count once', path, f'{twice:,}')
    rows = list(found.values())
    _check_classes(path, rows)
    most = max(len(row.labels) for row in rows)
    kind = f'several labels for an image, at most {most}' if most > 1 else 'one label for each image'
    log.info('%s: %s images, %s', path, f'{len(rows):,}', kind)
    return LabelFile(rows, most > 1)


def _read_cells(path: Path) -> tuple[dict[str, tuple[int, str]], list[tuple[int, list[str]]]]:
    """Where the columns are, with their names; and (line, cells) of each row that is not blank."""
    try:
        with path.open(encoding='utf-8-sig', newline='') as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            rows = (list(map(unmarked, cells)) for cells in reader)
            lines = [(reader.line_num, cells) for cells in rows if any(cell.strip() for cell in cells)]
    except OSError as error:
        raise DataError(f'cannot read the labels {path}: {error.strerror}; give a CSV file') from error
    except UnicodeDecodeError as error:
        raise DataError(
            f'{path} is not UTF-8 text (byte {error.start:,}: {error.reason}); save it as CSV in UTF-8'
        ) from error
    except csv.Error as error:
        raise DataError(f'{path}, line {reader.line_num}: {error}; mend the quotes there') from error
    if not lines:
        raise DataError(f"{path} is empty; its first line is 'file,label', and a row for each image follows")
    columns = _find_columns(path, [name.strip() for name in lines[0][1]])
    if not lines[1:]:
        raise DataError(f'{path} has a header and no rows; give one for each image: cat/1.jpg,cat')
    width = len(lines[0][1])
    for line, cells in lines[1:]:
        if len(cells) != width:
            raise _wrong(path, line, f'{len(cells)} cells, where the header has {width}; a cell that holds a comma '
                         'stands in double quotes')  # fmt: skip
    return columns, lines[1:]


def _find_columns(path: Path, header: list[str]) -> dict[str, tuple[int, str]]:
    columns = {}
    for what, names in COLUMNS.items():
        fitting = [number for number, name in enumerate(header) if name.lower() in names]
        exact = [number for number in fitting if header[number].lower() == what]
        chosen = exact if len(exact) == 1 else fitting
        if len(chosen) > 1:
            shown = ' and '.join(header[number] for number in chosen)
            raise DataError(f'{path} has the columns {shown}, which may both be the {what}; rename one of them')
        if not chosen and what != 'split':
            hint = '; the columns stand between commas' if len(header) == 1 and re.search('[;\t]', header[0]) else ''
            raise DataError(
                f'{path} has no column {what!r}: its first line is {",".join(header)[:80]!r}; needed is a header with '
                f"'file' and 'label'{hint}"
            )
        if chosen:
            columns[what] = (chosen[0], header[chosen[0]].lower())
    used = {number for number, _ in columns.values()}
    unused = [name for number, name in enumerate(header) if number not in used]
    if unused:
        log.info('%s: columns that are not looked at: %s', path, ', '.join(unused[:NAMED]))
    return columns


def _row(path: Path, root: Path, line: int, cells: dict[str, str]) -> Labelled:
    if not cells['file']:
        raise _wrong(path, line, 'no file is named; name one, or take the row out')
    if not cells['label']:
        raise _wrong(path, line, f'{cells["file"]} has no label; give it one, or take the row out')
    labels = tuple(dict.fromkeys(part.strip() for part in BETWEEN.split(cells['label'])))
    if not cells['file'].isprintable():
        raise _wrong(
            path, line, f'the file is {cells["file"][:80]!r}, with characters that cannot be seen; mend its name'
        )
    if not all(label and label.isprintable() for label in labels):
        raise _wrong(path, line, f'the label cell is {cells["label"][:80]!r}; it is a name, or names with ; or | '
                     'between two of them')  # fmt: skip
    given = cells.get('split', '')
    split = next((split for split, names in NAMES.items() if given.lower() in names), '')
    if 'split' in cells and not split:
        known = ', '.join(name for names in NAMES.values() for name in names)
        raise _wrong(path, line, f'the split is {given!r}; it is one of {known}')
    return Labelled(_inside(path, root, line, cells['file']), line, labels, split)


def _inside(path: Path, root: Path, line: int, text: str) -> str:
    """The name of a file from the folder on."""
    name = posixpath.normpath(text)
    for base in (root.absolute(), root.resolve()) if posixpath.isabs(text) else ():
        if Path(name).is_relative_to(base):
            name = Path(name).relative_to(base).as_posix()
    if posixpath.isabs(name) or name.split('/')[0] == '..':
        raise _wrong(path, line, f'{text} is outside of {root}; files are named from that folder on')
    return name


def _check_classes(path: Path, rows: Sequence[Labelled]) -> None:
    names = sorted({label for row in rows for label in row.labels})
    if len(names) < 2:
        raise DataError(f'{path}: all {len(rows):,} images have the label {names[0]!r}; needed are at least 2 classes')
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.casefold(), []).append(name)
    if pairs := [' and '.join(same) for same in alike.values() if len(same) > 1]:
        log.warning('%s: labels that differ in case alone are classes of their own: %s', path, '; '.join(pairs[:NAMED]))


def _wrong(path: Path, line: int, what: str) -> DataError:
    return DataError(f'{path}, line {line}: {what}')


def not_there(path: Path, root: Path, missing: Sequence[Labelled], there: Iterator[str]) -> DataError:
    """The error for files that are not in the folder, with what may have been meant."""
    first = missing[0]
    full, names = root / first.file, list(there)
    stem = {posixpath.splitext(name)[0]: name for name in names}
    if full.is_dir():
        hint = 'it is a folder: give a row for each image'
    elif full.is_file():
        hint = 'it is no image by its name; take the row out, or give the file the ending of what it is'
    elif first.file in stem:
        hint = f'{stem[first.file]} is there: write the whole name'
    elif first.file.startswith(f'{root.name}/') and first.file.partition('/')[2] in names:
        hint = f'files are named from the folder on: {first.file.partition("/")[2]}'
    else:
        near = f' (there is {closest(first.file, names[:20_000])[0]})' if names else ''
        hint = f'put it there, or take the row out{near}'
    more = f', one of {len(missing):,} that are not there' if len(missing) > 1 else ''
    what = 'is not an image of' if full.exists() else 'is not in'
    return _wrong(path, first.line, f'{first.file} {what} {root}{more}; {hint}')
