"""`--mode=predict`: pictures without labels, as they come, into a table."""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.devices.stop import StopRequest
from cnn_jax.drawing.words import table
from cnn_jax.errors import DataError
from cnn_jax.prediction import pictures, seeing
from cnn_jax.prediction.asking import Line, ask, read_lines
from cnn_jax.prediction.net import Net
from cnn_jax.prediction.writing import check_names, check_output, is_file, writing, writing_images
from cnn_jax.workdir.log import Log

SHOWN = 10  # rows on the console
NAMED = 3  # pictures that a line names


def predict(
    net: Net,
    images: str | None,
    output: Path | None,
    *,
    questions: Path | None = None,
    batch_size: int,
    stop: StopRequest,
    log: Log,
) -> None:
    """Writes what a net says of pictures, or of questions about them, in their order, and shows the first ones.

    Args:
        net: of a run, or with weights from elsewhere.
        images: a file, a folder or a pattern; with questions the folder of their images, None where it is theirs.
        output: a .csv, .jsonl or .json file, or a folder for answers that are images; None: the console alone.
        questions: a file of them, see `asking.read_lines`; None: nothing is asked.
        batch_size: images at a time.
        stop: whether a signal has come.
        log: the console.

    Raises:
        DataError: no pictures, or none that can be read; a new file has then a row for each that says why, one that
            was there stays.
        StorageError: the output cannot be written.
    """
    if output is not None:
        check_output(output, images=net.task.answers_are_images)
    asked: list[Line] = []
    if questions is not None:
        asked = read_lines(net, questions, None if images is None else Path(images).expanduser())
    found = pictures.find(images or '') if questions is None else pictures.Found([line.file for line in asked], 0)
    if output is not None and not is_file(output):
        check_names(found.files)
    there_before = output is not None and output.exists()
    if found.left_out:
        log.say(f'{found.left_out:,} files in {images} are not images and are left out')
    shown: list[dict[str, Any]] = []
    unplaced = 0
    bad: list[str] = []

    def columns(row: Any) -> dict[str, Any]:
        error = {'error': row.get('error', '')}
        kept = {'file': row['file']} | ({'question': row['question']} if asked else {})
        return kept | net.task.columns(row, net.names) | error

    lines = iter(asked)
    with contextlib.ExitStack() as held:
        write: Callable[[Any], None] = lambda row: None  # noqa: E731
        if output is not None:
            numbers = iter(_numbers(found.files))
            records: Callable[[Any], Any] = lambda row: net.task.records(row, next(numbers), net.names)  # noqa: E731
            to_file = is_file(output)
            opened = writing(output, columns, records) if to_file else writing_images(output, net.task.as_image)
            write = held.enter_context(opened)
        with log.working('predicting, picture', len(found.files)) as told:
            for run in pictures.batches(found.files, net.see, batch_size):
                stop.poll('stopped while predicting; nothing is written')
                unplaced += sum(picture.seen is not None and picture.seen.view is None for picture in run)
                for row in _rows(net, run, batch_size, list(itertools.islice(lines, len(run)))):
                    told.next(row['file'])
                    write(row)
                    bad += [f'{row["file"]}: {row["error"]}'] if 'error' in row else []
                    shown += [row] if len(shown) < SHOWN else []
        none_read = f'none of {len(bad):,} pictures could be read: {"; ".join(bad[:NAMED])}'
        if len(bad) == len(found.files) and (output is None or there_before):
            raise DataError(none_read)  # while the answers of before are still in their place
    if len(bad) == len(found.files):
        raise DataError(f'{none_read}; {output} says why of each')
    log.say(table([_short(columns(row)) for row in shown]))
    if len(found.files) > len(shown):
        log.say(f'and {len(found.files) - len(shown):,} more')
    if unplaced and net.task.places:
        height, width, _ = net.input_shape
        log.say(f'warning: places are in pixels of the {width} x {height} that the net is shown, not of the pictures')
    if net.task.answers_are_images and not net.task.any_size:
        height, width, _ = net.input_shape
        log.say(f'masks are of the {width} x {height} that the net is shown')
    if bad:
        more = f'; and {len(bad) - NAMED:,} more' if len(bad) > NAMED else ''
        log.say(f'warning: {len(bad):,} of {len(found.files):,} have no answer: {"; ".join(bad[:NAMED])}{more}')
    log.say(f'predictions    {output}' if output else 'keep them with --output=FILE.csv, .jsonl or .json')


def _numbers(files: Sequence[str]) -> Sequence[int]:
    """A number for each picture: its name, where all names are numbers as COCO's are, else its place, from 1."""
    stems = [Path(file).stem for file in files]
    named = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    return named if len(set(named)) == len(files) else range(1, len(files) + 1)


def _rows(net: Net, run: list[pictures.Picture], size: int, asked: Sequence[Line]) -> list[dict[str, Any]]:
    """A row for each picture, in order: its answer, or why there is none; asked: what about each, or nothing."""
    seen = [picture.seen for picture in run if picture.seen is not None]
    if asked:
        lines = [line for picture, line in zip(run, asked, strict=True) if picture.seen is not None]
        answers = iter(ask(net, seen, lines, size=size))
    else:
        answers = iter(seeing.answers(net, seen, most=size, size=size))
    questions = [{'question': line.question} for line in asked] or [{}] * len(run)
    return [
        {'file': picture.file, **question, **({'error': picture.error} if picture.seen is None else next(answers))}
        for picture, question in zip(run, questions, strict=True)
    ]


def _short(cells: dict[str, Any]) -> list[tuple[str, str]]:
    """The first columns of a row, as a console has room for."""
    kept = [(name, value) for name, value in cells.items() if value != '' or name != 'error'][:3]
    kept += [('', cells['error'])] if cells['error'] else []
    return [(name, _in_words(name, value)) for name, value in kept]


def _in_words(name: str, value: Any) -> str:
    """A cell of the console: what its column calls a probability or a share as percent, other numbers as they are."""
    if not isinstance(value, float):
        return str(value)
    return f'{value:.2%}' if name.startswith(('probability', 'share')) else f'{value:.2f}'
