"""Predictions in a file, one after the other: CSV, JSON, or a JSON object a line; whole at its end or not there."""

import contextlib
import csv
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.files.cells import marked

FORMATS = ('.csv', '.jsonl', '.json')

Row = Mapping[str, Any]
Write = Callable[[Row], None]


def check_output(path: Path) -> None:
    """Raises CnnJaxError for a file whose ending says no format, or that is a folder."""
    if path.suffix.lower() not in FORMATS or path.is_dir():
        raise CnnJaxError(f'--output: {path} given; its ending says the format, one of {", ".join(FORMATS)}')


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
        yield lambda row: print(json.dumps(row, ensure_ascii=False), file=file)
    else:
        before = itertools.chain(['[\n'], itertools.repeat(',\n'))

        def write(row: Row) -> None:
            for record in records(row):
                print(next(before), json.dumps(record, ensure_ascii=False), sep='', end='', file=file)

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
