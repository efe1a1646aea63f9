"""The one writer of files: whole or absent, whatever happens while it writes."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from cnn_jax.files.whole import write_whole, written_beside


@pytest.mark.parametrize(('content', 'stored'), [('µ\n', b'\xc2\xb5\n'), (b'\x00\r\n', b'\x00\r\n')])
def test_text_and_bytes_take_the_place_of_what_was_there(tmp_path, content, stored):
    write_whole(tmp_path / 'file', 'before')
    write_whole(tmp_path / 'file', content)
    assert (tmp_path / 'file').read_bytes() == stored
    assert os.listdir(tmp_path) == ['file']


def test_a_file_has_the_rights_of_any_other(tmp_path):
    (tmp_path / 'other').write_text('')
    write_whole(tmp_path / 'file', '')
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ('file', 'other')}
    assert len(modes) == 1


def test_a_failure_changes_nothing(tmp_path):
    def write_half():
        with written_beside(tmp_path / 'file') as temporary:
            temporary.write_text('half')
            assert (tmp_path / 'file').read_text() == 'before'
            raise ZeroDivisionError

    write_whole(tmp_path / 'file', 'before')
    with pytest.raises(ZeroDivisionError):
        write_half()
    assert (tmp_path / 'file').read_text() == 'before'
    assert os.listdir(tmp_path) == ['file']


def test_the_error_is_that_of_writing(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / 'missing' / 'file', 'text')
    with pytest.raises(NotADirectoryError):
        write_whole(tmp_path / 'file' / 'inside', 'text')


def test_writers_at_once_leave_the_file_of_one_of_them(tmp_path):
    texts = [str(number) * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_whole(tmp_path / 'file', text), texts * 5))
    assert (tmp_path / 'file').read_text() in texts
    assert os.listdir(tmp_path) == ['file']
