"""The text files of a run folder, damaged or made by a stranger: exit 5 with the file and the line, nothing is run."""

import json
import os

import pytest

from cnn_jax.errors import StorageError
from cnn_jax.main import main
from cnn_jax.workdir import outcome
from cnn_jax.workdir.config import make_folder
from cnn_jax.workdir.config_file import KINDS, read_config
from cnn_jax.workdir.lock import WorkdirLock
from cnn_jax.workdir.log import Log, read_metrics

LINE = b'{"step": 1, "seconds": 0.5, "split": "train", "loss": 2.0}\n'
GOOD = {'experiment': 'lenet_digits', 'options': {}}
BAD_JSON = [b'', b'\xff\xfe', b'{', b'[1]', b'null', b'"a"', b'[' * 100_000, b'{"a": ' + b'1' * 5000 + b'}', b'\0' * 50]


@pytest.mark.parametrize('content', BAD_JSON, ids=range(len(BAD_JSON)))
def test_files_that_are_no_json_objects(tmp_path, content):
    (tmp_path / 'config.json').write_bytes(content)
    (tmp_path / 'outcome.json').write_bytes(content)
    for name, read in (('config.json', read_config), ('outcome.json', outcome.read)):
        with pytest.raises(StorageError, match=f'cannot read {tmp_path}/{name}: ') as caught:
            read(tmp_path)
        assert len(str(caught.value)) < 600
    if content.strip():
        (tmp_path / 'metrics.jsonl').write_bytes(LINE + content + b'\n' + LINE)
        with pytest.raises(StorageError, match=r'metrics.jsonl, line 2: '):
            read_metrics(tmp_path)


@pytest.mark.parametrize('name', KINDS)
@pytest.mark.parametrize('value', [1.5, 'a\0b', ['a', 1], {'a': [-1, None]}, True, -1])
def test_values_of_other_kinds_are_named(tmp_path, name, value):
    (tmp_path / 'config.json').write_text(json.dumps({**GOOD, name: value}))
    if KINDS[name][1](value):  # a dict where any will do
        assert read_config(tmp_path)
        return
    with pytest.raises(StorageError, match=f'{name} is .*, not {KINDS[name][0]}'):
        read_config(tmp_path)


@pytest.mark.parametrize(
    'line', ['{}', '{"step": "1"}', '{"step": 1, "seconds": null, "split": "a"}', '{"step": true}']
)
def test_lines_without_a_step_are_named_and_a_cut_one_is_not(tmp_path, line):
    (tmp_path / 'metrics.jsonl').write_bytes(LINE + LINE[:30])
    assert read_metrics(tmp_path) == [json.loads(LINE)]
    (tmp_path / 'metrics.jsonl').write_text(f'{LINE.decode()}{line}\n')
    with pytest.raises(StorageError, match=r'metrics.jsonl, line 2: .* mend that line'):
        read_metrics(tmp_path)


@pytest.mark.parametrize('name', ['LOCK', 'log.txt', 'metrics.jsonl', 'config.json.tmp', 'figures', '.write_test'])
def test_nothing_is_written_through_links(tmp_path, name):
    run, outside = tmp_path / 'run', tmp_path / 'outside'
    run.mkdir()
    outside.write_text('kept')
    (run / name).symlink_to(outside)
    log = Log(run)
    for write in (
        lambda: make_folder(run),
        lambda: WorkdirLock(run).acquire(),
        lambda: log.note('text'),
        lambda: log.metrics(1, 'train', 0.5, loss=1.0),
    ):
        try:
            write()
        except (StorageError, OSError) as error:
            assert name in str(error)  # noqa: PT017
    with pytest.raises(StorageError, match=f'{name} is a link to {outside}'):
        make_folder(run)
    assert outside.read_text() == 'kept'


@pytest.mark.parametrize('kind', ['folder', 'pipe'])
def test_a_lock_that_is_no_file_is_said(tmp_path, kind):
    (os.mkdir if kind == 'folder' else os.mkfifo)(tmp_path / 'LOCK')
    with pytest.raises(StorageError, match=r'LOCK|locked'):
        WorkdirLock(tmp_path).acquire()


@pytest.mark.parametrize('name', ['a' * 300, 'a' * 5000, os.fsdecode(b'\xff\xfe'), 'a\x1b[2Jb', 'a\nb'])
@pytest.mark.parametrize('flag', ['--workdir', '--experiment'])
def test_names_of_any_letters_are_one_line(tmp_path, capsys, monkeypatch, name, flag):
    monkeypatch.setattr('cnn_jax.devices.compilation.set_up', lambda: None)
    assert main(['--mode=describe', f'{flag}={tmp_path / name}.py']) in (2, 5)
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert error.encode().isascii()
    assert '\x1b' not in error
    assert 'unexpected' not in error


@pytest.mark.parametrize('name', ['experiment', 'options', 'class_names', 'folder'])
def test_what_is_missing_is_named(tmp_path, name):
    whole = {**GOOD, 'splits': {}, 'class_names': [], 'folder': '/'}
    (tmp_path / 'config.json').write_text(json.dumps(whole))
    assert read_config(tmp_path) == whole
    (tmp_path / 'config.json').write_text(json.dumps({key: value for key, value in whole.items() if key != name}))
    with pytest.raises(StorageError, match=f'it has no {name}, so'):
        read_config(tmp_path)
