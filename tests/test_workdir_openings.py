"""The count of the openings of the test split: none is lost, none keeps anybody from looking."""

import concurrent.futures
import json

from cnn_jax.workdir.config_file import change_config, read_config, write_config
from cnn_jax.workdir.openings import FIELD, count_opening, in_words

CONFIG = {'experiment': 'a', 'options': {}, 'seed': 0}


def test_those_at_once_are_all_counted(tmp_path):
    write_config(tmp_path, CONFIG)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for number in range(40):
            pool.submit(count_opening, tmp_path, step=number, by='evaluate', report=lambda line: None)
        for number in range(40):
            pool.submit(change_config, tmp_path, lambda config, number=number: {**config, f'x{number}': 1})
    config = read_config(tmp_path)
    assert config is not None
    assert sorted(entry['step'] for entry in config[FIELD]) == list(range(40))
    assert sum(name.startswith('x') for name in config) == 40


def test_it_is_said_in_words(tmp_path):
    write_config(tmp_path, CONFIG)
    lines = []
    for step in (5, 10):
        count_opening(tmp_path, step=step, by='train', report=lines.append)
    assert lines == ['the test split was opened once', 'the test split was opened 2 times']
    assert in_words({}) == 'the test split was opened 0 times'


def test_a_folder_that_cannot_be_written_is_said_and_nothing_else(tmp_path, monkeypatch):
    write_config(tmp_path, CONFIG)

    def refuse(*arguments, **options):
        raise PermissionError(13, 'Read-only file system')

    monkeypatch.setattr('cnn_jax.workdir.config_file.held', refuse)
    lines = []
    count_opening(tmp_path, step=5, by='evaluate', report=lines.append)
    assert len(lines) == 1
    assert 'cannot be written (Read-only file system): this opening of the test split is not counted' in lines[0]
    assert json.loads((tmp_path / 'config.json').read_text()) == CONFIG


def test_a_folder_that_holds_no_run_counts_nothing(tmp_path):
    count_opening(tmp_path, step=5, by='train', report=lambda line: 1 / 0)
    assert list(tmp_path.iterdir()) == []
