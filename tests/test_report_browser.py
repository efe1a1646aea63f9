"""The microscope in a real browser, from `file://`: every view opens, its numbers are the arrays, links restore it."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from test_report_microscope import NAMES, look, make_run

from cnn_jax.report import write_report
from cnn_jax.report.listed import Listed
from cnn_jax.report.microscope import scripts
from cnn_jax.report.runs import write_index

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed: the pages were not opened')
VIEWS = {
    'overview': '',
    'layer': '#layer=conv3&lens=patches&sort=selectivity',
    'weights': '#layer=conv1&lens=weights&scale=unit',
    'kept': '#layer=pool2&lens=weights&sort=norm&scale=unit',  # what was chosen for a layer that has weights
    'unit': '#layer=conv3&unit=2',
    'dead': '#layer=conv1&unit=1',
    'image': '#page=image',
}
# Runs in the page when it has settled, and leaves what it found where `--dump-dom` shows it.
PROBE = """<script>setTimeout(function () {
  const layer = CNN_JAX.data.layer_2;
  const map = layer && Array.from(paint.picture(layer.maps, [1, 2]).bytes, function (byte) {
    return paint.value(layer.maps, byte);
  });
  const parts = Array.from(document.querySelectorAll('body > main > *'));
  const found = {
    view: document.getElementById('microscope').dataset.view,
    text: document.getElementById('microscope').innerText,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    width: window.innerWidth,
    chosen: Array.from(document.querySelectorAll('#microscope select'), function (select) { return select.value; }),
    unnamed: document.querySelectorAll('#microscope img:not([alt]), #microscope canvas:not([aria-label])').length,
    seen: parts.filter(function (one) { return one.offsetHeight; }).length,
    map: map,
  };
  window.parent.postMessage(JSON.stringify(found), '*');
}, 800);</script></body>"""
# The page in a frame, for a window of its own is never narrower than 500 pixels.
FRAME = """<!doctype html><iframe src="index.html$HASH" style="width: $WIDTHpx; height: 900px; border: 0"></iframe>
<pre id="probe"></pre><script>addEventListener('message', function (event) {
  document.getElementById('probe').textContent = event.data;
});</script>"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp('browser'))
    page = write_report(run, look())
    page.write_text(page.read_text(encoding='utf-8').replace('</body>', PROBE), encoding='utf-8')
    return run.workdir / 'report'


@pytest.fixture(scope='module')
def dumped(tmp_path_factory):
    """What stands in the element `probe` of a page after its scripts."""

    def dump(page):
        assert BROWSER is not None
        options = '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking'
        options += ' --disable-component-update --disable-sync --virtual-time-budget=3000 --enable-logging=stderr'
        home = tmp_path_factory.mktemp('home')
        command = [BROWSER, *options.split(), f'--user-data-dir={home}', '--window-size=1300,1000', '--dump-dom']
        done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
        assert 'CONSOLE' not in done.stderr, done.stderr
        probe = re.search(r'<pre id="probe">(.+?)</pre>', done.stdout, re.DOTALL)
        assert probe is not None
        return json.loads(html.unescape(probe[1]))

    return dump


@pytest.fixture(scope='module')
def opened(folder, dumped):
    """What the probe found in a view, at a width of the window."""

    def look_at(hash_, width=1200):
        frame = folder / 'frame.html'
        frame.write_text(FRAME.replace('$HASH', html.escape(hash_)).replace('$WIDTH', str(width)), encoding='utf-8')
        return dumped(frame)

    return look_at


@pytest.mark.parametrize('name', VIEWS)
def test_every_view_opens_without_an_error_and_fits_a_phone(opened, name):
    found = opened(VIEWS[name], width=390)
    assert found['view'] == {'weights': 'layer', 'kept': 'layer', 'dead': 'unit'}.get(name, name)
    assert found['width'] == 390
    assert found['overflow'] <= 0
    assert found['unnamed'] == 0
    assert 'undefined' not in found['text']
    assert 'NaN' not in found['text']


def test_numbers_in_the_browser_are_those_of_the_arrays(opened, folder):
    found = opened('')
    packed = scripts.read_script(folder / 'data' / 'layer_2.js')['maps']
    np.testing.assert_allclose(found['map'], scripts.unpack(packed)[1, 2].ravel(), rtol=1e-12, atol=1e-12)
    assert '2 of 16 units are dead' in found['text']
    assert found['seen'] > 5  # the sections of before are there too


def test_a_link_restores_the_view_and_names_stay_text(opened):
    found = opened(VIEWS['layer'])
    assert found['chosen'] == ['conv3', 'patches', 'selectivity']
    assert found['seen'] == 2  # the head of the page and the microscope
    first = opened(VIEWS['unit'])
    assert 'conv3 unit 2' in first['text']
    assert NAMES[1] in first['text']


def test_an_error_in_the_page_is_heard(opened, folder):
    """Of the tests themselves: what the console says reaches them."""
    page, text = folder / 'index.html', (folder / 'index.html').read_text(encoding='utf-8')
    page.write_text(text.replace('<script>setTimeout', '<script>console.error("heard");setTimeout'), encoding='utf-8')
    try:
        with pytest.raises(AssertionError, match='heard'):
            opened('')
    finally:
        page.write_text(text, encoding='utf-8')


def test_what_is_not_there_is_said(opened, folder):
    assert 'no layer nowhere' in opened('#layer=nowhere')['text']
    assert 'has units 0 to 4' in opened('#layer=conv3&unit=99')['text']
    assert 'The maps of image 9999 are not kept' in opened('#image=9999')['text']
    moved = (folder / 'data' / 'layer_2.js').rename(folder / 'moved')
    try:
        assert 'data/layer_2.js is missing' in opened('#layer=conv3')['text']
    finally:
        moved.rename(folder / 'data' / 'layer_2.js')


def test_the_list_of_runs_sorts_by_a_click_what_was_not_evaluated_last(dumped, tmp_path):
    def listed(name, top1):
        metrics = [{'step': 9, 'seconds': 1.0, 'split': 'test', 'top1': top1}] if top1 is not None else []
        return Listed(tmp_path / name, {'experiment': 'lenet', 'options': {}, 'started': name}, metrics)

    page = write_index(tmp_path, [listed('a', 0.9), listed('b', None), listed('c', 0.05), listed('d', 0.1)])
    probe = """<script>
      const place = document.createElement('pre');
      const orders = ['Result', 'Result', 'Started'].map(function (name) {
        const heads = Array.from(document.querySelectorAll('th button'));
        heads.find(function (one) { return one.textContent === name; }).click();
        return Array.from(document.querySelectorAll('tbody th'), function (cell) { return cell.textContent; }).join('');
      });
      place.id = 'probe';
      place.textContent = JSON.stringify(orders);
      document.body.append(place);
    </script></body>"""
    page.write_text(page.read_text(encoding='utf-8').replace('</body>', probe), encoding='utf-8')
    assert dumped(page) == ['cdab', 'adcb', 'abcd']
