"""What a trained net says of pictures: as its evaluation does, in order, whatever cannot be read."""

import concurrent.futures
import csv
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import cnn_jax
from cnn_jax import experiment, weights
from cnn_jax.data import digits
from cnn_jax.data.formats.view import Seen
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.main import main
from cnn_jax.prediction import pictures
from cnn_jax.weights.safetensors_file import write_safetensors

pytestmark = pytest.mark.usefixtures('signal_handlers')


@pytest.fixture(scope='module')
def run(tmp_path_factory, data_dir, signal_handlers):
    """LeNet after a few steps, and the PNG files of some test images in `pngs/<digit>/`."""
    folder = tmp_path_factory.mktemp('prediction')
    loaded = experiment.load('lenet_digits', {'epochs': 1.0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('cnn_jax.training.run._write_report', lambda *given, **more: None)  # nobody looks at it
        cnn_jax.train(loaded, workdir=folder / 'run', data_dir=data_dir)
    source = digits.load(batch_size=8).open('test', data_dir)
    for row in range(70):
        example = source[row]
        place = folder / 'pngs' / str(example['label'])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(example['image'][..., 0]).save(place / f'{row:03d}.png')
    return folder


@pytest.fixture(scope='module')
def net(run):
    return cnn_jax.load(run / 'run')


def rows_of(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def predicted(run):
    output = run / 'predictions.csv'
    given = ['--mode=predict', f'--workdir={run}/run', f'--images={run}/pngs', f'--output={output}']
    assert main([*given, '--eval_batch_size=16']) == 0
    return rows_of(output)


def test_predictions_of_the_test_images_are_those_of_the_evaluation(run, predicted, data_dir):
    assert main(['--mode=evaluate', f'--workdir={run}/run', f'--data_dir={data_dir}']) == 0
    evaluated = {int(row['row']): row for row in rows_of(run / 'run' / 'evaluation' / 'test.csv')}
    assert len(evaluated) == 360
    for row in predicted:
        other = evaluated[int(Path(row['file']).stem)]
        assert row['prediction'] == other['prediction']
        assert float(row['probability']) == pytest.approx(float(other['probability']), abs=1e-6)
    found = json.loads((run / 'run' / 'evaluation' / 'test.json').read_text())
    right = sum(row['label'] == row['prediction'] for row in evaluated.values())
    assert found['top1'] == right / 360 == np.trace(found['confusion']) / 360


def test_the_order_and_the_columns_are_promised(run, predicted):
    assert [row['file'] for row in predicted] == sorted(str(path) for path in (run / 'pngs').rglob('*.png'))
    assert list(predicted[0])[:5] == ['file', 'prediction', 'probability', 'class_1', 'probability_1']
    assert list(predicted[0])[-3:] == ['class_5', 'probability_5', 'error']
    for row in predicted:
        assert (row['prediction'], row['probability']) == (row['class_1'], row['probability_1'])
        shares = [float(row[f'probability_{place}']) for place in range(1, 6)]
        assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize('ending', ['jsonl', 'json'])
def test_the_ending_says_the_format(run, predicted, ending):
    output = run / f'predictions.{ending}'
    given = ['--mode=predict', f'--workdir={run}/run', f'--images={run}/pngs/*/*.png', f'--output={output}']
    assert main(given) == 0
    text = output.read_text()
    found = json.loads(text) if ending == 'json' else [json.loads(line) for line in text.splitlines()]
    assert [one['prediction'] for one in found] == [row['prediction'] for row in predicted]
    assert len(found[0]['top']) == 5
    assert not output.with_name(f'{output.name}.part').exists()


def test_what_cannot_be_read_stands_in_its_place(run, tmp_path, capsys):
    folder = tmp_path / 'mixed'
    folder.mkdir()
    good = sorted((run / 'pngs').rglob('*.png'))[:3]
    for number, path in enumerate(good):
        (folder / f'{2 * number}.png').write_bytes(path.read_bytes())
        (folder / f'{2 * number + 1}.jpg').write_bytes(b'no image')
    (folder / 'notes.txt').write_text('not meant')
    given = ['--mode=predict', f'--workdir={run}/run', f'--images={folder}', f'--output={tmp_path}/found.csv']
    assert main(given) == 0
    said = capsys.readouterr().out
    assert '1 files in' in said
    assert 'warning: 3 of 6 have no answer: ' in said
    found = rows_of(tmp_path / 'found.csv')
    assert [bool(row['error']) for row in found] == [False, True] * 3
    assert all(row['prediction'] == '' for row in found[1::2])
    for path in folder.glob('*.png'):
        path.unlink()
    assert main(given) == 3
    said = capsys.readouterr().err
    assert 'none of 3 pictures could be read: ' in said
    assert len(rows_of(tmp_path / 'found.csv')) == 6, 'what was there before stays'
    assert main([*given[:-1], f'--output={tmp_path}/new.csv']) == 3
    assert f'{tmp_path}/new.csv says why of each' in capsys.readouterr().err
    words = 'no image in a supported format (JPEG, PNG, '
    assert [words in row['error'] for row in rows_of(tmp_path / 'new.csv')] == [True] * 3
    one = sorted(folder.glob('*.jpg'))[0]
    alone = [*given[:2], f'--images={one}', f'--output={tmp_path}/one.csv']
    assert main(alone) == 3
    (row,) = rows_of(tmp_path / 'one.csv')
    assert (row['file'], row['prediction']) == (str(one), '')


@pytest.mark.parametrize(
    ('given', 'code', 'words'),
    [
        ([], 2, '--mode=predict needs --images'),
        (['--questions=asked.jsonl'], 2, 'and the task classification answers none'),
        (['--images=nothing/here'], 3, 'is no file, no folder, and fits no file as a pattern'),
        (['--images=.', '--output=x.txt'], 2, 'its ending says the format, one of .csv, .jsonl, .json'),
    ],
)
def test_mistakes_are_one_line(run, given, code, words, capsys):
    assert main(['--mode=predict', f'--workdir={run}/run', *given]) == code
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    assert words in said


def test_reading_goes_a_few_batches_ahead_and_no_further():
    """100,000 pictures need no more memory than 1,000."""
    asked = []

    def files():
        for number in range(1000):
            asked.append(number)
            yield str(number)

    found = pictures.batches(files(), lambda content: Seen(np.zeros(1), None), 10)
    for done in range(1, 20):
        assert all(picture.error for picture in next(found)), 'there are no such files'
        assert len(asked) <= 10 * (done + pictures.AHEAD)
    found.close()


# In the hand.


def test_every_kind_of_image_has_the_same_answer(run, net):
    path = sorted((run / 'pngs').rglob('*.png'))[0]
    picture = Image.open(path)
    array = np.asarray(picture)
    answers = net.predict([str(path), path, picture, array, array[..., None], np.stack([array] * 3, -1)])
    for answer in answers:
        assert answer['prediction'] == answers[0]['prediction']
        assert answer['probability'] == pytest.approx(answers[0]['probability'], abs=1e-6)
    one = net.predict(path)
    assert one['prediction'] == answers[0]['prediction']
    several = net.predict(np.stack([array[..., None]] * 2))
    assert [answer['prediction'] for answer in several] == [one['prediction']] * 2
    assert net.predict([]) == []
    inputs = np.asarray(net.inputs([path]))
    assert net.predict(inputs, preprocessed=True)[0]['prediction'] == one['prediction']


@pytest.mark.parametrize(
    ('image', 'kind', 'words'),
    [
        (np.zeros((8, 8)), CnnJaxError, 'float64 .* np.round'),
        (np.zeros((2, 3, 8, 8, 1), np.uint8), CnnJaxError, 'uint8'),
        ('gone.png', DataError, 'cannot read gone.png: No such file'),
    ],
)
def test_what_is_no_image_is_said(net, image, kind, words):
    with pytest.raises(kind, match=words):
        net.predict([image])


def test_the_second_call_compiles_nothing_and_threads_agree(run, net):
    paths = sorted((run / 'pngs').rglob('*.png'))[:5]
    expected = net.predict(paths), net.predict(paths[0])
    with jax.log_compiles(False), pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax._src.compiler.compile_or_get_cached', lambda *given, **more: 1 / 0)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = [pool.submit(net.predict, paths[: 5 - number % 3]) for number in range(8)]
            alone = pool.submit(net.predict, paths[0])
        assert alone.result() == expected[1]
        for number, future in enumerate(found):
            assert future.result() == expected[0][: 5 - number % 3]


def test_features_explanations_and_scores(run, net):
    path = sorted((run / 'pngs').rglob('*.png'))[0]
    assert net.features([path], layers=['conv5'])['conv5'].shape == (1, 1, 1, 120)
    picture = net.explain(path, method='gradient')
    assert picture.arrays['maps'].shape[-3:] == (32, 32, 1)
    evaluation = net.evaluate(run / 'pngs')
    answers = net.predict(sorted((run / 'pngs').rglob('*.png')))
    names = [path.parent.name for path in sorted((run / 'pngs').rglob('*.png'))]
    right = [answer['prediction'] == name for answer, name in zip(answers, names, strict=True)]
    assert evaluation.summary['top1'] == np.mean(right)
    (run / 'others' / 'strange').mkdir(parents=True)
    (run / 'others' / 'strange' / 'a.png').write_bytes(path.read_bytes())
    with pytest.raises(DataError, match='has the class folders strange, which the net does not know'):
        net.evaluate(run / 'others')
    assert 'LeNet of' in repr(net)
    assert '61,706 parameters' in repr(net)
    assert net.metrics[-1]['split'] == 'test'


def test_a_folder_with_the_best_checkpoint_alone_is_enough(run, tmp_path):
    import shutil

    copy = tmp_path / 'copy'
    (copy / 'checkpoints').mkdir(parents=True)
    shutil.copy(run / 'run' / 'config.json', copy)
    shutil.copytree(run / 'run' / 'checkpoints' / 'best', copy / 'checkpoints' / 'best')
    path = sorted((run / 'pngs').rglob('*.png'))[0]
    answer = cnn_jax.load(copy).predict(path)
    assert answer == cnn_jax.load(run / 'run', checkpoint='best').predict(path)
    assert answer == cnn_jax.load(run / 'run' / 'checkpoints' / 'best').predict(path)


def test_a_notebook_in_another_folder_needs_neither_data_nor_experiment_folder(run, tmp_path):
    code = f"""
import cnn_jax
net = cnn_jax.load({str(run / 'run')!r})
print(net.predict({str(sorted((run / 'pngs').rglob('*.png'))[0])!r})['prediction'])
"""
    home = Path(cnn_jax.__file__).parent.parent
    said = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, check=True, capture_output=True, text=True,
        env={'PYTHONPATH': str(home), 'TFDS_DATA_DIR': str(tmp_path / 'none'), 'HOME': str(tmp_path), 'PATH': ''},
    ).stdout  # fmt: skip
    assert said.strip().isdigit()


@pytest.mark.usefixtures('no_page')
def test_a_saved_net_of_files_is_loaded_with_its_preprocessing(tmp_path):
    from small_imagenet import make_tree

    make_tree(tmp_path / 'photos')
    loaded = experiment.load('finetune_folder', {'folder': str(tmp_path / 'photos'), 'smoke': True})
    cnn_jax.train(loaded, workdir=tmp_path / 'run', data_dir=tmp_path)
    net = cnn_jax.load(tmp_path / 'run')
    net.save(tmp_path / 'mine.safetensors')
    again = cnn_jax.load(tmp_path / 'mine.safetensors')
    path = next((tmp_path / 'photos').rglob('*.JPEG'))
    one, other = net.predict(path), again.predict(path)
    assert one['prediction'] == other['prediction']
    assert other['probability'] == pytest.approx(one['probability'], abs=1e-5)
    assert again.class_names == net.class_names


def test_a_saved_net_of_digits_is_loaded_too(net, run, tmp_path):
    """Its set has no image files: pictures are fitted, and this is kept."""
    net.save(tmp_path / 'digits.safetensors')
    again = cnn_jax.load(tmp_path / 'digits.safetensors')
    paths = sorted((run / 'pngs').rglob('*.png'))[:5]
    np.testing.assert_array_equal(again.pixels(paths), net.pixels(paths))
    np.testing.assert_allclose(again.inputs(paths), net.inputs(paths), rtol=1e-6, atol=1e-6)
    assert [one['prediction'] for one in again.predict(paths)] == [one['prediction'] for one in net.predict(paths)]


def test_a_saved_net_answers_from_its_file_alone(net, run, tmp_path, capsys):
    """No experiment is asked for; what belongs to a run is refused."""
    file, output = tmp_path / 'digits.safetensors', tmp_path / 'found.csv'
    net.save(file)
    given = ['--mode=predict', f'--init_from={file}', f'--images={run}/pngs/7']
    assert main([*given, f'--output={output}']) == 0
    assert 'classification of 10 classes' in capsys.readouterr().out
    answers = net.predict(sorted((run / 'pngs' / '7').iterdir()))
    assert [row['prediction'] for row in rows_of(output)] == [one['prediction'] for one in answers]
    for more, words in ((['--checkpoint=best'], 'is of a run'), ([f'--init_from={tmp_path}/no'], 'is not there')):
        assert main([*given, *more]) == 2
        assert words in capsys.readouterr().err


def test_what_load_cannot_take_says_what_it_takes(tmp_path):
    with pytest.raises(CnnJaxError, match=r'load: .*photo is no run and no file; give the work folder of a run'):
        cnn_jax.load(tmp_path / 'photo')
    write_safetensors(tmp_path / 'resnet18.safetensors', {'conv1.weight': np.zeros(3)}, {'format': 'pt'})
    with pytest.raises(CnnJaxError, match=r"cnn_jax\.load\(FILE, architecture='torchvision/ARCH'\)"):
        cnn_jax.load(tmp_path / 'resnet18.safetensors')


def test_a_file_that_does_not_say_how_its_images_are_prepared_is_refused(net, tmp_path):
    weights.save(tmp_path / 'digits.safetensors', net.model, net.variables)
    with pytest.raises(CnnJaxError, match='does not say how its images are prepared'):
        cnn_jax.load(tmp_path / 'digits.safetensors')
