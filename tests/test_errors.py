"""A shortage of the machine is told from a bad file, however it was wrapped and wherever it comes up."""

import ast
import errno
from pathlib import Path

import pytest

import cnn_jax
from cnn_jax.data.formats import array_record, image, image_header
from cnn_jax.errors import DataError, ShortageError, check_shortage

ROOT = Path(cnn_jax.__file__).parent
SHORT = [
    (MemoryError(), 'memory'),
    (SystemError('error return without exception set'), 'memory'),
    (RuntimeError("can't start new thread"), 'threads'),
    (OSError(errno.EMFILE, 'Too many open files'), 'open files'),
    (BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable'), 'threads'),
    (ValueError('RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes'), 'memory'),
    (ValueError('NOT_FOUND: [Too many open files]'), 'open files'),
    (ImportError('/lib/tensorstore.so: failed to map segment from shared object'), 'memory'),
]
FREE = {  # broad handlers that hide no reason: they say it, cost one picture, clean up, or end the program
    'ablate/programs.py', 'devices/ending.py', 'devices/processes.py', 'main.py', 'modes/visualize.py',
    'report/parts.py', 'training/run.py', 'visualize/engine/draw.py', 'workdir/checkpoint.py', 'workdir/log.py',
    'experiment_file.py',
}  # fmt: skip


@pytest.mark.parametrize(('error', 'words'), SHORT, ids=lambda value: str(value)[:20])
def test_a_shortage_is_found_behind_other_errors(error, words):
    def wrapped():
        try:
            try:
                raise error
            except Exception as inner:
                raise KeyError('of a library') from inner
        except KeyError as middle:
            raise ValueError('a bad file') from middle

    with pytest.raises(ValueError, match='a bad file') as caught:
        wrapped()
    with pytest.raises(ShortageError, match=f'gives no more {words}') as told:
        check_shortage(caught.value)
    assert told.value.exit_code == 5


def test_a_bad_file_is_none():
    forbidden = ImportError('a.so: failed to map segment from shared object: Operation not permitted')
    other = (OSError(errno.EIO, 'Input/output error'), DataError('out of memory?'))
    for error in (ValueError('cut short'), forbidden, *other):
        check_shortage(error)


@pytest.mark.parametrize('error', [error for error, _ in SHORT], ids=str)
def test_no_set_is_blamed_for_it(tmp_path, error):
    with pytest.raises(ShortageError, match='run the same command again'), array_record.reading(tmp_path):
        raise error


def test_no_image_is_replaced_for_it(monkeypatch):
    def short(*arguments):
        raise MemoryError

    monkeypatch.setattr(image_header, '_openers', lambda: [(short, lambda start: True)])
    with pytest.raises(ShortageError):
        image.decode(b'an image')


def broad(handler):
    """The handlers that also catch what a shortage raises, and turn it into something else."""
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {'all'}
    return names & {'Exception', 'BaseException', 'RuntimeError', 'MemoryError', 'all'}


@pytest.mark.parametrize('path', sorted(ROOT.rglob('*.py')), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_broad_handler_asks_first(path):
    if path.relative_to(ROOT).as_posix() in FREE:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ExceptHandler) and broad(node):
            first = node.body[0]
            asks = isinstance(first, ast.Expr) and ast.unparse(first).startswith('check_shortage(')
            assert asks or (isinstance(first, ast.Raise) and first.exc is None), f'{path}:{node.lineno}'
