"""The pictures of the methods on the page: each with its settings, maps with what they are worth beside them."""

import functools
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.drawing import page
from cnn_jax.files.archive import read_npz
from cnn_jax.report import tables
from cnn_jax.report.parts import part
from cnn_jax.statistics.intervals import mean_interval
from cnn_jax.visualize.engine import methods
from cnn_jax.visualize.engine.honesty_picture import shown, with_reach

START, END = '<!-- pictures -->', '<!-- end of pictures -->'
CHECK = '_honesty'  # how the name of a check's files ends
CHECKED = ('correlation', 'insertion_score', 'deletion_score')  # in such a file
_INSIDE = ('filters', 'feature_maps', 'top_patches')
_ORDER = (*_INSIDE, 'gradient', 'guided_backprop', 'deconvnet', 'gradient_times_input', 'integrated_gradients')
_SPACE = ('neighbours', 'embedding', 'image_grid')
_CHECK_NOTE = (
    'Beneath each map is the same map with the weights shuffled from the last layer downwards, its rank correlation '
    'with the map of the trained weights, and the probability of what is explained as the strongest pixels of the '
    'picture come first (insertion: high is good) or go first (deletion: low is good). The numbers are means over test '
    'images, with 95 % intervals; the last column counts the images whose map says something, and - stands where none '
    'does.'
)
_MADE_NOTE = (
    'An image is changed step by step until a class, a unit or a layer says more. It shows what is enough for the net, '
    'not all that it looks for; how natural it looks is due to the regulariser, which the settings name.'
)


Checks = Mapping[str, Mapping[str, np.ndarray]]
"""The numbers of the checks, by the name of the picture."""


class Picture(NamedTuple):
    """A picture of a method: its files' name without the ending, and the settings that lie in the numbers."""

    file: Path
    settings: Mapping[str, Any]

    @property
    def method(self) -> str:
        return str(self.settings['method'])

    @property
    def is_made(self) -> bool:
        """Whether it was made by optimisation, with colours measured on images of the run."""
        return 'measured on' in self.settings

    @property
    def check(self) -> Path | None:
        """The files of the check beside it; None if there is none."""
        found = self.file.with_name(self.file.name + CHECK)
        return found if found.with_suffix('.npz').exists() else None


def pictures(workdir: Path) -> list[Picture]:
    """What the methods have written into `figures/`, from the weights to the decision."""
    found = []
    for file in sorted((workdir / 'figures').glob('*.npz')):
        if file.stem.endswith(CHECK) or not file.with_suffix('.png').exists():
            continue
        settings = part(f'figures/{file.name}', functools.partial(_settings, file), otherwise={})
        if 'method' in settings:
            found.append(Picture(file.with_suffix(''), settings))
    return sorted(found, key=lambda one: _ORDER.index(one.method) if one.method in _ORDER else len(_ORDER))


def _settings(file: Path) -> dict[str, Any]:
    arrays = read_npz(file, lambda names: [name for name in names if name == 'settings'])
    settings = json.loads(str(arrays['settings'])) if arrays else {}
    if not isinstance(settings, dict):
        raise TypeError('its settings have no names')
    return settings


def section(workdir: Path) -> str:
    """All pictures of a work folder as HTML. `replaced` finds them again by the marks around them."""
    found = pictures(workdir)
    made = [one for one in found if one.is_made]
    maps = [one for one in found if one.method not in _INSIDE + _SPACE and not one.is_made]
    checks = _checks(maps)
    compared = part('what its maps are worth', lambda: _comparison(checks), otherwise='')
    blind = part('what shuffled layers leave', lambda: _blindness(checks), otherwise='')
    parts = [
        _group('Inside the network', '', [one for one in found if one.method in _INSIDE]),
        _group('Pictures made by optimisation', _MADE_NOTE, made),
        _group('Why it decided so', f'{_CHECK_NOTE} {blind}', maps, compared),
        _group('The test images as the network sees them', '', [one for one in found if one.method in _SPACE]),
    ]
    return f'{START}\n{"".join(parts)}\n{END}'


def replaced(old: str, workdir: Path) -> str | None:
    """An old page with the pictures that are in `figures/` now; None if it has no marks."""
    before, start, rest = old.partition(START)
    _, end, after = rest.partition(END)
    return before + section(workdir) + after if start and end else None


def _group(title: str, note: str, found: Sequence[Picture], more: str = '') -> str:
    if not found:
        return ''
    return page.section(title, note.strip(), more + ''.join(map(_figure_or_none, found)))


def _figure_or_none(picture: Picture) -> str:
    return part(f'figures/{picture.file.name}.png', functools.partial(_figure, picture), otherwise='')


def _figure(picture: Picture) -> str:
    settings = picture.settings
    of = [f'layer {settings["layer"]}'] if settings.get('layer') else []
    of += [f'unit {settings["unit"]}'] if settings.get('unit') is not None else []
    title = escape(' · '.join([picture.method.replace('_', ' '), *of]))
    about = methods.available().get(picture.method, '')
    found = [f'ReLUs found: {settings["relus"]}.'] if 'relus' in settings else []
    images = [_image(picture.file, title)]
    images += [_image(picture.check, f'{title}: what it is worth')] if picture.check else []
    caption = escape(' '.join([about, *found, f'Numbers: figures/{picture.file.name}.npz.']))
    table = tables.values('', _flat(settings))
    return (
        f'<figure class="picture" id="{escape(picture.file.name)}"><h3>{title}</h3>{"".join(images)}'
        f'<figcaption>{caption}</figcaption><details><summary>Settings</summary>{table}</details></figure>'
    )


def _image(file: Path, title: str) -> str:
    source = page.image_source(file.with_name(file.name + '.png').read_bytes())
    return f'<img src="{source}" alt="{title}" loading="lazy">'


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without levels: what is inside an entry has both names."""
    rows: dict[str, Any] = {}
    for name, value in settings.items():
        inner = {f'{name}.{key}': one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        rows |= inner
    return rows


def _checks(maps: Sequence[Picture]) -> Checks:
    """The numbers of the checks, by the name of the picture."""
    found = {}
    for one in maps:
        if one.check:
            file = one.check.with_suffix('.npz')
            arrays = part(f'figures/{file.name}', functools.partial(_check_numbers, file), otherwise={})
            found |= {one.file.name: arrays} if arrays else {}
    return found


def _check_numbers(file: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(file, lambda names: [name for name in names if name != 'maps'])
    if missing := [name for name in CHECKED if name not in arrays or not arrays[name].ndim]:
        raise ValueError(f'it has no {", ".join(missing)}')
    return arrays


def _comparison(checks: Checks) -> str:
    """A table of all checks: the correlations and the two scores, means with 95 % intervals, or '-'."""
    rows = []
    for name, arrays in checks.items():
        values = [*arrays['correlation'][[min(1, len(arrays['correlation']) - 1), -1]]]
        values += [arrays[f'{score}_score'] for score in ('insertion', 'deletion')]
        means = [mean_interval(value) for value in values]
        cells = [with_reach(one.mean, one.reach) for one in means] + [str(int(means[2].count))]
        numbers = ''.join(f'<td class="number">{cell}</td>' for cell in cells)
        rows.append(f'<tr><th scope="row"><a href="#{escape(name)}">{escape(name)}</a></th>{numbers}</tr>')
    heads = ('rank correlation, last layer shuffled', 'all variables shuffled', 'insertion', 'deletion', 'images')
    head = ''.join(f'<th scope="col" class="number">{text}</th>' for text in heads)
    table = f'<table><thead><tr><th scope="col">Map</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>' if rows else ''


def _blindness(checks: Checks) -> str:
    """How much of guided backpropagation's map stays without what was learned."""
    kept = {
        name: mean_interval(arrays['correlation']).mean[1:]
        for name, arrays in checks.items()
        if len(arrays['correlation']) > 1
    }
    pairs = [(name, name.removeprefix('guided_backprop')) for name in kept if name.startswith('guided_backprop')]
    found = [(kept[name], kept[f'gradient{of}']) for name, of in pairs if f'gradient{of}' in kept]  # of one image
    if not found:
        return ''
    guided, plain = ([shown(value) for value in values] for values in found[0])
    return (
        f'As layers are shuffled, guided backpropagation keeps a correlation of {", ".join(guided)}, the gradient '
        f'{", ".join(plain)}: a map that hardly changes says little of what was learned. Adebayo et al. 2018 '
        '(arXiv:1810.03292) found guided backpropagation nearly blind to the weights.'
    )
