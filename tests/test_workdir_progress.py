"""What takes its time says so: a row on a terminal, lines elsewhere, nothing for what is quick."""

import time

import pytest
from rich.console import Console

from cnn_jax.workdir import progress
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.progress import Bars, Task, in_lines, silent


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(progress, 'SAY_AFTER_SECONDS', 0.02)
    monkeypatch.setattr(progress, 'SAY_EVERY_SECONDS', 0.02)


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_task_says_what_is_in_hand():
    task = Task('drawing', 4)
    assert (str(task), task.done) == ('drawing 0/4', 0)
    task.next('gradient')
    assert (str(task), task.done) == ('drawing 1/4 gradient', 0)
    task.next('cam', 2)
    task.next()
    assert (str(task), task.done) == ('drawing 4/4', 3)
    unknown = Task('compiling')
    assert str(unknown) == 'compiling'
    unknown.next()
    assert str(unknown) == 'compiling 1'
    assert unknown.beside_bar.startswith('compiling 1, ')


def test_what_is_quick_is_not_mentioned(monkeypatch):
    monkeypatch.setattr(progress, 'SAY_AFTER_SECONDS', 60)
    said = []
    with in_lines(Task('compiling'), said.append):
        pass
    assert said == []


def test_lines_say_that_it_goes_on_and_how_long_it_took(impatient):
    said = []
    with in_lines(Task('compiling', 3), said.append) as task:
        task.next('a step')
        wait_for(lambda: len(said) > 1)
    assert said[0] == 'compiling 1/3 a step ...'
    assert said[1].startswith('compiling 1/3 a step, ')
    assert said[-1].startswith('compiling: done, ')


def test_an_error_passes_and_nothing_is_said_after_it(impatient):
    said = []
    with pytest.raises(KeyError), in_lines(Task('compiling'), said.append):  # noqa: PT012
        wait_for(lambda: said)
        raise KeyError
    told = len(said)
    time.sleep(0.05)
    assert len(said) == told
    assert not any('done' in line for line in said)


def test_a_disk_that_is_full_does_not_end_the_thread_in_pages(impatient):
    def say(line):
        raise OSError(28, 'No space left on device')

    with in_lines(Task('compiling'), say) as task:
        time.sleep(0.06)
        task.next()


@pytest.mark.parametrize('log', [Log(None, enabled=False), Log(None, quiet=True)], ids=['other process', 'quiet'])
def test_who_may_not_talk_does_not(log, impatient, capsys):
    with log.working('compiling') as task, silent('drawing', 3) as other:
        task.next()
        other.next()
        time.sleep(0.06)
    assert capsys.readouterr().out == ''


def be_terminal(monkeypatch):
    """To be called within a test, whose output pytest captures in an object of its own."""
    monkeypatch.setattr('sys.stdout.isatty', lambda: True, raising=False)
    for name, value in {'TERM': 'xterm', 'COLUMNS': '120', 'FORCE_COLOR': '1'}.items():
        monkeypatch.setenv(name, value)


def test_a_terminal_has_a_row_with_count_words_and_seconds(monkeypatch, tmp_path, capsys):
    be_terminal(monkeypatch)
    log = Log(tmp_path)
    with log.working('evaluating', 40) as task:
        for _ in range(3):
            task.next('a batch')
        log.say('a line above')
        log._bars._shown.refresh()
    output = capsys.readouterr().out
    for words in ('2/40', 'evaluating a batch, 0.', 'a line above'):
        assert words in output
    assert 'evaluating' not in (tmp_path / 'log.txt').read_text()


def test_what_goes_on_within_training_is_a_row_below_its_own(monkeypatch, capsys):
    be_terminal(monkeypatch)
    log = Log(None)
    with log.progress(200, 0):
        log.advance(100, 200, 'loss 0.2500')
        with log.working('compiling the training step'):
            log._bars._shown.refresh()
            assert 'compiling the training step, 0.' in capsys.readouterr().out
        log._bars._shown.refresh()
        assert 'compiling' not in capsys.readouterr().out.rpartition('100/200')[2]
    assert not log._bars.active
    with log.working('drawing', 2):  # after it another one
        pass


def test_rows_end_in_the_order_of_their_blocks():
    bars = Bars()
    with bars.row(Task('one', 2)) as one, bars.row(Task('two')) as two:
        assert one.number != two.number
        with Console(file=None, quiet=True).capture():
            one.update(1, 'half')
    assert not bars.active
