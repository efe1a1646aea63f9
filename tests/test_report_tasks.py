"""The microscope of nets of other tasks: it shows what the task says is right, and what the task draws."""

import base64
import dataclasses
import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from test_report_microscope import make_run, preprocess

from cnn_jax.report import microscope
from cnn_jax.report.microscope import covering, drawn, rows, scripts, shown, targets
from cnn_jax.tasks import localization, multilabel, question_answering, segmentation, style
from cnn_jax.tasks.cases import Case
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.windows import make_windows

NAMES = ('ground', 'cat', 'dog')
COUNT = 24


class Trunk(nn.Module):
    """A net within a net: two blocks, each of layers that have layers."""

    @nn.compact
    def __call__(self, x):
        return Block(name='block2')(Block(name='block1')(x))


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.relu(Inner(name='inner')(x))


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Conv(4, (3, 3), name='conv')(x)


class Net(nn.Module):
    """What each task's model returns, of a trunk."""

    kind: str

    @nn.compact
    def __call__(self, images, *, train):
        maps = Trunk(name='trunk')(images)
        if self.kind == 'segmentation':
            return nn.Conv(3, (1, 1), name='scores')(maps)
        features = nn.relu(nn.Dense(6, name='hidden')(maps.reshape(maps.shape[0], -1)))
        scores = nn.Dense(3, name='scores')(features)
        return (
            scores if self.kind == 'multilabel' else {'scores': scores, 'box': 12 * nn.Dense(4, name='box')(features)}
        )


class Rows:
    def __init__(self):
        rng = np.random.default_rng(3)
        self.images = rng.integers(0, 256, (COUNT, 12, 12, 1), dtype=np.uint8)
        self.masks = rng.integers(0, 3, (COUNT, 12, 12)).astype(np.uint8)
        self.masks[0] = 0
        self.labels = rng.integers(0, 3, COUNT)

    def __len__(self):
        return COUNT

    def __getitem__(self, row):
        label = int(self.labels[row])
        box = np.array([[2, 3, 9, 10]], np.float32)
        there = np.arange(3) <= label
        return {
            'image': self.images[row], 'label': label, 'boxes': box, 'labels': there, 'segmentation': self.masks[row]
        }  # fmt: skip


def seen_of(task, folder):
    """A run of a tiny net, and what is looked at: results and cases as an evaluation gives them."""
    source, model = Rows(), Net(task.name)
    run = make_run(
        folder, task=task, model=model, config={'experiment': 'tiny', 'options': {}, 'class_names': list(NAMES)},
        variables=jax.device_get(model.init(jax.random.key(4), jnp.zeros((1, 12, 12, 1)), train=False)),
    )  # fmt: skip
    batch = {name: np.stack([source[row][name] for row in range(COUNT)]) for name in source[0]}
    batch = {name: jnp.asarray(values) for name, values in batch.items()} | {'image': preprocess(source.images)}
    outputs = model.apply(run.variables, batch['image'], train=False)
    results = jax.device_get({'loss': task.loss(outputs, batch), **task.results(outputs, batch)})
    results |= {'index': np.arange(COUNT)}
    read = jax.device_get(task.read(outputs)) if task.answers_are_images else None

    def cases(index):
        return [
            Case(
                source.images[row],
                {name: values[row] for name, values in results.items()},
                source[row],
                None if read is None else {name: values[row] for name, values in read.items()},
            )
            for row in index
        ]

    examples = Examples(source, preprocess, batch_size=16, group=task.group)
    look = microscope.Look(examples, 'test', 9, [9], results=results, cases=cases if task.draws else None)
    return run, look, outputs


TASKS = {'localization': localization.task(), 'segmentation': segmentation.task(), 'multilabel': multilabel.task()}


class Painter(nn.Module):
    """Returns a picture and what a loss compares, and no scores, as nets that paint do."""

    @nn.compact
    def __call__(self, images, *, train):
        maps = Trunk(name='trunk')(images)
        return {'picture': nn.Conv(1, (1, 1), name='last')(maps), 'content': maps}


def test_a_net_without_scores_has_its_layers_and_says_what_it_has_not(tmp_path):
    model, rows = Painter(), Rows()
    variables = jax.device_get(model.init(jax.random.key(4), jnp.zeros((1, 12, 12, 1)), train=False))
    run = make_run(tmp_path, task=style.task(), model=model, variables=variables, config={'experiment': 'x'})
    examples = Examples(rows, preprocess, batch_size=16, group=run.task.group)
    results = {'index': np.arange(COUNT), 'loss': np.arange(COUNT, dtype=np.float32)}
    microscope.write(run, microscope.Look(examples, 'test', 9, [9], results=results))
    data = {file.stem: scripts.read_script(file) for file in (tmp_path / 'report' / 'data').glob('*.js')}
    assert [layer['name'] for layer in data['run']['layers']] == ['trunk/block1', 'trunk/block2', 'last']
    _, state = model.apply(variables, preprocess(rows.images), train=False, capture_intermediates=True)
    means = np.asarray(state['intermediates']['last']['__call__'][0]).mean((0, 1, 2))
    np.testing.assert_allclose(data['layer_2']['mean'], means, rtol=1e-3)
    assert 'no array that the net returns is its scores' in data['maps']['left_out']
    assert 'refused' in data['alive']
    assert data['images']['all'][0]['top'] == []


@pytest.fixture(scope='module', params=TASKS)
def seen(request, tmp_path_factory):
    run, look, outputs = seen_of(TASKS[request.param], tmp_path_factory.mktemp('task'))
    microscope.write(run, look._replace(settings=look.settings._replace(maps=3, laid=0)))
    data = {file.stem: scripts.read_script(file) for file in (run.workdir / 'report' / 'data').glob('*.js')}
    return run, look, outputs, data


def test_the_layers_of_a_net_within_the_net_are_shown(seen):
    names = [layer['name'] for layer in seen[3]['run']['layers']]
    assert names[:2] == ['trunk/block1', 'trunk/block2']
    assert 'trunk' not in names
    assert 'scores' in names
    assert not shown.is_net(['block1', 'block1/inner', 'block1/inner/conv'], 'block1')


def test_images_have_what_the_task_says(seen):
    run, look, _, data = seen
    right = run.task.right(look.results)
    for image in data['images']['all']:
        row, result = image['row'], {name: values[image['row']] for name, values in look.results.items()}
        assert image['truth'] == run.task.truth(result, NAMES)
        assert image['answer'] == run.task.result_answer(result, NAMES)
        assert image['right'] is (None if right is None else bool(right[row]))
        assert image['classes'] == list(run.task.shows(Rows()[row], NAMES))


def test_units_are_judged_by_all_classes_that_an_image_shows(seen):
    run, _, _, data = seen
    shows = np.zeros((COUNT, 3), bool)
    for row in range(COUNT):
        shows[row, list(run.task.shows(Rows()[row], NAMES))] = True
    number = [layer['name'] for layer in data['run']['layers']].index('scores')
    means = np.asarray(scripts.unpack(data['matching']['means']['scores'])).T
    for unit in range(3):
        of = [
            np.corrcoef(means[:, unit], shows[:, one])[0, 1] if 0 < shows[:, one].mean() < 1 else 0 for one in range(3)
        ]
        assert data[f'layer_{number}']['selectivity'][unit] == pytest.approx(max(of), abs=0.03)  # means are packed


def test_the_pictures_are_those_that_the_task_draws(seen):
    run, look, _, data = seen
    if not run.task.draws:
        assert data['drawn'] == {}
        return
    assert sorted(data['drawn']['rows']) == sorted(
        data['images']['all'][place]['row'] for place in data['images']['chosen']
    )
    row, about = data['drawn']['rows'][0], data['drawn']['images'][0]
    case = look.cases(np.array([row]))[0]
    with Image.open(io.BytesIO(base64.b64decode(about['source'].partition(',')[2]))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), run.task.drawn(case, NAMES))
    assert about['remark'] == run.task.remark(case.result)
    losses = [look.results['loss'][one] for one in data['drawn']['rows']]
    assert losses == sorted(losses, reverse=True)


def test_maps_explain_what_the_task_explains(seen):
    run, _, outputs, data = seen
    row, words = data['maps']['rows'][0], data['maps']['words'][0]
    if run.task.name == 'segmentation':
        own = run.task.explained(np.asarray(outputs)[row], None, NAMES)
        assert words[0] == f'{own.what}: {own.about}'
        assert data['maps']['targets'][0][0] == targets.OWN_ANSWER
        score = float(np.asarray(outputs)[row][own.target].sum())
    else:
        scores = np.asarray(outputs['scores'] if isinstance(outputs, dict) else outputs)[row]
        assert words[0] == NAMES[scores.argmax()]
        score = float(scores.max())
    assert data['maps']['values'][0][0][0] == pytest.approx(score, rel=1e-2)
    assert 'maps' in data['maps']['methods']['gradient']


def test_what_the_page_cannot_do_is_said(seen):
    run, _, _, data = seen
    assert ('refused' in data['alive']) == (run.task.probabilities is None)
    assert any('highest loss' in one['text'] for one in data['run']['findings'])


def test_many_large_outputs_are_read_in_parts(tmp_path, monkeypatch):
    run, _, _ = seen_of(TASKS['segmentation'], tmp_path)
    windows, image = make_windows((12, 12), None, None), np.asarray(preprocess(Rows().images[:1]))[0]
    mask = np.zeros((12, 12, 3), bool)
    mask[4:6, 4:6, 1] = True
    asked = [targets.Target(0, '', mask)]
    whole = covering.covered(run, run.variables, image, asked, windows, 3)
    monkeypatch.setattr(covering, 'BYTES', 7 * 4 * mask.size)
    np.testing.assert_allclose(
        covering.covered(run, run.variables, image, asked, windows, 3).values, whole.values, rtol=1e-5
    )
    assert whole.likeliest == []


def test_pictures_without_room_are_counted(tmp_path, monkeypatch):
    run, look, _ = seen_of(TASKS['localization'], tmp_path)
    monkeypatch.setattr(drawn, 'MOST_BYTES', 1)
    watched = dataclasses.make_dataclass('Watched', ['rows'])(np.arange(COUNT))
    found = drawn.about_drawn(run, look, watched, np.arange(4))  # pyright: ignore[reportArgumentType]
    assert (found['rows'], found['left_out']) == ([], 4)


def test_rows_are_read_once_while_there_is_room(monkeypatch):
    class Counted(Rows):
        read = 0

        def __getitem__(self, row):
            self.read += 1
            return super().__getitem__(row)

    source = Counted()
    nbytes = sum(np.asarray(value).nbytes for value in source[0].values())
    monkeypatch.setattr(rows, 'MOST_BYTES', 2 * nbytes)
    once = rows.Once(source)
    for _ in range(2):
        for row in range(3):
            np.testing.assert_array_equal(once[row]['image'], source.images[row])
    assert source.read == 1 + 2 + 2  # the third finds no room
    assert len(once) == COUNT


class Answerer(nn.Module):
    @nn.compact
    def __call__(self, images, question, choices, *, train):
        seen = nn.relu(nn.Dense(6, name='seen')(Trunk(name='trunk')(images).mean((1, 2))))
        read = nn.Dense(6, name='read')(question.astype(jnp.float32))
        score = nn.Dense(1, name='score')(seen[:, None, None] * choices.mean(-1, keepdims=True))
        return {'scores': score[..., 0] + read.mean(-1, keepdims=True)}


class Questions(Rows):
    def __getitem__(self, row):
        asked = {'question': np.array([[1, 2, 3]]), 'choices': np.array([[[3], [4]]]), 'answer': np.array([row % 2])}
        return {'image': self.images[row], **{name: values.astype(np.int32) for name, values in asked.items()}}


def test_a_net_that_is_asked_is_shown_with_the_question_of_the_first_image(tmp_path):
    source, task, model = Questions(), question_answering.task(), Answerer()
    inputs = [jnp.asarray(source[0][name])[None] for name in task.model_inputs]
    run = make_run(
        tmp_path, task=task, model=model,
        config={'experiment': 'tiny', 'options': {}, 'class_names': ['', 'where', 'is', 'cat', 'dog']},
        variables=jax.device_get(model.init(jax.random.key(4), jnp.zeros((1, 12, 12, 1)), *inputs, train=False)),
    )  # fmt: skip
    microscope.write(run, microscope.Look(Examples(source, preprocess, group=task.group), 'validation', 9, [9]))
    data = {file.stem: scripts.read_script(file) for file in (tmp_path / 'report' / 'data').glob('*.js')}
    assert data['run']['question'] == 'where is cat'
    names = [layer['name'] for layer in data['run']['layers']]
    assert names[:3] == ['trunk/block1', 'trunk/block2', 'seen']
    assert data['layer_2']['selectivity'] is None
    assert data['images']['all'][1]['truth'] == 'where is cat dog'
    assert data['images']['all'][1]['right'] is None
    assert data['maps']['words'][0][0].startswith('the answer: ')
    assert data['run']['classes'] == []
