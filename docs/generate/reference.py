"""The reference: a page for each part of the package, with every public name that has a definition there.

Names are found without importing anything. A public name without a docstring is an error: it would be an empty entry.
"""

import ast
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from docs.generate import examples

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / 'cnn_jax'


class Part(NamedTuple):
    """A page: its title, a sentence about it, and the modules whose names stand on it."""

    title: str
    about: str
    modules: tuple[str, ...]


# A module that says __all__ has those names; another has what it defines without a leading underscore.
PARTS = {
    'start': Part('cnn_jax', 'What a notebook imports first: `load` and `train`, and the net that `load` gives.',
                  ('cnn_jax', 'cnn_jax.prediction.net', 'cnn_jax.experiment', 'cnn_jax.features', 'cnn_jax.freeze')),
    'ops': Part('Operations', 'Pure functions on arrays; they import no Flax.',
                ('cnn_jax.ops', 'cnn_jax.ops.filters', 'cnn_jax.ops.boxes')),
    'teaching': Part('Operations, as the lecture writes them', 'Loops, im2col, Fourier and Winograd: slow, and equal.',
                     ('cnn_jax.ops.teaching.*',)),
    'layers': Part('Layers', 'Linen modules that wrap one operation each.', ('cnn_jax.layers',)),
    'models': Part('Models', 'One file for each family: a class, and `VARIANTS` by name.', ('cnn_jax.models.*',)),
    'losses': Part('Losses and optimizers', 'What optax does not have.', ('cnn_jax.losses', 'cnn_jax.optim')),
    'tasks': Part('Tasks', 'What an answer is: its loss, its metric, how it is read and drawn.',
                  ('cnn_jax.tasks.task', 'cnn_jax.tasks.*')),
    'data': Part('Data', 'One file for each source, and what changes a batch on the device.', ('cnn_jax.data.*',)),
    'visualize': Part('Looking inside', 'One file for each method.', ('cnn_jax.visualize.*',)),
    'statistics': Part('Is it more than noise?', 'Ablations as papers report them, and what a difference is worth.',
                       ('cnn_jax.ablation', 'cnn_jax.statistics.*')),
    'weights': Part('Weights', 'From other libraries, and ours.', ('cnn_jax.weights', 'cnn_jax.weights.imagenet')),
}  # fmt: skip


def write(folder: Path) -> list[tuple[str, str]]:
    """Writes a page for each part into a folder; returns (title, file) in order.

    Raises: ValueError with the list of public names that have no docstring.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bare = [found for part in PARTS.values() for module in modules(part) for found in undocumented(module)]
    if bare:
        raise ValueError('public names without a docstring: ' + ', '.join(bare))
    pages = []
    for name, part in PARTS.items():
        found = examples.read(name)
        before = [f'The examples of this page begin with:\n\n{examples.shown(found.before)}'] if found.before else []
        text = [f'# {part.title}', part.about, *before, *(_section(module, found.sessions) for module in modules(part))]
        (folder / f'{name}.md').write_text('\n\n'.join(text) + '\n', encoding='utf-8')
        pages.append((part.title, f'{name}.md'))
    return pages


def modules(part: Part) -> list[str]:
    """The modules of a part in order; `package.*` stands for the public modules and packages in it."""
    found: list[str] = []
    for name in part.modules:
        package = name.removesuffix('.*')
        if package == name:
            found.append(name)
            continue
        folder = ROOT / package.replace('.', '/')
        below = sorted([*folder.glob('*.py'), *(file.parent for file in folder.glob('*/__init__.py'))])
        names = (f'{package}.{path.stem}' for path in below if not path.stem.startswith('_'))
        found += [name for name in names if name not in found and public(name)]
    return found


def public(module: str) -> list[str]:
    """The public names of a module: its `__all__`, else the functions and classes that it defines."""
    tree = _parse(_path(module))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
            return list(ast.literal_eval(node.value))
    return [node.name for node in _definitions(tree) if not node.name.startswith('_')]


def undocumented(module: str) -> Iterator[str]:
    """The public names of a module whose definitions have no docstring; also the module itself."""
    tree = _parse(_path(module))
    if not ast.get_docstring(tree):
        yield module
    for name in public(module):
        where, node = _definition(module, name)
        if node is not None and not ast.get_docstring(node):
            yield f'{where}.{name}'


def _section(module: str, sessions: Mapping[str, str]) -> str:
    """A heading with the module's docstring, then each of its names: fields, and the example of it in `sessions`.

    A name is written as it is after an import, `cam.attribute`: many modules have a name of the same letters.
    """
    lines = [f'::: {module}', '    options:', '      members: false', '      show_root_heading: true', '']
    for name in public(module):
        where, node = _definition(module, name)
        if node is not None:
            heading = f'      heading: {module.rpartition(".")[2]}.{name}'
            lines += [f'::: {where}.{name}', '    options:', '      heading_level: 3', heading, '']
            if fields := fields_of(where, node):
                lines += ['Fields, with their defaults:', '', f'```python\n{fields}\n```', '']
            if session := sessions.get(f'{module}.{name}'):
                lines += [examples.shown(session), '']
    return '\n'.join(lines)


def fields_of(module: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    """The fields of a class as they are written, '' for none: those of a Linen module or a named tuple.

    They have no signature in the reference: their `__init__` is written nowhere. Those of a dataclass have one.
    """
    if not isinstance(node, ast.ClassDef) or node.decorator_list:
        return ''
    source = _path(module).read_text(encoding='utf-8').splitlines()
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and ast.unparse(one.target)[0] != '_']
    lines = [line for one in fields for line in source[one.lineno - 1 : one.end_lineno]]
    return textwrap.dedent('\n'.join(lines))


def _definition(module: str, name: str) -> tuple[str, ast.FunctionDef | ast.ClassDef | None]:
    """Where a name is defined, and its definition; it may be imported from another module of ours under another."""
    tree = _parse(_path(module))
    for node in _definitions(tree):
        if node.name == name:
            return module, node
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('cnn_jax'):
            for alias in node.names:
                if (alias.asname or alias.name) == name and _is_module(str(node.module)):
                    where, found = _definition(str(node.module), alias.name)
                    return where, found if alias.name == name else None
    return module, None


def _definitions(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def _is_module(module: str) -> bool:
    path = ROOT / module.replace('.', '/')
    return path.is_dir() or path.with_suffix('.py').exists()


def _path(module: str) -> Path:
    path = ROOT / module.replace('.', '/')
    return path / '__init__.py' if path.is_dir() else path.with_suffix('.py')


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'), str(path))
