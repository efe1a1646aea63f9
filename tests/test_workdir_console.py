"""The console is not the run: when it has gone, what is said goes on elsewhere."""

import contextlib
import os
import sys

import pytest

from cnn_jax.workdir.console import Console, consoles
from cnn_jax.workdir.log import Log


@pytest.fixture
def deaf():
    """A stream whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, 'w')
    yield stream
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_a_log_goes_on_without_a_console(tmp_path, deaf, monkeypatch):
    log = Log(tmp_path)
    monkeypatch.setattr(sys, 'stdout', deaf)
    with consoles(outlived=lambda: True, note=log.note):
        for number in range(3):
            log.say(f'step {number}')
        assert not sys.stdout.isatty()
    deaf.close()  # as at the end of Python: what the buffer holds has a place to go
    lines = [line.partition(' ')[2].partition(' ')[2] for line in (tmp_path / 'log.txt').read_text().splitlines()]
    assert lines[0].startswith('the console is gone ([Errno 32] Broken pipe)')
    assert lines[1:] == ['step 0', 'step 1', 'step 2']


def test_what_lives_by_its_output_ends_with_it(deaf, monkeypatch):
    monkeypatch.setattr(sys, 'stdout', deaf)
    with consoles(outlived=lambda: False, note=lambda line: None), pytest.raises(BrokenPipeError):
        print('found', flush=True)


def test_a_process_without_a_console_is_quiet():
    console = Console(None, outlived=lambda: True, note=lambda line: None)
    assert (console.write('text'), console.isatty()) == (4, False)
    console.flush()


def test_a_letter_that_cannot_be_written_is_still_an_error(tmp_path):
    with (tmp_path / 'text').open('w', encoding='ascii') as stream:
        console = Console(stream, outlived=lambda: True, note=lambda line: None)
        with pytest.raises(UnicodeEncodeError):
            console.write('ä')
        assert not console.lost
