"""The screenshots of the README: pictures of the width that is promised, small enough, of the page that is there."""

import io

import numpy as np
import pytest
from PIL import Image
from test_report_browser import BROWSER

from benchmarks import screenshots


def test_a_page_that_is_not_whole_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(screenshots.shutil, 'which', lambda name: '/bin/false')
    assert screenshots.main([f'--workdir={tmp_path}', f'--output={tmp_path}']) == 2
    assert '--mode=report' in capsys.readouterr().err


@pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed: no page was opened')
def test_each_picture_is_of_its_own_address(tmp_path, monkeypatch):
    report = tmp_path / 'report'
    (report / 'data').mkdir(parents=True)
    (report / 'data' / 'training.js').write_text('')
    page = '<body style="margin:0"><script>document.body.style.background = location.hash.slice(1)</script></body>'
    (report / 'index.html').write_text(page)
    shots = tuple(screenshots.Shot(name, name, 300) for name in ('red', 'blue'))
    monkeypatch.setattr(screenshots, 'SHOTS', shots)
    assert screenshots.main([f'--workdir={tmp_path}', f'--output={tmp_path / "pictures"}']) == 0
    for shot, colour in zip(shots, ((255, 0, 0), (0, 0, 255)), strict=True):
        with Image.open(tmp_path / 'pictures' / f'{shot.name}.png') as picture:
            assert picture.size == (screenshots.WIDTH, 300)
            assert picture.convert('RGB').getpixel((9, 9)) == colour


def test_a_picture_of_many_colours_is_made_smaller():
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'PNG')
    assert len(screenshots.packed(buffer.getvalue())) < screenshots.MOST_BYTES < len(buffer.getvalue())
