"""What people type: words for yes and no, None, lists with spaces, values behind a space, files of flags, --help."""

from typing import Literal

import pytest

from cnn_jax import modes, options
from cnn_jax.ablate.grid import make_grid, split_values
from cnn_jax.errors import CnnJaxError, closest
from cnn_jax.main import main
from cnn_jax.modes._typed import is_on, listed, plain_switches, split_group
from cnn_jax.options import Option

TINY = 'tests/tiny_experiment.py'

pytestmark = pytest.mark.usefixtures('signal_handlers')


@pytest.mark.parametrize(
    ('arguments', 'found', 'rest'),
    [
        (['--config.smoke'], {'smoke': 'true'}, []),
        (['--noconfig.smoke', '--seed=1'], {'smoke': 'false'}, ['--seed=1']),
        (['--config.depth', '3', '--seed', '1'], {'depth': '3'}, ['--seed', '1']),
        (['--config.smoke', '--seed=1'], {'smoke': 'true'}, ['--seed=1']),
        (['--config.shift', '-3'], {'shift': '-3'}, []),
        (['-config.depth=3'], {'depth': '3'}, []),
        (['--config.sizes=1,', '2,', '3', 'x'], {'sizes': '1, 2, 3'}, ['x']),
        (['--config.sizes=[1,', '2]'], {'sizes': '[1, 2]'}, []),
        (['--config.sizes=(1', ',2)'], {'sizes': '(1 ,2)'}, []),
        (['--config.name=a=b'], {'name': 'a=b'}, []),
        (['--config.name='], {'name': ''}, []),
        (['--config.a=1', '--config.a=2'], {'a': '2'}, []),
        (['--configuration=1'], {}, ['--configuration=1']),
    ],
)
def test_options_as_they_are_typed(arguments, found, rest):
    assert split_group(arguments) == (found, rest)


def test_values_that_are_given_twice_are_not_lost():
    with pytest.raises(CnnJaxError, match=r'--vary.x is given twice; put its values into one list: --vary.x=1,2'):
        split_group(['--vary.x=1', '--vary.x=2'], 'vary', once=True)
    with pytest.raises(CnnJaxError, match='has no value'):
        split_group(['--noconfig.x=false'])


@pytest.mark.parametrize('words', [options.TRUE, options.FALSE])
def test_words_for_yes_and_no_are_the_same_everywhere(words):
    for word in words:
        for typed in (word, word.upper(), f' {word}'):
            assert options.parse(Option('x', bool, False), typed) is (words is options.TRUE)
        assert plain_switches([f'--debug={word}'], ['debug']) == [f'--debug={str(words is options.TRUE).lower()}']
        assert is_on(['--debug', f'--debug={word}'], 'debug') is (words is options.TRUE)
    assert plain_switches(['--debug=perhaps', '--workdir=yes'], ['debug']) == ['--debug=perhaps', '--workdir=yes']
    assert not is_on(['--debug', '--nodebug'], 'debug')


@pytest.mark.parametrize(
    ('annotation', 'text', 'value'),
    [
        (tuple[int, ...], '1, 2', (1, 2)),
        (tuple[int, ...], '[1, 2]', (1, 2)),
        (tuple[int, ...], ' ( 1 , 2 , ) ', (1, 2)),
        (tuple[int, ...], '()', ()),
        (tuple[int, ...], '[]', ()),
        (tuple[int, ...], '3', (3,)),
        (tuple[str, ...], '(\'a\', "b")', ('a', 'b')),
        (tuple[str, ...], '[ab]_*,conv[12]', ('[ab]_*', 'conv[12]')),
        (tuple[float, ...] | None, 'NONE', None),
        (tuple[float, ...] | None, '1, 2.5', (1.0, 2.5)),
        (Literal['a', 'b'] | None, ' none ', None),
        (int, ' 3 ', 3),
    ],
)
def test_lists_and_none_as_they_are_typed(annotation, text, value):
    assert options.parse(Option('x', annotation, None), text) == value


@pytest.mark.parametrize('text', ['(1, 2', '1; 2', '[1 2]', '1,,x'])
def test_a_list_that_is_none_is_a_mistake(text):
    with pytest.raises(CnnJaxError, match=r'is not int,\.\.\.'):
        options.parse(Option('x', tuple[int, ...], (1,)), text)


@pytest.mark.parametrize(
    ('text', 'values'),
    [
        ('1,2', ['1', '2']),
        ('128,160;192,224', ['128,160', '192,224']),
        ('128,160;', ['128,160']),
        ('(1,2),(3,)', ['(1,2)', '(3,)']),
        ('[1, 2], [3]', ['[1, 2]', '[3]']),
        ('1, 2', ['1', '2']),
    ],
)
def test_values_of_a_grid(text, values):
    assert split_values(text) == values


def test_a_grid_varies_a_list():
    grid = make_grid('resnet_imagenet', {}, {'train_sizes': '128,160;192,224'}, seeds=[0], metric='top1')
    assert grid.vary == {'train_sizes': ((128, 160), (192, 224))}
    assert [cell.name for cell in grid.cells] == ['train_sizes=128+160', 'train_sizes=192+224']


def test_a_file_of_flags_is_read(tmp_path, capsys):
    (tmp_path / 'flags').write_text(f'# a comment\n--mode=describe\n--experiment={TINY}\n--config.width=6\n')
    assert main([f'--flagfile={tmp_path}/flags']) == 0
    assert '8x8x6' in capsys.readouterr().out
    assert main([f'--flagfile={tmp_path}/none', '--mode=describe']) == 2
    line = capsys.readouterr().err
    assert line.count('\n') == 1
    assert line.startswith('cnn_jax: error: --flagfile: ')


@pytest.mark.parametrize('name', modes.names())
def test_the_help_of_a_mode_has_its_flags_alone(name, capsys):
    assert main([f'--mode={name}', '--help']) == 0
    text = capsys.readouterr().out
    own, everywhere = text.split('flags of all modes')
    mode = modes.find(name)
    assert [line.split()[0] for line in own.splitlines() if line.startswith('  --')] == [
        *(f'--{flag.name}' for flag in mode.FLAGS),
        *(f'--{flag.name}.NAME' for flag in modes.traits(mode).groups),
    ]
    assert '--workdir' in everywhere
    assert (mode.__doc__ or '').strip() in own


def test_help_lists_what_can_be_named(capsys):
    assert main(['--mode=visualize', '--help']) == 0
    text = capsys.readouterr().out
    assert '  grad_cam  ' in text
    assert 'yosinski3' in text
    assert 'neural_style' in text
    assert main(['--mode=visualize', '--method=grad_cam', '-h']) == 0
    assert 'Selvaraju' in capsys.readouterr().out
    assert main(['--mode=ablate', '--help']) == 0
    assert '--vary.NAME' in capsys.readouterr().out
    assert main(['--mode=describe', f'--experiment={TINY}', '--help']) == 0
    text = capsys.readouterr().out
    assert '--formula' in text
    assert '--config.width' in text


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--experiment', TINY, '--batch-size=3'], 'did you mean --config.batch_size?'),
        (['--experiment', TINY, '--BatchSize=3'], 'did you mean --config.batch_size?'),
        (['--confg.width=3'], 'did you mean --config.width?'),
        (['--mode=ablate', '--varry.width=3'], 'did you mean --vary.width?'),
        (['--data-dir=x'], 'did you mean --data_dir?'),
        (['--parallel=Sharded'], 'choose from: sharded'),
        (['--mode=Describe'], 'choose from: describe'),
        (['--experiment=LeNet_digits'], 'choose from: lenet_digits'),
        (['--mode=compare', '--config.width=3', 'a', 'b'], '--config.width is not a flag of --mode=compare'),
        (['--mode=compare', f'--experiment={TINY}', 'a', 'b'], '--experiment is not a flag of --mode=compare'),
        (['--experiment', TINY, 'stray'], 'a value with spaces stands in quotes'),
        (['--debug=perhaps'], '--debug=perhaps'),
    ],
)
def test_a_mistyped_flag_names_the_nearest(arguments, words, capsys):
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.count('\n') == 1
    assert words in line


def test_names_are_near_whatever_their_case():
    assert closest('LENET', ['resnet', 'LeNet', 'lenet'])[:2] == ['LeNet', 'resnet']
    assert listed('v2, real,') == ['v2', 'real']
