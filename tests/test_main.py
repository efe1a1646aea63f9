"""The command line as a person meets it: one line for a mistake, the right exit code, nothing lost."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import experiment, modes, options
from cnn_jax.main import main, take_all_letters

ROOT = Path(__file__).parent.parent
TINY = str(ROOT / 'tests' / 'tiny_experiment.py')


pytestmark = pytest.mark.usefixtures('signal_handlers')


def mistake(capsys, *arguments):
    """The exit code and the one line on stderr of a command that must fail."""
    code = main(list(arguments))
    captured = capsys.readouterr()
    assert captured.err.count('\n') == 1, captured.err
    assert captured.err.startswith('cnn_jax: error: ')
    return code, captured.err


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--experiment=lenet_digit'], ["unknown experiment: 'lenet_digit'", 'choose from: lenet_digits']),
        (['--experiment=../main'], ['unknown experiment', '--list shows all; or give the path of a .py file']),
        (['--experiment=nowhere.py'], ['no such experiment file: nowhere.py']),
        (
            ['--experiment=lenet_digits', '--config.bach_size=3'],
            ["unknown option: 'bach_size'", 'choose from: batch_size'],
        ),
        (['--experiment=lenet_digits', '--config.batch_size=zero'], ['--config.batch_size', "'zero' is not int", '32']),
        (['--experiment=lenet_digits', '--config.batch_size=-1'], ['batch_size', '-1', 'at least 1']),
        (['--experiment=lenet_digits', '--config.batch_size=0'], ['batch_size', '0', 'at least 1']),
        (
            ['--experiment=lenet_digits', '--config.batch_size=12'],
            ['12 images do not divide over 8 devices', '8 or 16'],
        ),
        (['--experiment=lenet_digits', '--config.variant=modren'], ["'modren' is not 'modern' | 'faithful'"]),
        (['--experiment=lenet_digits', '--config.epochs=0'], ['num_steps', '0 is below 1']),
        (['--experiment=lenet_digits', '--config.smoke=maybe'], ["'maybe' is not bool"]),
        (
            ['--experiment=lenet_digits', '--batch_size=64'],
            ['unknown flag: --batch_size', 'did you mean --config.batch_size'],
        ),
        (['--experiment=lenet_digits', '--sede=1'], ['unknown flag: --sede', 'did you mean --seed?']),
        (['--experiment=lenet_digits', '--seed=one'], ['--seed=one']),
        (['--experiment=lenet_digits', '--seed=-1'], ['--seed', '-1']),
        (['--experiment=lenet_digits', '--eval_batch_size=0'], ['--eval_batch_size']),
        (['--experiment=lenet_digits', '--parallel=pamp'], ["unknown --parallel: 'pamp'", 'choose from: pmap, mapped']),
        (['--experiment=lenet_digits', 'stray'], ["stray argument: 'stray'"]),
        (['--experiment=lenet_digits', '--formula'], ['--formula is not a flag of --mode=train', 'describe']),
        (['--mode=describe', '--experiment=lenet_digits', '--seed=1'], ['--seed is not a flag of --mode=describe']),
        (['--mode=describe', '--experiment=lenet_digits', '--diff=old'], ["'old' is not 'modern' | 'faithful'"]),
        (['--mode=describe', '--experiment=resnet_digits', '--diff=cifar21'], ["unknown variant: 'cifar21'", 'cifar2']),
        (['--mode=trian'], ["unknown mode: 'trian'", 'choose from: train']),
        (['--mode=evaluate', '--experiment=lenet_digits'], ['no weights', '--workdir']),
        (['--mode=evaluate', '--workdir=/nowhere'], ['no run in /nowhere']),
        (['--mode=describe'], ['needs an --experiment=NAME']),
        (
            ['--mode=describe', '--experiment=resnet_imagenet', '--config.depth=51'],
            ['depth=51 given', 'one of [18, 34'],
        ),
        (['--seed=1'], ['needs an --experiment=NAME']),
        (['--foo=1'], ['unknown flag: --foo; choose from: --', '--config.NAME']),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(capsys, tmp_path, monkeypatch, arguments, words):
    """F14, F24: wrong flags, options, names and paths: one line, exit 2, no folder."""
    monkeypatch.chdir(tmp_path)
    code, line = mistake(capsys, *arguments)
    assert code == 2
    for word in words:
        assert word in line
    assert not (tmp_path / 'runs').exists() or not list((tmp_path / 'runs').rglob('config.json'))


def test_list_shows_every_experiment_with_its_line(capsys):
    assert main(['--list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(experiment.available())
    assert all(len(line.split()) > 3 for line in lines)


def test_help_shows_the_options_and_opens_no_data(capsys, tmp_path):
    assert main(['--experiment=lenet_digits', '--help', f'--data_dir={tmp_path}/nothing']) == 0
    text = capsys.readouterr().out
    for option in options.signature(experiment.function('lenet_digits')):
        assert f'--config.{option.name} ' in text
    assert "'modern' | 'faithful'" in text
    assert not (tmp_path / 'nothing').exists()


def test_help_shows_what_to_type_the_modes_and_the_flags_of_all(capsys):
    assert main(['--help']) == 0
    text = capsys.readouterr().out
    assert all(f'\n  {name} ' in text for name in modes.names())
    assert all(f'\n  --{flag} ' in text for flag in ('workdir', 'config.NAME'))
    assert '--eval_batch_size' not in text, 'it belongs to some modes'
    assert main([]) == 2, 'nothing was done'
    assert text.startswith(capsys.readouterr().out.rstrip())


def test_a_reader_that_has_gone_ends_it_without_a_word():
    """As `| head` does."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, '-m', 'cnn_jax.main'], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, '')


def test_describe_prints_the_table_with_the_lectures_formula(capsys):
    assert main(['--mode=describe', '--experiment=lenet_digits', '--formula']) == 0
    text = capsys.readouterr().out
    assert '61,706' in text
    assert '416,520' in text
    assert '(32 - 5 + 2*0)/1 + 1 = 28' in text


def test_describe_diff_shows_what_a_variant_changes(capsys):
    assert main(['--mode=describe', '--experiment=lenet_digits', '--diff=faithful']) == 0
    text = capsys.readouterr().out
    assert 'TableConv2D 10x10x16, 1,516 parameters, 150,000 MACs' in text
    assert '61,706 parameters, 416,520 MACs' in text
    assert 'conv5' not in text, 'what is equal is left out'
    assert main(['--mode=describe', '--experiment=lenet_digits', '--diff=modern']) == 0
    assert 'modern and modern do not differ' in capsys.readouterr().out


def train(workdir, data_dir, *more):
    return main([f'--experiment={TINY}', f'--workdir={workdir}', f'--data_dir={data_dir}', *more])


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run that was trained from the command line."""
    folder = tmp_path_factory.mktemp('finished')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('cnn_jax.training.run.PICTURES_FROM', 0)
        for name in ('SAY_AFTER_SECONDS', 'SAY_EVERY_SECONDS'):
            patch.setattr(f'cnn_jax.workdir.progress.{name}', 0.02)
        assert train(folder / 'run', folder) == 0
    return folder / 'run'


def test_a_run_leaves_its_files(finished):
    config = json.loads((finished / 'config.json').read_text())
    assert config['options']['batch_size'] == 16
    assert config['seed'] == 0
    assert config['class_names'] == list('abcdefghij')
    assert config['versions']['jax']
    assert (finished / 'report' / 'index.html').stat().st_size > 10_000
    assert '8 CPU devices' in (finished / 'log.txt').read_text()
    figures = list((finished / 'figures').glob('*.png'))
    assert {'feature_maps', 'gradient', 'neighbours', 'embedding'} <= {figure.stem for figure in figures}
    for figure in figures:
        assert figure.with_suffix('.npz').exists()


def test_a_run_says_what_it_is_about_in_the_order_in_which_it_does_it(finished):
    """What takes longer than the limit, here 0.02 s: drawing is not called evaluating."""
    lines = (finished / 'log.txt').read_text().splitlines()
    expected = ['tracing the model ...', 'compiling the training step ...', ': done, ', 'evaluating 1/2']
    expected += ['evaluating: done, ', 'trained 12 steps in', 'drawing 2/6 feature_maps']
    expected += ['drawing 6/6 the page', 'drawing: done, ']
    for words in expected:
        found = [place for place, line in enumerate(lines) if words in line]
        assert found, (words, lines)
        lines = lines[found[0] :]


def test_evaluate_says_the_same_numbers_at_every_batch_size(finished, capsys):
    texts = set()
    for size in (1, 7, 1000):
        assert main(['--mode=evaluate', f'--workdir={finished}', f'--eval_batch_size={size}']) == 0
        texts.add(re.sub('the test split was opened .*', '', capsys.readouterr().out))
    assert len(texts) == 1
    text = texts.pop()
    assert 'of 23)' in text
    assert 'confusion matrix' in text


def test_evaluate_with_the_variables_of_a_run(finished, capsys):
    assert main(['--mode=evaluate', f'--experiment={TINY}', f'--init_from={finished}']) == 0
    assert 'of 23)' in capsys.readouterr().out


def test_other_options_in_the_same_folder_are_refused(finished, capsys):
    before = (finished / 'config.json').read_text()
    code, line = mistake(
        capsys, f'--experiment={TINY}', f'--workdir={finished}', '--config.learning_rate=0.5', '--seed=3'
    )
    assert code == 2
    assert 'learning_rate was 0.01, now 0.5' in line
    assert 'seed was 0, now 3' in line
    assert f'--workdir=NEW --init_from={finished}' in line
    assert (finished / 'config.json').read_text() == before


def test_the_refusals_way_out_works(finished, tmp_path):
    assert train(tmp_path / 'new', tmp_path, '--config.learning_rate=0.5', f'--init_from={finished}') == 0


def test_a_checkpoint_of_another_model_is_refused(finished, tmp_path, capsys):
    """F15: the first leaves that differ are shown."""
    code, line = mistake(
        capsys,
        f'--experiment={TINY}',
        f'--workdir={tmp_path}/new',
        f'--init_from={finished}',
        '--config.width=5',
    )
    assert code == 2
    assert 'does not fit the model' in line
    assert 'params/conv1/bias (4,), should be (5,)' in line


def test_a_work_folder_that_is_a_file_is_refused(capsys, tmp_path):
    """F25: a file where the folder should be is left alone."""
    (tmp_path / 'file').write_text('precious')
    for name in ('file', 'file/below'):
        code, line = mistake(capsys, f'--experiment={TINY}', f'--workdir={tmp_path}/{name}')
        assert code == 2
        assert f'{tmp_path}/file is a file' in line
    assert (tmp_path / 'file').read_text() == 'precious'


def test_an_unwritable_folder_is_the_machines_fault(capsys):
    """F25: a folder that cannot be written is exit 5."""
    code, line = mistake(capsys, f'--experiment={TINY}', '--workdir=/proc/nothing')
    assert code == 5
    assert 'work folder not writable: /proc/nothing' in line


def test_checkpoints_without_their_config_are_not_trained_over(capsys, tmp_path):
    (tmp_path / 'run' / 'checkpoints' / '5').mkdir(parents=True)
    code, line = mistake(capsys, f'--experiment={TINY}', f'--workdir={tmp_path}/run')
    assert code == 5
    assert 'no config.json' in line


@pytest.mark.parametrize('kind', [MemoryError, SystemError])
def test_where_no_memory_is_left_to_explain_an_error_one_line_is_ready(capfd, monkeypatch, signal_handlers, kind):
    def fails(*given):
        raise kind

    monkeypatch.setattr('cnn_jax.main._explain', fails)
    assert main(['--mode=describe', '--experiment=nothing']) == 5
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith('cnn_jax: error: the machine gives no more memory; ')


def test_a_console_without_utf8_prints_every_letter():
    console = io.TextIOWrapper(io.BytesIO(), encoding='cp1252')
    take_all_letters(console)
    print('猫 ±', file=console, flush=True)
    assert console.buffer.getvalue() == b'\\u732b \xb1' + os.linesep.encode()  # type: ignore[attr-defined]


def test_importing_the_command_line_is_light():
    code = 'import sys, cnn_jax.main; print([m for m in ("jax", "flax", "orbax", "matplotlib") if m in sys.modules])'
    output = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output == '[]\n'


def test_no_tensorflow_and_no_torch():
    installed = {name.partition('==')[0].lower() for name in _requirements()}
    assert not installed & {'tensorflow', 'torch', 'clu', 'ml-collections'}
    assert np.__version__


def _requirements():
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    return [line.replace('>', '=').replace('=', '==', 1) for line in lines if line and not line.startswith('#')]
