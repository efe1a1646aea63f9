"""The files of experiments: where they are, how they are run as modules, and what they are made of.

Ours are modules of a private package that is loaded from its place on the disk. So a folder or package `experiments` of
the user's own never stands in for ours. A file of the user's own finds the modules beside it, whatever the current
folder is.
"""

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnn_jax.errors import CnnJaxError, check_shortage, closest, unknown

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
# In a checkout they stand beside the package; where it is installed they are within, see setup.py.
FOLDER = PACKAGE / 'experiments' if (PACKAGE / 'experiments').is_dir() else ROOT / 'experiments'
OURS = '_cnn_jax_experiments'  # the name of the package that our files are modules of
FROM_PYTHON = '(from Python)'  # in the place of an experiment's name, where no file makes it
OWN = '_experiment'  # begins the names of the modules that files of the user's own are

_before: dict[Path, set[str]] = {}  # folders of files of the user's own: what was imported before they were entered
_appended: set[str] = set()  # of these folders, those that were put on the path


def names() -> list[str]:
    """Every experiment of ours."""
    files = [path.relative_to(FOLDER) for path in FOLDER.rglob('*.py') if not path.name.startswith('_')]
    return sorted(file.with_suffix('').as_posix() for file in files)


def available() -> dict[str, str]:
    """Every experiment of ours and the first line of its docstring, read without running the files."""
    found = {}
    for name in names():
        text = (FOLDER / f'{name}.py').read_text(encoding='utf-8')
        found[name] = (ast.get_docstring(ast.parse(text)) or '').partition('\n')[0]
    return found


def is_own(name: str) -> bool:
    """Whether the name of an experiment is the path of a file, and not that of one of ours."""
    return name.endswith('.py')


def find(name: str) -> Path:
    """The file of an experiment; CnnJaxError for a name that none has."""
    if not is_own(name):
        if name not in (known := names()):
            name = name.removeprefix('experiments/')
            said = unknown('experiment', name, known, rest='--list shows all')
            raise CnnJaxError(f'{said}; or give the path of a .py file of your own')
        return FOLDER / f'{name}.py'
    path = Path(name).expanduser()
    if not os.path.isfile(path):  # which says False of a name that is too long
        beside = sorted(other.name for other in path.parent.glob('*.py')) if os.path.isdir(path.parent) else []
        near = closest(path.name, beside)[:5]
        what = f'; {path.parent.resolve()} has {", ".join(near)}' if near else ''
        ours = f', such as {path.stem}' if path.stem in names() else ''
        raise CnnJaxError(
            f'no such experiment file: {name}{what}; give the path of a .py file, or a name that --list shows{ours}'
        )
    return path.resolve()


def run(path: Path) -> Any:
    """The module of an experiment's file. A file of the user's own runs anew at each call.

    Raises:
        CnnJaxError: a file of the user's own fails; the line says where.
    """
    path = path.resolve()
    if path.is_relative_to(FOLDER):
        return importlib.import_module('.'.join([_ours(), *path.relative_to(FOLDER).with_suffix('').parts]))
    with beside(path), explained(path):
        return _run(_module_name(path), path)


def has_run(path: Path) -> bool:
    """Whether a file of the user's own has been run in this process."""
    return _module_name(path.resolve()) in sys.modules


def _module_name(path: Path) -> str:
    """The name of the module that a file of the user's own is."""
    place = hashlib.sha256(str(path).encode(errors='surrogateescape')).hexdigest()[:8]
    return '.'.join([*_package_of(path.parent), f'{OWN}_{path.stem}_{place}'])


def _ours() -> str:
    """The name of the package of our experiments, which is loaded if it is not."""
    if OURS not in sys.modules:
        _run(OURS, FOLDER / '__init__.py')
    return OURS


def _run(name: str, path: Path) -> Any:
    search = [str(path.parent)] if path.name == '__init__.py' else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
    assert spec is not None  # a .py path always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses, which modules of Flax are, look up their annotations
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _package_of(folder: Path) -> tuple[str, ...]:
    """('models', 'mine') where the folder is in packages: it and those above it have an `__init__.py`."""
    parts: tuple[str, ...] = ()
    while (folder / '__init__.py').is_file() and folder.name.isidentifier():
        parts, folder = (folder.name, *parts), folder.parent
    return parts


def _top_of(path: Path) -> Path:
    """The folder from which the packages of a file are imported; its own where it is in none."""
    depth = len(_package_of(path.parent))
    return path.parents[depth]


@contextlib.contextmanager
def beside(path: Path) -> Iterator[None]:
    """While the block runs, imports find first what lies beside a file of the user's own; afterwards last.

    Modules that lay beside a file in another folder are forgotten: both may have a `model.py`. For a file of ours the
    block runs as it is.
    """
    if path.is_relative_to(FOLDER):
        yield
        return
    folder = _top_of(path)
    _enter(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))  # for what the experiment imports later
            _appended.add(str(folder))


def _enter(folder: Path) -> None:
    for other, before in _before.items():
        if other != folder:
            for name in _modules_of(other, before):
                if not name.startswith(OWN):  # these have names that no other file has
                    del sys.modules[name]
            if str(other) in _appended:
                _appended.remove(str(other))
                with contextlib.suppress(ValueError):  # someone else has changed the path
                    sys.path.remove(str(other))
    _before.setdefault(folder, set(sys.modules))


def _modules_of(folder: Path, before: set[str]) -> list[str]:
    """The modules in a folder that were imported since it was entered, with those of packages there."""
    tops = {
        name
        for name, module in list(sys.modules.items())
        if '.' not in name and name not in before and _lies_in(module, folder)
    }
    return [name for name in sys.modules if name.partition('.')[0] in tops]


def _lies_in(module: Any, folder: Path) -> bool:
    """Whether a module that is in no package is a file or a folder in `folder`."""
    places = [Path(place).resolve() for place in getattr(module, '__path__', ())]
    file = getattr(module, '__file__', None)
    places += [Path(file).resolve()] if file and not places else []
    return any(place.parent == folder for place in places)


@contextlib.contextmanager
def explained(path: Path, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """What a file of the user's own, or a module beside it, raises in the block is one line that says where.

    Args:
        path: of the file; what one of ours raises is not touched.
        but: errors that mean something else.

    Raises:
        CnnJaxError: instead of what is raised.
    """
    try:
        yield
    except (CnnJaxError, *but):
        raise
    except Exception as error:
        check_shortage(error)
        if path.is_relative_to(FOLDER):
            raise
        raise CnnJaxError(_what_failed(error, path)) from error


def _what_failed(error: Exception, path: Path) -> str:
    """Which line of the user's own files led to an error."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own_code(frame.filename, path)]
    file, line = (own[-1].filename, own[-1].lineno) if own else (str(path), None)
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    said = f'{file}{f", line {line}" if line else ""}: {type(error).__name__}: {error}'
    if isinstance(error, ModuleNotFoundError) and (error.name or '').partition('.')[0] == 'experiments':
        return f"{said}; an experiment of ours is had by cnn_jax.experiment.function('lenet_digits')"
    return f'{said}; mend that file, --debug shows the traceback'


def _is_own_code(file: str, path: Path) -> bool:
    """Whether a line of a traceback stands in the user's own files, not in a package that is installed below them."""
    code = Path(file)
    return code.is_relative_to(_top_of(path)) and 'site-packages' not in code.parts and PACKAGE not in code.parents


def sources(name: str) -> dict[str, Path]:
    """The files that an experiment of the user's own is made of, so far as they have run: it, and modules beside it.

    By name relative to its folder, or to the one that its packages are imported from; none for an experiment of ours.
    """
    if not is_own(name):
        return {}
    path = Path(name).resolve()
    top = _top_of(path)
    modules = [sys.modules[other] for other in _modules_of(top, _before.get(top, set(sys.modules)))]
    files = [Path(file).resolve() for module in modules if (file := getattr(module, '__file__', None))]
    kept = [path, *(file for file in files if file.suffix == '.py' and file.is_relative_to(top) and file.is_file())]
    return {file.relative_to(top).as_posix(): file for file in kept}
