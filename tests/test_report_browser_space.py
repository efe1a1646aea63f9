"""The pages Space and Training in a real browser: their numbers are the arrays, hands and keys do what they say."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_report_browser import BROWSER, PROBE, dumped, made_up, needs_axe, opened, serious  # noqa: F401  (fixtures)
from test_report_microscope import COUNT, NAMES, look
from test_report_training import STEPS, with_history

from cnn_jax.report import write_report
from cnn_jax.report.microscope import made, optimised, scripts

pytestmark = pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed: the pages were not opened')
# Does what hands do, and leaves what came of it in `acts`, which the probe hands on.
ACTS = f'<script>{(Path(__file__).parent / "browser" / "hands.js").read_text(encoding="utf-8")}</script>'
VIEWS = [
    *('#page=space', '#page=space&plane=pca&layer=conv3', '#page=space&form=images', '#page=space&form=grid&image=4'),
    *('#page=space&layer=fc4', '#page=training', '#page=training&step=7&layer=conv1&scale=all'),
]
SPACE = '#page=space&plane=pca&layer=conv3'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    run, history = with_history(tmp_path_factory.mktemp('browser'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, 'optimised', made_up)
        patch.setattr(optimised, 'STEPS', 4)
        page = write_report(run, look()._replace(history=history, training=look().examples))
    probe = PROBE.replace('view: document', 'acts: acts, view: document')
    page.write_text(page.read_text(encoding='utf-8').replace('</body>', ACTS + probe), encoding='utf-8')
    return run.workdir / 'report'


@pytest.fixture(scope='module')
def space(opened):  # noqa: F811
    return opened(SPACE)['acts']


@pytest.mark.parametrize('hash_', VIEWS)
def test_every_page_opens_without_an_error_and_fits_a_phone(opened, hash_):  # noqa: F811
    found = opened(hash_, width=390)
    assert found['view'] == hash_.partition('=')[2].partition('&')[0]
    assert found['overflow'] <= 0
    assert found['unnamed'] == 0
    assert (found['cut'], found['empty']) == ([], [])
    assert 'undefined' not in found['text']
    assert 'NaN' not in found['text']
    assert 'cannot be drawn' not in found['text']


@needs_axe
@pytest.mark.parametrize('theme', ['dark', 'light'])
def test_axe_finds_nothing_serious(folder, dumped, theme):  # noqa: F811
    views = [*VIEWS, '#layer=conv3&step=7', '#layer=conv3&unit=1&step=7', '#page=image&step=7']
    assert serious(folder, dumped, theme, views) == []


def test_the_points_are_those_of_the_array_and_all_are_drawn(space, folder):
    script = scripts.read_script(folder / 'data' / 'space_2.js')
    assert space['points'] == script['planes']['pca']['points']
    assert space['shown'] == COUNT
    assert COUNT * 9 < space['inked'] < COUNT * 400  # pixels that are not of the colour of the page


def test_a_click_chooses_an_image_and_tells_its_neighbours(space, folder):
    common = scripts.read_script(folder / 'data' / 'space.js')
    assert space['first'] == -1
    assert space['clicked'] == 7
    assert f'image={common["rows"][7]}' in space['address']
    near = scripts.read_script(folder / 'data' / 'space_2.js')['neighbours'][7]
    assert space['rings'] == near
    same = sum(common['labels'][one] == common['labels'][7] for one in near)
    assert f'Nearest in conv3: {same} of {len(near)} of its class' in space['told']
    assert 'Nearest in pixels' in space['told']
    assert NAMES[common['labels'][7]] in space['told']


def test_keys_go_to_the_nearest_image_enlarge_and_let_go(space):
    points = np.array(space['points'])
    moved = points - points[7]
    ahead = (moved[:, 0] > 0) & (np.abs(moved[:, 1]) <= moved[:, 0])
    want = np.where(ahead, np.abs(moved).sum(1), np.inf).argmin() if ahead.any() else 7
    assert space['right'] == want
    assert space['escaped'] == -1
    assert space['zoomed'] == pytest.approx(1.4)
    assert space['view'].endswith(',1.4')


def test_a_drag_moves_the_points_by_as_much(space):
    assert space['dragged'] == pytest.approx(30)


def test_the_lasso_holds_what_is_within_it(space):
    assert space['circled'] == space['left']
    assert 0 < len(space['left']) < COUNT
    assert space['group'].startswith(f'{len(space["left"])} images in the lasso')
    assert space['thumbnails'] == len(space['left'])


def test_a_link_restores_the_image_the_class_and_the_view(opened):  # noqa: F811
    found = opened(f'{SPACE}&image=9&class=1&view=0,0,2')
    acts = found['acts']
    assert (acts['first'], acts['only'], acts['whole']) == (9, 1, '0,0,2')
    assert found['chosen'][1:] == ['conv3', 'pca', 'points']


def test_a_layer_without_t_sne_says_which_have_one(opened):  # noqa: F811
    assert 'There is a t-SNE of conv1, pool2, conv3' in opened('#page=space&layer=fc4')['text']


def test_the_slider_and_the_arrow_keys_show_each_step(opened, folder):  # noqa: F811
    found = opened('#page=training&step=250')
    acts, data = found['acts'], scripts.read_script(folder / 'data' / 'training.js')
    assert (acts['steps'], acts['at']) == (STEPS, 1)
    assert 'Left out: step 100' in found['text']
    packed = scripts.unpack(data['filters'])
    np.testing.assert_allclose(acts['filters'], packed[:, 2, 0].reshape(3, -1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(acts['maps'], scripts.unpack(data['maps'][2])[1, 0, 3].ravel(), rtol=1e-12, atol=1e-12)
    assert acts['moved'] == [0, '#page=training&step=0', 'step 0 of 400']
    assert acts['pressed'] == [1, '1', 'step 7']
    assert f'{data["right"][1] * 100:.1f} % of the images are answered right' in found['text']
    assert len(acts['births']) == len(data['births'][2]['born'])
    images, scores = scripts.unpack(data['classes']['images']), data['classes']['scores']
    assert images.shape == (3, 3, 12, 12, 1)
    for at, shown in zip((1, 0), acts['classes'], strict=True):  # as the page opened, and where the slider was moved
        assert [one['words'] for one in shown] == [
            f'made for {name}, score {float(f"{score:.3g}"):g} at step {STEPS[at]}'.replace('score -', 'score \u2212')
            for name, score in zip(NAMES, scores[at], strict=True)
        ]
        np.testing.assert_array_equal([one['red'] for one in shown], images[at].reshape(3, -1))


def test_images_of_one_group_are_named_by_none(opened, folder):  # noqa: F811
    """Of a task without classes."""
    data = folder / 'data' / 'space.js'
    before = data.read_text(encoding='utf-8')
    about = scripts.read_script(data)
    looks = {key: values[:1] for key, values in about['looks'].items()}
    try:
        scripts.write_script(
            folder / 'data', 'space', about | {'groups': ['all'], 'labels': [0] * COUNT, 'looks': looks}
        )
        found = opened(SPACE)
        assert not re.search(r'\ball \d|of all', found['text'])
        assert found['acts']['group'].strip() == f'{len(found["acts"]["left"])} images in the lasso Clear'
    finally:
        data.write_text(before, encoding='utf-8')


def test_a_run_without_a_history_is_told_how_to_keep_one(opened, folder):  # noqa: F811
    data = folder / 'data' / 'run.js'
    before = data.read_text(encoding='utf-8')
    about = scripts.read_script(data)
    try:
        scripts.write_script(folder / 'data', 'run', about | {'history': []})
        assert '--config.history=16' in opened('#page=training')['text']
        scripts.write_script(folder / 'data', 'run', about | {'patches': False})
        assert 'has 5 steps. To look at them: python -m cnn_jax.main --mode=report' in opened('#page=training')['text']
    finally:
        data.write_text(before, encoding='utf-8')


def test_the_step_of_the_address_is_that_of_every_page(opened, folder):  # noqa: F811
    data = scripts.read_script(folder / 'data' / 'training.js')
    at, step = 1, data['steps'][1]

    def text(hash_):
        found = opened(f'{hash_}&step={step}')['text']
        assert f'The net at step {step}.' in found
        assert f'step {step} of 400' in found
        return found.replace('\u2212', '-')

    layer = text('#layer=conv3&lens=mean')
    means = [f'{float(f"{value:.3g}"):g}' for value in scripts.unpack(data['means'][2])[at]]
    assert all(one in layer for one in means)
    assert 'None of 5 units is dead' in layer
    assert f'Mean activation {means[3]}' in text('#layer=conv3&unit=3')
    label, share = data['scores'][0][at][0]
    shown = text(f'#page=image&image={data["images"][0]}')
    assert re.search(rf'{re.escape(NAMES[label])}( ✓)?\s+{100 * share:.1f} %', shown)
    assert 'What counted, and what the task draws' in shown
    assert f'{100 * data["planes"][at]["variance"][0]:.1f} % across' in text('#page=space')
    images = scripts.read_script(folder / 'data' / 'images.js')
    other = images['all'][images['chosen'][-1]]['row']
    assert 'The maps of this image are not kept of each step' in text(f'#layer=conv3&lens=map&image={other}')
    assert 'The net at step' not in opened('#layer=conv3&step=400')['text']  # the net of the page, with all there is
