"""Predictions in a file, one after the other: CSV, JSON, or a JSON object a line; whole at its end or not there.

Answers that are images go into a folder, a file each; in JSON an array is a list.
"""

import contextlib
import csv
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.files.cells import marked
from cnn_jax.files.whole import write_whole

FORMATS = ('.csv', '.jsonl', '.json')

Row = Mapping[str, Any]
Write = Callable[[Row], None]


def is_file(path: Path) -> bool:
    """Whether an output is a file of one of `FORMATS`, and no folder of images."""
    return path.suffix.lower() in FORMATS and not path.is_dir()


def check_output(path: Path, *, images: bool) -> None:
    """Raises CnnJaxError for an output whose ending says no format; images: whether answers may go into a folder."""
    if is_file(path):
        return
    formats = ', '.join(FORMATS)
    if not images:
        raise CnnJaxError(f'--output: {path} given; its ending says the format, one of {formats}')
    if path.suffix or path.is_file():
        raise CnnJaxError(f'--output: {path} given; give a folder for images, or a file that ends in one of {formats}')


def check_names(files: Sequence[str]) -> None:
    """Raises CnnJaxError for files whose answers would be one image of a folder."""
    first: dict[str, str] = {}
    for file in files:
        if (other := first.setdefault(Path(file).stem, file)) != file:
            raise CnnJaxError(f'--output: {other} and {file} would be one image; predict one folder after the other')


@contextlib.contextmanager
def writing_images(folder: Path, encode: Callable[[Row], bytes]) -> Iterator[Write]:
    """A function that writes the answer of one row as FOLDER/NAME.png; of a picture without an answer nothing.

    Raises:
        StorageError: it cannot be written.
    """

    def write(row: Row) -> None:
        if 'error' not in row:
            write_whole(folder / f'{Path(row["file"]).stem}.png', encode(row))

    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield write
    except OSError as error:
        raise StorageError(f'cannot write {folder}: {error.strerror}; give another --output') from error


@contextlib.contextmanager
def writing(
    path: Path, columns: Callable[[Row], Row], records: Callable[[Row], Iterable[Row]] = lambda row: [row]
) -> Iterator[Write]:
    """A function that writes one row; the file gets its name when the block ends well.

    Args:
        path: its ending says the format.
        columns: makes a flat row of one, for CSV.
        records: makes of one what it adds to the list of a .json file.

    Raises:
        StorageError: it cannot be written.
    """
    part = path.with_name(f'{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open('w', encoding='utf-8', errors='surrogateescape', newline='') as file:
            yield from _open(file, path.suffix.lower(), columns, records)
        os.replace(part, path)
    except OSError as error:
        raise StorageError(f'cannot write {path}: {error.strerror}; give another --output') from error
    finally:
        part.unlink(missing_ok=True)


def _open(
    file: TextIO, ending: str, columns: Callable[[Row], Row], records: Callable[[Row], Iterable[Row]]
) -> Iterator[Write]:
    if ending == '.csv':
        yield _csv_writer(file, columns)
    elif ending == '.jsonl':
        yield lambda row: print(_as_json(row), file=file)
    else:
        before = itertools.chain(['[\n'], itertools.repeat(',\n'))

        def write(row: Row) -> None:
            for record in records(row):
                print(next(before), _as_json(record), sep='', end='', file=file)

        yield write
        print('\n]' if file.tell() else '[]', file=file)


def _csv_writer(file: TextIO, columns: Callable[[Row], Row]) -> Write:
    """The first row decides the columns."""
    writer: list[csv.DictWriter] = []

    def write(row: Row) -> None:
        flat = columns(row)
        if not writer:
            writer.append(csv.DictWriter(file, list(flat), lineterminator='\n'))
            writer[0].writeheader()
        writer[0].writerow({name: marked(value) for name, value in flat.items()})

    return write


def _as_json(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, default=lambda array: array.tolist())
