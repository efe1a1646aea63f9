"""The work folder and what it remembers."""

import pytest

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.workdir.config import check_same_run, existing_config, has_begun, make_folder
from cnn_jax.workdir.config_file import read_config, write_config


def config(**changes):
    found = {'experiment': 'a', 'options': {'x': 1, 'y': 2}, 'seed': 0, 'class_names': ['cat', 'dog']}
    return {**found, 'devices': [1, 'cpu'], 'versions': {}, **changes}


def test_the_same_run_may_go_on(tmp_path):
    assert check_same_run(config(), config(), tmp_path) == []


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'options': {'x': 1, 'y': 3}}, 'y was 2, now 3'),
        ({'options': {'x': 1}}, 'y was 2, now None'),
        ({'seed': 4}, 'seed was 0, now 4'),
        ({'experiment': 'b'}, "experiment was 'a', now 'b'"),
        ({'class_names': ['cat', 'cow']}, "class 1 was 'dog', now 'cow'"),
        ({'class_names': ['cat']}, "class 1 was 'dog', now None"),
    ],
)
def test_another_run_is_refused_with_what_differs_and_the_way_out(tmp_path, changes, words):
    with pytest.raises(CnnJaxError) as caught:
        check_same_run(config(), config(**changes), tmp_path)
    assert words in str(caught.value)
    assert f'--workdir=NEW --init_from={tmp_path}' in str(caught.value)


def test_other_devices_are_only_mentioned(tmp_path):
    lines = check_same_run(config(), config(devices=[8, 'tpu'], versions={'jax': '1'}), tmp_path)
    assert lines == [
        "since the last start devices changed from [1, 'cpu'] to [8, 'tpu']",
        'since the last start jax changed from None to 1',
    ]


def test_config_is_written_and_read(tmp_path):
    write_config(tmp_path, config())
    assert existing_config(tmp_path) == config()
    assert [path.name for path in tmp_path.iterdir()] == ['config.json']


@pytest.mark.parametrize('text', ['', '{"experiment": ', '[]', '{"seed": 0}'])
def test_a_broken_config_is_the_machines_fault(tmp_path, text):
    """F8: emptied, cut short, or something else."""
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(StorageError, match='cannot read'):
        read_config(tmp_path)


@pytest.mark.parametrize('left', ['metrics.jsonl', 'checkpoints'])
def test_a_run_has_begun_when_there_is_something_to_lose(tmp_path, left):
    write_config(tmp_path, config())
    (tmp_path / 'log.txt').touch()
    assert not has_begun(tmp_path)
    (tmp_path / left).mkdir()
    assert has_begun(tmp_path)


def test_a_new_folder_is_made_and_left_clean(tmp_path):
    make_folder(tmp_path / 'a' / 'b')
    assert list((tmp_path / 'a' / 'b').iterdir()) == []


def test_a_folder_without_a_run_names_those_that_are_near(tmp_path):
    for name in ('lenet/monday', 'lenet/tuesday', 'vgg'):
        (tmp_path / name).mkdir(parents=True)
        write_config(tmp_path / name, config())
    for path, words in [
        ('lenet', 'lenet/tuesday'),
        ('lenet/mondy', 'lenet/monday'),
        ('.', 'vgg'),
        ('nothing/x', 'run$'),
    ]:
        with pytest.raises(CnnJaxError, match=rf'no run in .*{words}'):
            existing_config(tmp_path / path)
