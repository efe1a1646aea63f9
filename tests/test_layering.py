"""The shape of the code: a file imports only from layers above its own, and stays short."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / 'cnn_jax').rglob('*.py'), *(ROOT / 'experiments').rglob('*.py')])
MOST_FILE_LINES, MOST_FUNCTION_LINES, MEDIAN_FUNCTION_LINES = 300, 60, 12

# Top layer first. A name covers the module and all below it; the longest name that fits counts.
LAYERS = [
    ['errors'],
    ['cluster', 'sharding'],
    ['ops', 'data.formats', 'data.order', 'sinks'],
    [
        'losses',
        'metrics',
        'optim',
        'parallel',
        'checkpoint',
        'lock',
        'log',
        'stop',
        'options',
        'data.pipeline',
        'data.augment',
    ],
    ['layers'],
    ['initialize'],
    ['models', 'data'],
    ['describe', 'weights', 'visualize'],
    ['features'],
    ['gradient'],
    ['steps', 'feed'],
    ['experiment'],
    ['ablation'],
    ['freeze'],
    ['experiments'],
    ['precise'],
    ['evaluate', 'meter', 'workdir', 'report', 'not_finite', 'watchdog'],
    ['exam'],
    ['restore', 'loop'],
    ['visualize_mode', 'protocols'],
    ['train', 'verify', 'benchmark_mode'],
    ['ablate'],
    ['compare'],
    ['modes', 'help'],
    ['main'],
]
# Modules of one layer may import each other only within one of these.
PACKAGES = [
    'ops',
    'data.formats',
    'layers',
    'describe',
    'report',
    'weights',
    'visualize',
    'ablate',
    'compare',
    'protocols',
    'sinks',
]


def name_of(path: Path) -> str:
    """'models.lenet' for cnn_jax/models/lenet.py, 'experiments.lenet_digits' for an experiment."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(part for part in parts if part not in ('cnn_jax', '__init__'))


def layer_of(name: str) -> tuple[int, str]:
    """The number of a module's layer and the entry of LAYERS that says so."""
    fitting = [
        (len(entry), number, entry)
        for number, entries in enumerate(LAYERS)
        for entry in entries
        if name == entry or name.startswith(entry + '.')
    ]
    assert fitting, f'{name} has no layer: give it one in tests/test_layering.py'
    return max(fitting)[1:]


def imports_of(path: Path) -> set[str]:
    """The project's modules that a file imports anywhere, as names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        for module in modules:
            if module.split('.')[0] in ('cnn_jax', 'experiments'):
                found.add(_existing(module))
    return {name for name in found if name}


def _existing(module: str) -> str:
    """`module` without the names that are not modules themselves."""
    parts = module.split('.')
    while parts and not (
        (ROOT / Path(*parts)).with_suffix('.py').exists() or (ROOT / Path(*parts) / '__init__.py').exists()
    ):
        parts.pop()
    return '.'.join(part for part in parts if part != 'cnn_jax')


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_imports_go_upwards_only(path):
    name = name_of(path)
    if not name:
        return
    own, entry = layer_of(name)
    for other in imports_of(path):
        layer, other_entry = layer_of(other)
        if layer == own:
            same_package = entry == other_entry and entry in PACKAGES
            varied = entry == 'experiments' and len([o for o in imports_of(path) if o.startswith('experiments')]) == 1
            assert same_package or varied, f'{name} imports {other}, which is beside it'
        else:
            assert layer < own, f'{name} imports {other}, which is below it'


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    assert len(path.read_text().splitlines()) <= MOST_FILE_LINES
    for function in functions_of(path):
        assert body_lines(function) <= MOST_FUNCTION_LINES, f'{function.name} in {path.name}'


def test_the_median_function_is_short():
    lengths = sorted(body_lines(function) for path in FILES for function in functions_of(path))
    assert lengths[len(lengths) // 2] <= MEDIAN_FUNCTION_LINES


def test_no_drawers():
    names = {path.name for path in FILES}
    assert not names & {'utils.py', 'helpers.py', 'common.py', 'misc.py', 'base.py'}


def test_ops_do_not_know_flax():
    for path in (ROOT / 'cnn_jax' / 'ops').rglob('*.py'):
        assert not any(re.match(r'\s*(import|from) (flax|optax)', line) for line in path.read_text().splitlines())


def test_flags_are_in_main_alone():
    for path in FILES:
        if path.name != 'main.py':
            assert 'absl import flags' not in path.read_text()


def functions_of(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0
