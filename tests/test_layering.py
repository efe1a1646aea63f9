"""The shape of the code: rooms in one order, no import against it, no circle; files and functions stay short.

A room is a file at the root of `cnn_jax/`, or a folder there; its floor is the longest chain of imports below it.
`python tests/test_layering.py` prints the rooms and floors, and the files that a training run enters.
"""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / 'cnn_jax').rglob('*.py'), *(ROOT / 'experiments').rglob('*.py')])
MOST_FILE_LINES, MOST_FUNCTION_LINES, MEDIAN_FUNCTION_LINES = 300, 60, 12
MOST_ROOMS, MOST_FLOORS = 38, 11

# A room imports only from those before it.
ORDER = [
    'errors',
    'files',
    'experiment_file',
    'options',
    'streams',
    'ops',
    'data',
    'tracing',
    'devices',
    'layers',
    'statistics',
    'drawing',
    'losses',
    'describe',
    'optim',
    'models',
    'weights',
    'tasks',
    'steps',
    'experiment',
    'features',
    'ablation',
    'freeze',
    'experiments',
    'workdir',
    'visualize',
    'report',
    'evaluation',
    'training',
    'prediction',
    'ablate',
    'compare',
    'export',
    'modes',
    'main',
]


def name_of(path: Path) -> str:
    """'models.lenet' for cnn_jax/models/lenet.py, 'experiments.lenet_digits' for an experiment."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(part for part in parts if part not in ('cnn_jax', '__init__'))


def room_of(name: str) -> str:
    return name.partition('.')[0]


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    """The project's modules that a file imports anywhere, as names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = '.'.join(path.relative_to(ROOT).parts[: -node.level]) if node.level else ''
            within = '.'.join(filter(None, (package, node.module)))
            modules = [f'{within}.{alias.name}' for alias in node.names]
        else:
            continue
        found |= {_existing(module) for module in modules if module.split('.')[0] in ('cnn_jax', 'experiments')}
    return frozenset(found - {'', name_of(path)})


def _existing(module: str) -> str:
    """`module` without the names that are not modules themselves."""
    parts = module.split('.')
    while parts and not (
        (ROOT / Path(*parts)).with_suffix('.py').exists() or (ROOT / Path(*parts) / '__init__.py').exists()
    ):
        parts.pop()
    return '.'.join(part for part in parts if part != 'cnn_jax')


def arrows(files: list[Path], name=name_of) -> dict[str, set[str]]:
    """Who imports whom, by name; a package's own face, its `__init__`, counts as what it hands on."""
    found: dict[str, set[str]] = {name(path): set() for path in files}
    for path in files:
        found[name(path)] |= imports_of(path)
    return found


def rooms() -> dict[str, set[str]]:
    """Which rooms of `cnn_jax/` each room imports."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        name = name_of(path)
        if name and path.is_relative_to(ROOT / 'cnn_jax'):
            own = room_of(name)
            found.setdefault(own, set()).update({room_of(other) for other in imports_of(path)} - {own})
    return found


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """The length of the longest chain from each name down; AssertionError for a circle."""
    known: dict[str, int] = {}

    def floor(name: str, way: tuple[str, ...]) -> int:
        assert name not in way, f'a circle: {" -> ".join([*way[way.index(name) :], name])}'
        if name not in known:
            known[name] = 1 + max((floor(other, (*way, name)) for other in graph.get(name, ())), default=0)
        return known[name]

    for name in graph:
        floor(name, ())
    return known


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_imports_go_one_way(path):
    own = room_of(name_of(path))
    if not own:
        return
    assert own in ORDER, f'{own} has no place: give it one in ORDER'
    for other in imports_of(path):
        room = room_of(other)
        assert room == own or ORDER.index(room) < ORDER.index(own), f'{name_of(path)} imports {other}, against ORDER'


def test_no_file_is_in_a_circle():
    floors(arrows(FILES))
    benchmarks = sorted((ROOT / 'benchmarks').rglob('*.py'))
    graph = {}
    for path in benchmarks:
        tree = ast.walk(ast.parse(path.read_text()))
        names = {
            f'{node.module}.{alias.name}'
            for node in tree
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('benchmarks')
            for alias in node.names
        }
        graph[name_of(path)] = {_existing(name) for name in names} - {name_of(path)}
    floors(graph)


def test_few_rooms_on_few_floors():
    graph = rooms()
    assert len(graph) <= MOST_ROOMS
    assert max(floors(graph).values()) <= MOST_FLOORS


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_FILE_LINES, f'{path.name} has {lines} lines: make two files of it, each with one role'
    for function in functions_of(path):
        lines = body_lines(function)
        assert lines <= MOST_FUNCTION_LINES, f'{function.name} in {path.name} has {lines} lines: make two functions'


def test_the_median_function_is_short():
    lengths = sorted(body_lines(function) for path in FILES for function in functions_of(path))
    assert lengths[len(lengths) // 2] <= MEDIAN_FUNCTION_LINES


def test_no_drawers():
    names = {path.name for path in FILES}
    assert not names & {'utils.py', 'helpers.py', 'common.py', 'misc.py', 'base.py'}


def test_ops_do_not_know_flax():
    for path in (ROOT / 'cnn_jax' / 'ops').rglob('*.py'):
        assert not any(re.match(r'\s*(import|from) (flax|optax)', line) for line in path.read_text().splitlines())


def test_text_files_are_read_and_written_as_utf8():
    """Windows has another encoding where none is given."""
    for path in FILES:
        for call in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
                text = call.func.attr in ('read_text', 'write_text') or (
                    call.func.attr == 'open' and modes in (['r'], ['w'], ['a'], ['x'])
                )
                where = f'{name_of(path)}, line {call.lineno}'
                assert not text or 'encoding' in [option.arg for option in call.keywords], where


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


if __name__ == '__main__':
    graph = rooms()
    height = floors(graph)
    for room in sorted(graph, key=lambda name: (height[name], name)):
        print(f'{height[room]:>2}  {room:<12} imports {", ".join(sorted(graph[room])) or "nothing"}')
    print(f'{len(graph)} rooms on {max(height.values())} floors, {sum(map(len, graph.values()))} arrows')
