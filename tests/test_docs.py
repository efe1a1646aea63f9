"""The documents: the pages of the lecture as scripts, the reference as a list of names, requests of a built page.

The pages are run by `make docs`, not here; the examples of the reference are run here.
"""

import ast
import doctest
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from docs.generate import __main__ as generate
from docs.generate import cells, check, examples, links, reference, run_page

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / 'docs' / 'lecture').glob('[0-9]*.py'))
SITE = tomllib.loads((ROOT / 'zensical.toml').read_text(encoding='utf-8'))['project']

PARTS = sorted({file.stem.partition('-')[0] for file in examples.FOLDER.glob('*.txt')})
WITHOUT = {  # an example: constants, what another name shows, and what needs a network or seconds
    *('cnn_jax.visualize.grad_cam.maps_and_gradients', 'cnn_jax.visualize.grad_cam.weighted_maps'),
    *('cnn_jax.visualize.invert.inversion', 'cnn_jax.visualize.occlusion.Seen', 'cnn_jax.visualize.occlusion.look'),
    # These ascend, which takes seconds to compile each; class_images and deep_dream show how that is called.
    *(f'cnn_jax.visualize.{name}.visualize' for name in ('invert', 'multifaceted', 'units')),
    *(f'cnn_jax.data.{name}.write_small' for name in ('coco', 'coco_captions', 'flic', 'pet', 'visual7w', 'voc')),
    *('cnn_jax.weights.hub', 'cnn_jax.weights.imagenet.MEAN', 'cnn_jax.weights.imagenet.STD'),
}


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.stem)
def test_a_page_begins_with_its_title_and_shows_what_it_explains(script):
    found = cells.read(script)
    assert len(cells.title(script)) < 60
    assert [cell.line for cell in found] == sorted(cell.line for cell in found)
    titles = [line for cell in found for line in cell.text.splitlines() if cell.kind == 'markdown' and line[:2] == '# ']
    assert titles == [f'# {cells.title(script)}']
    code = '\n\n'.join(cell.text for cell in found if cell.kind == 'code')
    assert any(
        isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'show' for node in ast.walk(ast.parse(code))
    )


@pytest.mark.parametrize('script', [*SCRIPTS, ROOT / 'docs' / 'lecture' / 'nets.py'], ids=lambda script: script.stem)
def test_a_page_trains_quietly(script):
    """So that its log is not on the page, and a page of small nets says that they are."""

    def calls(node, name):
        return [one for one in ast.walk(node) if isinstance(one, ast.Call) and ast.unparse(one.func) == name]

    tree = ast.parse(script.read_text(encoding='utf-8'))
    quiet = [node for node in ast.walk(tree) if isinstance(node, ast.With) and calls(node.items[0], 'quiet')]
    within = {id(call) for node in quiet for call in calls(node, 'cnn_jax.train')}
    assert {id(call) for call in calls(tree, 'cnn_jax.train')} == within


def test_the_pages_are_numbered_from_1_and_all_stand_in_the_site():
    assert [script.stem[:2] for script in SCRIPTS] == [f'{number:02}' for number in range(1, len(SCRIPTS) + 1)]
    (lecture,) = [part['The lecture'] for part in SITE['nav'] if 'The lecture' in part]
    assert lecture == ['lecture/index.md', *(f'lecture/{script.stem}.md' for script in SCRIPTS)]


def test_the_reference_stands_in_the_site():
    (pages,) = [part['Reference'] for part in SITE['nav'] if 'Reference' in part]
    assert pages == ['reference/index.md', *(f'reference/{name}.md' for name in reference.PARTS)]


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('import jax\n# %%\n1\n', 'line 1: it stands before the first cell'),
        ('# %%\n1\n', 'has no title'),
        ('# %% [markdown]\n# # A\n\n# %%\n\n# %%\n1\n', 'line 5: the cell is empty'),
        ('# %% [markdown]\n# # A\nprint(1)\n', 'line 3: '),
    ],
)
def test_a_script_that_is_no_page_is_named_with_its_line(tmp_path, text, said):
    (tmp_path / '01_a.py').write_text(text)
    with pytest.raises(ValueError, match=r'01_a\.py') as raised:
        cells.read(tmp_path / '01_a.py')
    assert said in str(raised.value)


def test_an_arxiv_id_is_a_link_but_in_code_and_in_a_link():
    text = 'VGG (2014, arXiv:1409.1556), old arXiv:0706.1234.\n`arXiv:1409.1556` [it](https://a.b/arXiv:1409.1556)\n'
    fence = '```\ncode  # arXiv:1409.1556\n```\n'
    link = '[arXiv:{0}](https://arxiv.org/abs/{0})'
    said = f'VGG (2014, {link.format("1409.1556")}), old {link.format("0706.1234")}.\n' + text.partition('\n')[2]
    assert links.linked(text + fence) == said + fence
    assert links.linked(said) == said


def test_a_page_links_its_sources(tmp_path, monkeypatch):
    script = tmp_path / '01_a.py'
    script.write_text('# %% [markdown]\n# # A\n#\n# He 2015, arXiv:1512.03385.\n\n# %%\nprint("arXiv:1512.03385")\n')
    monkeypatch.setitem(sys.modules, 'page', SimpleNamespace())
    monkeypatch.setattr(sys, 'path', [*sys.path])
    run_page.write(script, tmp_path)
    page = (tmp_path / '01_a.md').read_text()
    assert 'He 2015, [arXiv:1512.03385](https://arxiv.org/abs/1512.03385).' in page
    assert '\narXiv:1512.03385\n' in page  # what was printed stands as it was


def test_the_reference_has_the_public_names_and_demands_their_docstrings(tmp_path, monkeypatch):
    package = tmp_path / 'cnn_jax'
    package.mkdir()
    (package / '__init__.py').write_text('"""A."""\nfrom cnn_jax.inner import seen, bare\n__all__ = ["bare", "seen"]\n')
    (package / 'inner.py').write_text('"""B."""\ndef seen():\n    """Sees."""\ndef bare(): ...\ndef _own(): ...\n')
    monkeypatch.setattr(reference, 'ROOT', tmp_path)
    assert reference.public('cnn_jax') == ['bare', 'seen']
    assert reference.public('cnn_jax.inner') == ['seen', 'bare']
    assert list(reference.undocumented('cnn_jax')) == ['cnn_jax.inner.bare']
    parts = {'all': reference.Part('All', 'Both.', ('cnn_jax',))}
    monkeypatch.setattr(reference, 'PARTS', parts)
    with pytest.raises(ValueError, match=r'cnn_jax\.inner\.bare'):
        reference.write(tmp_path / 'pages')
    (package / 'inner.py').write_text('"""B."""\ndef seen():\n    """Sees."""\ndef bare():\n    """Bare."""\n')
    assert reference.write(tmp_path / 'pages') == [('All', 'all.md')]
    assert '::: cnn_jax.inner.seen' in (tmp_path / 'pages' / 'all.md').read_text()


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """The pages of the reference by their names, without their ending."""
    folder = tmp_path_factory.mktemp('reference')
    pages = reference.write(folder)  # demands a docstring of every public name
    assert {file for _, file in pages} == {path.name for path in folder.iterdir()}
    return {page.stem: page.read_text(encoding='utf-8') for page in folder.iterdir()}


def test_every_public_name_of_the_package_has_a_docstring(written):
    operations = written['ops']
    assert '::: cnn_jax.ops.geometry.output_size' in operations
    assert '>>> ops.output_size(7, 3, stride=2)' in operations.partition('::: cnn_jax.ops.geometry.output_size')[2]


def test_a_layer_shows_its_fields_and_a_name_its_module(written):
    layers = written['layers']
    assert "padding: str | int | tuple = 'valid'" in layers.partition('::: cnn_jax.layers.conv.Conv2D')[2]
    assert '```python\nrate: float\n```' in layers.partition('heading: layers.Dropout')[2]
    assert '      heading: cam.attribute\n' in written['visualize']
    assert 'Fields' not in written['losses']  # functions alone
    for page in written.values():
        headings = [line for line in page.splitlines() if ' heading: ' in line]
        assert headings
        assert len(set(headings)) == len(headings)


def test_each_page_of_the_reference_has_examples():
    assert sorted(reference.PARTS) == PARTS


def test_two_examples_of_one_name_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, 'FOLDER', tmp_path)
    assert examples.read('ops') == ('', {})
    one = 'cnn_jax.ops.box\n---\n>>> 1\n1\n\n'
    (tmp_path / 'ops.txt').write_text(f'About.\n\n>>> import jax\n\n{one}')
    assert examples.read('ops') == ('>>> import jax', {'cnn_jax.ops.box': '>>> 1\n1'})
    (tmp_path / 'ops-more.txt').write_text(f'>>> import numpy\n\n{one.replace("box", "more")}')
    assert examples.read('ops') == (
        '>>> import jax\n>>> import numpy',
        {'cnn_jax.ops.box': '>>> 1\n1', 'cnn_jax.ops.more': '>>> 1\n1'},
    )
    (tmp_path / 'ops-more.txt').write_text(one)
    with pytest.raises(ValueError, match=r'cnn_jax\.ops\.box'):
        examples.read('ops')
    (tmp_path / 'ops-more.txt').unlink()
    (tmp_path / 'ops.txt').write_text(one + one)
    with pytest.raises(ValueError, match=r'cnn_jax\.ops\.box'):
        examples.read('ops')


def named(module):
    return {f'{module}.{name}' for name in reference.public(module)}


MODULES = [(part, module) for part in PARTS for module in reference.modules(reference.PARTS[part])]


@pytest.mark.parametrize(('part', 'module'), MODULES, ids=[module for _, module in MODULES])
def test_the_names_of_a_module_have_examples(part, module):
    bare = sorted(named(module) - {*examples.read(part).sessions} - WITHOUT)
    own = f'docs/examples/{part}-{module.rpartition(".")[2]}.txt'
    assert not bare, f'add a session for {", ".join(bare)} to docs/examples/{part}.txt, or to a new file {own}'


@pytest.mark.parametrize('part', PARTS)
def test_the_examples_of_a_page_run_and_are_of_its_names(part):
    found = examples.read(part)
    assert {*found.sessions} <= {name for of_part, module in MODULES if of_part == part for name in named(module)}
    text = '\n\n'.join([found.before, *found.sessions.values()])
    parsed = doctest.DocTestParser().get_doctest(text, {}, part, str(examples.FOLDER / f'{part}.txt'), 0)
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL)
    runner.run(parsed, out=said.append)
    assert not said, ''.join(said)
    assert runner.tries > len(found.sessions)


@pytest.mark.parametrize(
    'tag',
    [
        '<script src="https://cdn.example/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/a.css">',
        '<img src="http://host.example/a.png">',
    ],
)
def test_a_page_that_asks_another_host_is_found(tmp_path, tag):
    (tmp_path / 'a.html').write_text(
        f'<a href="https://arxiv.org/abs/1409.1556">a link is none</a><img src="a.png">{tag}'
    )
    (found,) = check.requests(tmp_path)
    assert '.example/a' in found
    (tmp_path / 'a.html').write_text('<a href="https://arxiv.org/abs/1409.1556">a link is none</a><img src="a.png">')
    assert check.requests(tmp_path) == []


def test_a_sheet_that_asks_another_host_is_found(tmp_path):
    (tmp_path / 'a.html').write_text('<p>nothing</p>')
    (tmp_path / 'a.css').write_text('body{background:url(https://host.example/a.png)}')
    assert len(check.requests(tmp_path)) == 1


def test_the_search_of_a_site_that_is_read_from_the_disk_asks_no_other_host():
    """Zensical would load the worker that such a page needs from elsewhere, were there none of ours of this name."""
    project = tomllib.loads((ROOT / 'zensical.toml').read_text(encoding='utf-8'))['project']
    assert 'offline' in project['plugins']
    (shim,) = project['extra']['polyfills']
    assert 'iframe-worker' in shim['path']
    assert (ROOT / 'docs' / 'pages' / shim['path']).is_file()


def test_a_page_of_the_menu_that_is_not_there_is_an_error_unless_it_was_left_out(tmp_path, monkeypatch, capsys):
    (tmp_path / 'zensical.toml').write_text('[project]\nnav = [{"A" = ["lecture/1.md", {"B" = ["a.md"]}]}, "b.md"]\n')
    site, only = tmp_path / 'site', tmp_path / 'only.txt'
    site.mkdir()
    (site / 'a.html').write_text('<p>nothing</p>')
    assert check.absent(site, tmp_path / 'zensical.toml') == ['lecture/1.md', 'b.md']
    monkeypatch.setattr(generate, 'ROOT', tmp_path)
    monkeypatch.setattr(generate, 'ONLY', only)
    assert generate.main([f'--check={site}']) == 1
    assert 'the menu leads to lecture/1.md, which is not there' in capsys.readouterr().out
    only.write_text('zz')
    (site / 'b.html').write_text('<p>nothing</p>')
    assert generate.main([f'--check={site}']) == 0
    assert '1 pages of the lecture are left out by --only=zz' in capsys.readouterr().out
    (site / 'b.html').unlink()
    assert generate.main([f'--check={site}']) == 1
