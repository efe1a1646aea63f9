"""Two runs side by side: the list leads there, and the browser's numbers are those of `statistics` and of NumPy."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_report_browser import BROWSER, CUT, FRAME, dumped, needs_axe, serious  # noqa: F401  (a fixture)
from test_report_microscope import COUNT, Net, Rows, look, make_run, preprocess

from cnn_jax.report import microscope, side_by_side, write_report
from cnn_jax.report.listed import Listed, known_metrics
from cnn_jax.report.microscope import matching, scripts
from cnn_jax.report.runs import write_index
from cnn_jax.statistics.paired import compare_exactly

TOLD = (Path(__file__).parent / 'browser' / 'two_runs.js').read_text(encoding='utf-8')
PROBE = f'<script>{CUT}</script><script>{TOLD}</script></body>'
needs_browser = pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed: the pages were not opened')


def made(folder, seed, **config):
    """A run with other weights, and its page."""
    run = make_run(folder)
    variables = jax.device_get(Net().init(jax.random.key(seed), jnp.zeros((1, 12, 12, 1)), train=False))
    folder.mkdir()
    about = {
        **run.config,
        'seed': seed,
        'started': str(seed),
        'data': 'rows',
        'seals': {'test': [COUNT, 'x']},
        **config,
    }
    metrics = [
        *run.metrics,
        *(
            {'step': step, 'seconds': 1.0, 'split': 'validation', 'top1': 0.1 * seed, 'loss': 1.0}
            for step in (200, 400)
        ),
    ]
    return dataclasses.replace(run, variables=variables, config=about, metrics=metrics)


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    return [made(folder / name, seed, options={'rate': 0.1 * seed}) for name, seed in (('one & 1', 1), ('two', 2))]


@pytest.fixture(scope='module')
def folder(runs):
    for run in runs:
        write_report(run, look(costly=False))
    other = made(runs[0].workdir.parent / '<b>third', 3)  # without a page
    listed = [Listed(run.workdir, run.config, run.metrics) for run in [*runs, other]]
    folder = runs[0].workdir.parent
    write_index(folder, listed)
    page = folder / 'report' / 'compare.html'
    page.write_text(page.read_text(encoding='utf-8').replace('</body>', PROBE), encoding='utf-8')
    return folder


@pytest.fixture(scope='module')
def opened(folder, dumped):  # noqa: F811
    def look_at(hash_, width=1200):
        frame = folder / 'report' / 'frame.html'
        text = FRAME.replace('index.html$HASH', f'compare.html{hash_}'.replace('&', '&amp;'))
        frame.write_text(text.replace('$WIDTH', str(width)), encoding='utf-8')
        return dumped(frame)

    return look_at


BOTH = '#one=one%20%26%201&other=two'


def outputs(run):
    _, state = run.model.apply(run.variables, preprocess(Rows().images), train=False, capture_intermediates=True)
    return {name: np.asarray(state['intermediates'][name]['__call__'][0]) for name in ('conv3', 'fc4')}


def test_means_for_matching_are_those_of_the_units(runs, folder):
    found = scripts.read_script(runs[0].workdir / 'report' / 'data' / 'matching.js')
    assert found['rows'] == list(range(COUNT))
    packed = found['means']['conv3']
    want = outputs(runs[0])['conv3'].mean((1, 2)).T
    np.testing.assert_allclose(scripts.unpack(packed), want, atol=1.001 * packed['limit'] / 254)
    assert set(found['means']) == {'conv1', 'pool2', 'conv3', 'fc4'}


def test_images_and_units_for_matching_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(matching, 'MOST_IMAGES', 7)
    monkeypatch.setattr(matching, 'MOST_UNITS', 2)
    microscope.write(make_run(tmp_path), look(costly=False))
    found = scripts.read_script(tmp_path / 'report' / 'data' / 'matching.js')
    assert found['means']['conv3']['shape'] == [2, 7]
    assert len(found['rows']) == 7


def test_what_the_page_knows_of_a_run(runs, folder):
    run = runs[0]
    about = side_by_side.about_run(folder, Listed(run.workdir, run.config, run.metrics), known_metrics())
    assert (about['name'], about['base']) == ('one & 1', '../one%20%26%201/report/')
    assert about['options'] == {'rate': '0.1', 'seed': '1'}
    assert about['result'] == 'validation accuracy 10.00%'
    loss, top1 = about['curves']
    assert (loss['title'], loss['percent'], top1['title'], top1['percent']) == ('loss', False, 'accuracy', True)
    assert top1['splits']['validation'] == ([200.0, 400.0], [0.1, 0.1])


def test_the_list_leads_to_two_runs_and_one_run_alone_to_none(runs, folder, tmp_path):
    page = (folder / 'report' / 'index.html').read_text(encoding='utf-8')
    assert 'href="compare.html"' in page
    assert page.count('type="checkbox"') == 3
    assert 'value="one &amp; 1"' in page
    alone = made(tmp_path / 'alone', 1)
    written = write_index(tmp_path, [Listed(alone.workdir, alone.config, alone.metrics)]).read_text(encoding='utf-8')
    assert 'compare.html' not in written.partition('<script>')[0]
    assert 'type="checkbox"' not in written.partition('<script>')[0]
    assert not (tmp_path / 'report' / 'compare.html').exists()


def test_no_text_of_a_run_ends_the_script(folder, tmp_path):
    run = made(tmp_path / 'x', 1, experiment='</script><script>alert(1)')
    listed = [Listed(run.workdir, run.config, run.metrics)] * 2
    text = side_by_side.write_page(tmp_path, listed, known_metrics()).read_text(encoding='utf-8')
    assert '</script><script>alert' not in text
    known = text.partition('id="runs">')[2].partition('</script>')[0]
    assert json.loads(known)[0]['experiment'] == '</script><script>alert(1)'


@needs_browser
def test_the_page_has_no_error_fits_a_phone_and_says_what_differs(opened):
    found = opened(BOTH, width=390)
    assert (found['width'], found['unnamed']) == (390, 0)
    assert found['overflow'] <= 0
    assert (found['sideways'], found['cut']) == (0, [])  # a table or an axis is seen whole
    assert found['chosen'][:2] == ['one & 1', 'two']
    for text in ('rate', '0.1', '0.2', 'seed'):
        assert text in found['text']
    assert 'undefined' not in found['text']
    assert 'NaN' not in found['text']


@needs_browser
@needs_axe
@pytest.mark.parametrize('page', ['index.html', 'compare.html'])
def test_axe_finds_nothing_serious(folder, dumped, page):  # noqa: F811
    found = [
        serious(folder / 'report', dumped, theme, [BOTH + '&layer=conv3&unit=2'], page) for theme in ('dark', 'light')
    ]
    assert found == [[], []]


@needs_browser
def test_the_list_of_runs_is_seen_whole_on_a_phone(folder, dumped):  # noqa: F811
    frame = folder / 'report' / 'frame.html'
    frame.write_text(FRAME.replace('$HASH', '').replace('$WIDTH', '390'), encoding='utf-8')
    page = folder / 'report' / 'index.html'
    text = page.read_text(encoding='utf-8')
    tell = """<script>setTimeout(function () {
      const wide = Array.from(document.querySelectorAll('html, .scroll'), function (one) {
        return one.scrollWidth - one.clientWidth;
      });
      const rows = Array.from(document.querySelectorAll('tbody tr'), function (row) { return row.innerText; });
      window.parent.postMessage(JSON.stringify([Math.max.apply(null, wide), rows]), '*');
    }, 300);</script></body>"""
    page.write_text(text.replace('</body>', tell), encoding='utf-8')
    try:
        wide, rows = dumped(frame)
    finally:
        page.write_text(text, encoding='utf-8')
    assert wide <= 0
    told = [('rate=' in row, 'seed=' in row, '400' in row) for row in rows]
    assert told == [(False, True, True), (True, True, True), (True, True, True)]  # the third has no rate


@needs_browser
def test_differences_of_classes_are_those_of_the_paired_test(opened, runs):
    found, labels = opened(BOTH)['classes'], Rows().labels
    right = [outputs(run)['fc4'].argmax(1) == labels for run in runs]
    losses = np.zeros(COUNT)
    assert [one['label'] for one in found] == [None, 0, 1, 2]
    for one in found:
        own = np.ones(COUNT, bool) if one['label'] is None else labels == one['label']
        want = compare_exactly(right[1][own], right[0][own], losses[own], losses[own])
        assert (one['images'], one['gained'], one['lost']) == (own.sum(), want.gained, want.lost)
        assert (one['one'], one['other']) == (right[0][own].sum(), right[1][own].sum())
        np.testing.assert_allclose([one['value'], one['low'], one['high']], [want.difference, want.low, want.high])


@needs_browser
def test_units_are_put_together_by_the_correlation_of_their_activations(opened, runs):
    found = opened(BOTH + '&layer=conv3')
    means = [outputs(run)['conv3'].mean((1, 2)) for run in runs]
    every = np.corrcoef(means[0].T, means[1].T)[:5, 5:]
    assert (
        sorted(pair['one'] for pair in found['match'])
        == sorted(pair['other'] for pair in found['match'])
        == list(range(5))
    )
    for pair in found['match']:  # means of 8 bits
        assert pair['correlation'] == pytest.approx(every[pair['one'], pair['other']], abs=0.03)
    best = max(found['match'], key=lambda pair: pair['correlation'])
    assert best['correlation'] == pytest.approx(every.max(), abs=0.03)
    assert found['tiles'][0].startswith(f'conv3 unit {best["one"]} and unit {best["other"]}, correlation ')


@needs_browser
def test_a_link_restores_the_pair_and_the_image(opened):
    found = opened(BOTH + '&layer=conv1&unit=2')
    assert found['chosen'][2] == 'conv1'
    assert 'one & 1, conv1 unit 2' in found['text']
    assert 'one & 1 says of image' in found['text']


@needs_browser
def test_what_cannot_be_compared_is_said(opened, runs, folder):
    third = opened('#one=%3Cb%3Ethird&other=two')['text']
    assert 'No data of <b>third is there: write its page with --mode=report' in third
    data = runs[1].workdir / 'report' / 'data'
    about = scripts.read_script(data / 'run.js')
    try:
        scripts.write_script(data, 'run', about | {'images_of': ['others', 'test', None]})
        assert 'different images: rows test and others test' in opened(BOTH)['text']
    finally:
        scripts.write_script(data, 'run', about)


@needs_browser
def test_two_that_are_chosen_in_the_list_stand_in_the_link(folder, dumped):  # noqa: F811
    page = folder / 'report' / 'index.html'
    text = page.read_text(encoding='utf-8')
    probe = (Path(__file__).parent / 'browser' / 'choosing.js').read_text(encoding='utf-8')
    chosen = folder / 'report' / 'chosen.html'
    chosen.write_text(text.replace('</body>', f'<script>{probe}</script></body>'), encoding='utf-8')
    found = dumped(chosen)
    assert found['values'] == ['<b>third', 'two', 'one & 1']
    assert found['links'][1:] == ['compare.html#one=%3Cb%3Ethird&other=two', 'compare.html#one=two&other=one%20%26%201']
    assert found['left'] == [False, True, True]
