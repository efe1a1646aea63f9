"""Logs: what programs read is whole, what people read is short."""

import json
import logging

from cnn_jax.tasks import classification
from cnn_jax.workdir.log import Log, describe_progress, read_metrics


def test_a_line_of_metrics_is_flat_json(tmp_path):
    Log(tmp_path).metrics(3, 'train', 1.23456, loss=0.5, top1=float('nan'))
    assert json.loads((tmp_path / 'metrics.jsonl').read_text()) == {
        'step': 3,
        'seconds': 1.235,
        'split': 'train',
        'loss': 0.5,
        'top1': None,
    }


def test_cutting_back_drops_later_lines_and_a_line_cut_short(tmp_path):
    log = Log(tmp_path)
    for step in (1, 2, 3):
        log.metrics(step, 'train', step, loss=0.5)
        log.metrics(step, 'test', step, loss=0.5)
    with (tmp_path / 'metrics.jsonl').open('a') as file:
        file.write('{"step": 2, "spl')
    assert [(line['step'], line['split']) for line in log.cut_back(2)] == [
        (1, 'train'),
        (1, 'test'),
        (2, 'train'),
        (2, 'test'),
    ]
    assert [line['step'] for line in read_metrics(tmp_path)] == [1, 1, 2, 2]
    assert (tmp_path / 'metrics.jsonl').read_text().endswith('}\n')


def test_nothing_logged_is_nothing_to_cut(tmp_path):
    assert Log(tmp_path).cut_back(5) == []
    assert not (tmp_path / 'metrics.jsonl').exists()


def test_only_the_main_process_writes(tmp_path, capsys):
    log = Log(tmp_path, enabled=False)
    log.say('hello')
    log.metrics(1, 'train', 0.0, loss=1.0)
    log.advance(1, 2, 'loss 1.0000')
    with log.progress(2, 0):
        pass
    assert capsys.readouterr().out == ''
    assert list(tmp_path.iterdir()) == []


def test_what_is_said_is_kept(tmp_path, capsys):
    Log(tmp_path).say('50 % [done]')
    assert capsys.readouterr().out == '50 % [done]\n'
    assert (tmp_path / 'log.txt').read_text().endswith(' 50 % [done]\n')


def test_a_warning_of_the_package_is_said_once(tmp_path, capsys, caplog):
    log = Log(tmp_path)
    log.listen()
    Log(None).close()  # another log's end does not end it
    logging.getLogger('cnn_jax.data').warning('bad image: a')
    assert not caplog.records  # the root logger, which libraries give handlers of their own, does not hear it
    log.close()
    logging.getLogger('cnn_jax.data').warning('bad image: b')
    assert capsys.readouterr().out == 'warning: bad image: a\n'
    assert [record.message for record in caplog.records] == ['bad image: b']


def test_what_all_runs_of_a_grid_tell_is_said_once(tmp_path, capsys):
    log = Log(tmp_path)
    log.listen()
    with log.once():
        for run in range(2):
            logging.getLogger('cnn_jax.data').warning('the same')
            logging.getLogger('cnn_jax.data').info('of run %d', run)
    logging.getLogger('cnn_jax.data').warning('the same')
    log.close()
    assert capsys.readouterr().out == 'warning: the same\nof run 0\nof run 1\nwarning: the same\n'


def test_a_bar_on_a_terminal_shows_step_loss_speed_and_time_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('sys.stdout.isatty', lambda: True, raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '120')
    monkeypatch.setenv('FORCE_COLOR', '1')
    log = Log(tmp_path)
    with log.progress(200, 0):
        words = classification.task().progress({'loss': 0.25, 'top1': 0.9})
        log.advance(100, 200, words, images_per_second=1234.0, seconds_left=65.0)
        log.say('a line above the bar')
    output = capsys.readouterr().out
    for word in ('100/200', 'loss 0.2500', 'accuracy 90.0%', '1,234 images/s', '1 min 05 s left', 'a line above'):
        assert word in output


def test_progress_without_a_rate_yet():
    words = classification.task().progress({'loss': 1.0, 'top1': 0.5})
    assert describe_progress(words, 0.0, None) == 'loss 1.0000  accuracy 50.0%'
