"""The microscope in a real browser, from `file://`: every view opens, its numbers are the arrays, links restore it.

All views also pass axe, an accessibility checker, in both themes.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_report_microscope import NAMES, look, make_run

from cnn_jax.report import write_report
from cnn_jax.report.listed import Listed
from cnn_jax.report.microscope import made, scripts
from cnn_jax.report.runs import write_index

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed: the pages were not opened')
VIEWS = {
    'overview': '',
    'layer': '#layer=conv3&lens=patches&sort=selectivity',
    'weights': '#layer=conv1&lens=weights&scale=unit',
    'range': '#layer=conv1&lens=map&scale=all',
    'kept': '#layer=pool2&lens=weights&sort=norm&scale=unit',  # what was chosen for a layer that has weights
    'unit': '#layer=conv3&unit=2',
    'dead': '#layer=conv1&unit=1',
    'image': '#page=image',
    'maps': '#page=image&twins=1&class=1',
    'alive': '#page=alive&window=conv3&of=1&cam=conv3',
    'made': '#layer=conv1&lens=optimised',
}
AXE = Path(__file__).parent.parent / 'node_modules' / 'axe-core' / 'axe.min.js'
# Runs in the page when it has settled, and leaves what it found where `--dump-dom` shows it.
CUT = (Path(__file__).parent / 'browser' / 'cut.js').read_text(encoding='utf-8')
PROBE = (
    f'<script>{CUT}</script>'
    + """<script>setTimeout(function () {
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
    cut: cutTexts(),
    empty: emptyFigures(),
    unnamed: document.querySelectorAll('#microscope img:not([alt]), #microscope canvas:not([aria-label])').length,
    seen: parts.filter(function (one) { return one.offsetHeight; }).length,
    map: map,
  };
  window.parent.postMessage(JSON.stringify(found), '*');
}, 800);</script></body>"""
)
# The page in a frame, for a window of its own is never narrower than 500 pixels.
FRAME = """<!doctype html><iframe src="index.html$HASH" style="width: $WIDTHpx; height: 900px; border: 0"></iframe>
<pre id="probe"></pre><script>addEventListener('message', function (event) {
  document.getElementById('probe').textContent = event.data;
});</script>"""


WAIT = 'function wait() { return new Promise(function (then) { setTimeout(then, 400); }); }'


def made_up(run, training, layers, most, told):
    """In the place of `made.optimised`, which takes long."""
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 12, 12, 1), dtype=np.uint8)  # of the first 2 units
    one = {
        'images': scripts.pack_bytes(images),
        'activations': [[1.5, 0.5], [1.25, 0.5], [-0.25, 0.5]],
        'kinds': ['optimised', 'another, 2', 'negative'],
        'notes': [['', 'zero gradient'], ['', ''], ['', '']],
        'settings': 'made up',
    }
    return dict.fromkeys(layers, one)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp('browser'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, 'optimised', made_up)
        page = write_report(run, look()._replace(training=look().examples))
    page.write_text(page.read_text(encoding='utf-8').replace('</body>', PROBE), encoding='utf-8')
    return run.workdir / 'report'


def dump(page, home, *more, milliseconds=3000):
    """What stands in the element `probe` of a page after its scripts; home: an empty folder for the browser."""
    assert BROWSER is not None
    options = '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking'
    options += ' --disable-component-update --disable-sync --enable-logging=stderr --window-size=1300,1000 --dump-dom'
    own = [f'--virtual-time-budget={milliseconds}', f'--user-data-dir={home}']
    command = [BROWSER, *options.split(), *own, *more]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert 'CONSOLE' not in done.stderr, done.stderr
    probe = re.search(r'<pre id="probe">(.+?)</pre>', done.stdout, re.DOTALL)
    assert probe is not None
    return json.loads(html.unescape(probe[1]))


@pytest.fixture(scope='module')
def dumped(tmp_path_factory):
    def of(page, flags=(), **settings):
        return dump(page, tmp_path_factory.mktemp('home'), *flags, **settings)

    return of


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
    assert found['view'] == {
        'weights': 'layer',
        'range': 'layer',
        'kept': 'layer',
        'made': 'layer',
        'dead': 'unit',
        'maps': 'image',
    }.get(name, name)
    assert found['width'] == 390
    assert found['overflow'] <= 0
    assert found['unnamed'] == 0
    assert (found['cut'], found['empty']) == ([], [])
    assert 'undefined' not in found['text']
    assert 'NaN' not in found['text']


def test_numbers_in_the_browser_are_those_of_the_arrays(opened, folder):
    found = opened('')
    packed = scripts.read_script(folder / 'data' / 'layer_2.js')['maps']
    np.testing.assert_allclose(found['map'], scripts.unpack(packed)[1, 2].ravel(), rtol=1e-12, atol=1e-12)
    assert '2 of 16 units are dead' in found['text']
    assert found['seen'] > 5  # the sections of before are there too


def test_one_range_of_colours_for_the_unit_the_layer_or_all_layers(folder, dumped):
    script = (
        WAIT
        + """
    const found = {};
    for (const lens of ['map', 'weights']) for (const scale of ['unit', 'layer', 'all']) {
      location.hash = '#layer=conv1&lens=' + lens + '&scale=' + scale;
      await wait();
      found[lens + ' ' + scale] = document.querySelector('#microscope .bar span:last-child').textContent;
    }
    return found;"""
    )
    found = within(folder, dumped, script)
    data = [scripts.read_script(folder / 'data' / f'layer_{number}.js') for number in range(4)]
    weights = [data[0]['kernels'], data[2]['incoming']['kernels'], data[3]['incoming']['kernels']]
    for lens, own in (('map', [one['maps'] for one in data]), ('weights', weights)):
        assert found[f'{lens} unit'] == 'largest of the unit'
        assert float(found[f'{lens} layer']) == pytest.approx(own[0]['limit'], rel=0.01)
        assert float(found[f'{lens} all']) == pytest.approx(max(one['limit'] for one in own), rel=0.01)


def test_a_link_restores_the_view_and_names_stay_text(opened):
    found = opened(VIEWS['layer'])
    assert found['chosen'] == ['conv3', 'patches', 'selectivity']
    assert found['seen'] == 2  # the head of the page and the microscope
    first = opened(VIEWS['unit'])
    assert 'conv3 unit 2' in first['text']
    assert NAMES[1] in first['text']
    dead = opened(VIEWS['dead'])['text']
    assert 'no patch excites it more than another' in dead
    assert 'What it uses of them' in first['text']
    assert 'What it uses of them' not in dead


def within(folder, dumped, script, *, page='index.html', **settings):
    """What a script, the body of an async function, returns in the page."""
    text = (folder / page).read_text(encoding='utf-8').replace(PROBE, '</body>')
    page = folder / 'probed.html'
    probe = (
        '<pre id="probe"></pre><script>(async function () {'
        + script
        + """})().then(function (found) {
      document.getElementById('probe').textContent = JSON.stringify(found);
    }, function (error) { console.error(error); });</script></body>"""
    )
    page.write_text(text.replace('</body>', probe), encoding='utf-8')
    return dumped(page, **settings)


needs_axe = pytest.mark.skipif(not AXE.exists(), reason='axe-core is not installed: make lint installs it')


def serious(folder, dumped, theme, hashes, page='index.html'):
    """What axe finds in the views of a page, in the 'dark' or the 'light' theme, of the impacts that count."""
    axe = AXE.read_text(encoding='utf-8').replace('</script>', '<\\/script>')
    script = (
        axe
        + WAIT
        + 'const found = []; for (const hash of '
        + json.dumps(hashes)
        + """) {
      location.hash = hash || '#page=overview';
      await wait();
      document.querySelectorAll('details').forEach(function (one) { one.open = true; });
      const result = await axe.run(document, { resultTypes: ['violations'] });
      result.violations.forEach(function (one) { found.push([hash, one.impact, one.id, one.nodes[0].html]); });
    }
    return [matchMedia('(prefers-color-scheme: dark)').matches, found];"""
    )
    flag = f'--blink-settings=preferredColorScheme={0 if theme == "dark" else 1}'
    is_dark, found = within(folder, dumped, script, page=page, flags=(flag,), milliseconds=60_000)
    assert is_dark == (theme == 'dark')
    return [one for one in found if one[1] in ('serious', 'critical')]


@needs_axe
@pytest.mark.parametrize('theme', ['dark', 'light'])
def test_axe_finds_nothing_serious(folder, dumped, theme):
    assert serious(folder, dumped, theme, list(VIEWS.values())) == []


def test_a_choice_keeps_the_focus(folder, dumped):
    script = (
        WAIT
        + """
    location.hash = '#layer=conv3';
    await wait();
    const sort = document.querySelectorAll('#microscope select')[2];
    sort.focus();
    sort.value = 'selectivity';
    sort.dispatchEvent(new Event('change'));
    await wait();
    const now = document.activeElement;
    return [location.hash, now.tagName, now.value, now === sort];"""
    )
    assert within(folder, dumped, script) == ['#layer=conv3&sort=selectivity', 'SELECT', 'selectivity', False]


def test_a_drawing_goes_through_the_net(folder, dumped):
    """By pointer and by keys; the page says what it computes, and a link to the view opens with the image again."""
    script = (
        WAIT
        + """
    location.hash = '#page=alive&window=conv3&of=1';
    await wait();
    const here = CNN_JAX.views.alive;
    function scores() { return Array.from(here.pass.output('scores')); }
    const said = document.querySelector('.drawing figcaption').textContent;
    const found = { said: said, scores: scores(), image: Array.from(here.drawn.pixels) };
    const pad = document.querySelector('.pad');
    const place = pad.getBoundingClientRect();
    pad.setPointerCapture = function () {};  // of a pointer that is none
    function point(kind, x, y) {
      const at = { clientX: place.left + x * place.width, clientY: place.top + y * place.height, pointerId: 1 };
      pad.dispatchEvent(new PointerEvent(kind, at));
    }
    document.querySelector('.drawing button').click();
    found.cleared = Array.from(here.drawn.pixels);
    point('pointerdown', 0.25, 0.5); point('pointermove', 0.75, 0.5); point('pointerup', 0.75, 0.5);
    await wait();
    found.drawn = Array.from(here.drawn.pixels);
    found.after = scores();
    pad.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowUp', shiftKey: true }));
    await wait();
    found.keyed = Array.from(here.drawn.pixels);
    found.sum = document.querySelector('.sum').textContent;
    found.hash = location.hash;
    location.hash = '#page=overview';
    await wait();
    here.drawn = null;
    location.hash = found.hash;
    await wait();
    found.opened = Array.from(here.drawn.pixels);
    return found;"""
    )
    found = within(folder, dumped, script)
    data = scripts.read_script(folder / 'data' / 'alive.js')
    assert re.search(r'to within 0\.00000\d\d\.', found['said'])
    np.testing.assert_allclose(found['scores'], data['scores'][0], atol=1e-4)
    np.testing.assert_array_equal(found['image'], scripts.unpack(data['pixels'])[0].ravel())
    assert not any(found['cleared'])
    drawn = np.reshape(found['drawn'], (12, 12))
    assert drawn[5:7, 3:9].min() > 100
    assert not drawn[:4].any()
    assert found['after'] != found['scores']
    assert np.reshape(found['keyed'], (12, 12))[4:6, 6].max() > 100
    sums = [
        float(one.replace('\u2212', '-'))
        for one in re.findall(r'(?:sum to|maps to|gives) (\u2212?\d+(?:\.\d+)?)', found['sum'])
    ]
    assert sums[2] == pytest.approx(np.tanh(sums[1]), abs=0.02)  # conv3 has no bias, and a tanh
    assert found['hash'].startswith('#page=alive&window=conv3&of=1&drawn=')  # the keys stayed on the pad
    assert found['opened'] == found['keyed']


def test_a_finger_draws_and_a_second_one_or_another_button_does_not(folder, dumped):
    script = (
        WAIT
        + """
    location.hash = '#page=alive';
    await wait();
    const here = CNN_JAX.views.alive, pad = document.querySelector('.pad'), place = pad.getBoundingClientRect();
    pad.setPointerCapture = function () {};  // of a pointer that is none
    document.querySelector('.drawing button').click();
    function point(kind, id, x, y, button) {
      const at = { clientX: place.left + x * place.width, clientY: place.top + y * place.height, pointerId: id };
      pad.dispatchEvent(new PointerEvent(kind, Object.assign(at, { pointerType: 'touch', button: button || 0 })));
    }
    const found = { scrolls: getComputedStyle(pad).touchAction };
    point('pointerdown', 1, 0.25, 0.25, 2);
    point('pointermove', 1, 0.75, 0.25, 2);
    point('pointerup', 1, 0.75, 0.25, 2);
    found.button = here.drawn.pixels.some(Boolean);
    point('pointerdown', 7, 0.25, 0.25);
    point('pointerdown', 8, 0.75, 0.75);
    point('pointermove', 7, 0.5, 0.25);
    point('pointermove', 8, 0.25, 0.75);
    point('pointerup', 8, 0.25, 0.75);
    point('pointermove', 7, 0.75, 0.25);
    point('pointerup', 7, 0.75, 0.25);
    point('pointermove', 7, 0.75, 0.9);
    found.drawn = Array.from(here.drawn.pixels);
    return found;"""
    )
    found = within(folder, dumped, script)
    assert found['scrolls'] == 'none'  # a finger on the pad does not move the page
    assert not found['button']
    drawn = np.reshape(found['drawn'], (12, 12))
    assert drawn[2:4, 3:9].min() > 100  # one stroke of the first finger
    assert not drawn[5:].any()


def test_patches_that_leave_a_unit_as_the_others_do_are_not_among_those_that_excite_it(folder, dumped):
    script = """location.hash = 'layer=conv3&unit=1';
    await wait();
    const layer = CNN_JAX.data.layer_2, unit = 2;
    layer.top.values[unit] = layer.top.values[unit].map(function (_, place) { return place ? layer.low[unit] : 3; });
    location.hash = 'layer=conv3&unit=2';
    await wait();
    const figure = document.querySelector('#microscope .tops');
    return [figure.querySelectorAll('.patches button').length, figure.querySelector('.note').textContent];"""
    found = within(folder, dumped, WAIT + script)
    assert found == [1, 'No other image excites it.']


def test_a_layer_that_reads_no_pixel_has_no_patches_and_says_so(folder, dumped):
    """As one that stands on a question alone."""
    script = """location.hash = 'layer=conv3&unit=1';
    await wait();
    const top = CNN_JAX.data.layer_2.top;
    top.boxes = top.boxes.map(function (boxes) { return boxes.map(function () { return [0, 0, 0, 0]; }); });
    location.hash = 'layer=conv3&unit=2';
    await wait();
    const told = document.getElementById('microscope').innerText;
    location.hash = 'layer=conv3&lens=patches';
    await wait();
    return [told, Array.from(document.querySelectorAll('#microscope option'), function (one) { return one.value; })];"""
    told, offered = within(folder, dumped, WAIT + script)
    assert 'None: this layer does not look at the image.' in told
    assert 'mean' in offered
    assert 'patches' not in offered


def test_a_unit_shows_its_map_up_to_its_own_largest(folder, dumped):
    script = """location.hash = 'layer=conv3&unit=2';
    await wait();
    const layer = CNN_JAX.data.layer_2, picture = paint.picture(layer.maps, [CNN_JAX.mapPlace(layer), 2]);
    const figures = Array.from(document.querySelectorAll('#microscope figure'));
    const figure = figures.find(function (one) { return one.innerText.startsWith('Map of'); });
    return [figure.innerText, short(paint.largest(picture)), short(layer.maps.limit)];"""
    text, own, of_layer = within(folder, dumped, WAIT + script)
    assert own != of_layer
    assert own in text
    assert of_layer not in text


def test_an_error_in_the_page_is_heard(opened, folder):
    """Of the tests themselves: what the console says reaches them."""
    page, text = folder / 'index.html', (folder / 'index.html').read_text(encoding='utf-8')
    page.write_text(text.replace('<script>setTimeout', '<script>console.error("heard");setTimeout'), encoding='utf-8')
    try:
        with pytest.raises(AssertionError, match='heard'):
            opened('')
    finally:
        page.write_text(text, encoding='utf-8')


@pytest.mark.parametrize('truth', ['', 'a cat'])
def test_what_a_task_draws_stands_with_its_words_where_it_has_some(folder, opened, truth):
    """A net that paints has nothing to say in words."""
    data, images = folder / 'data' / 'drawn.js', folder / 'data' / 'images.js'
    kept = [(path, path.read_text(encoding='utf-8')) for path in (data, images)]
    about = scripts.read_script(images)
    own = {'source': about['all'][0]['source'], 'remark': 'loss 1', 'told': []}
    silent = [{**one, 'truth': truth, 'answer': '', 'right': None, 'top': []} for one in about['all']]
    try:
        rows = [about['all'][place]['row'] for place in about['chosen']]
        scripts.write_script(folder / 'data', 'drawn', {'rows': rows, 'images': [own] * len(rows)})
        scripts.write_script(folder / 'data', 'images', about | {'all': silent})
        found = opened('#page=image')
    finally:
        for path, text in kept:
            path.write_text(text, encoding='utf-8')
    assert found['empty'] == []
    assert ('In words' in found['text']) == bool(truth)
    assert ('What is right, and what the net says' in found['text']) == bool(truth)
    assert ('what the net makes of it' in found['text']) != bool(truth)


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
