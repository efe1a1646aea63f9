"""Runs pyright on the Python files that are not as on the main branch, and on those that import them.

    python .ci/changed.py PYRIGHT

All files are checked outside of a checkout, and where what pyright is told or which packages it sees has changed. A
change may also spoil a file that imports none of the changed ones: `make lint ALL=1`, which continuous integration
runs, checks all.
"""

import ast
import functools
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ('cnn_jax', 'experiments', 'benchmarks', 'tests', 'docs')  # as `include` of pyright has them
LEFT_OUT = 'tests/data/contributing/'
PYRIGHT_READS = ('pyproject.toml', 'requirements.txt', 'requirements-core.txt', 'requirements-dev.txt')


def git(*words: str) -> list[str] | None:
    """The lines that git prints; None where it fails."""
    try:
        done = subprocess.run(['git', *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.splitlines()


def changed() -> list[str] | None:
    """The files that differ from the main branch where this branch left it, with new ones; None outside of git."""
    base = next((found for main in ('origin/main', 'main') if (found := git('merge-base', 'HEAD', main))), ['HEAD'])
    edited, new = git('diff', '--name-only', *base), git('ls-files', '--others', '--exclude-standard')
    return None if edited is None or new is None else [*edited, *new]


def is_checked(file: str) -> bool:
    return file.endswith('.py') and file.partition('/')[0] in ROOMS and not file.startswith(LEFT_OUT)


def module_of(file: str) -> str:
    """'cnn_jax.ops' for cnn_jax/ops/__init__.py; a file of the tests is imported by its name alone."""
    parts = Path(file).with_suffix('').parts
    if parts[0] == 'tests':
        return parts[-1]
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


@functools.cache
def imported(file: Path) -> set[str]:
    """The modules that a file imports anywhere, and what may be modules: each name of `from package import name`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = '.'.join(file.relative_to(ROOT).parts[: -node.level]) if node.level else ''
            within = '.'.join(filter(None, (package, node.module)))
            found |= {within, *(f'{within}.{alias.name}' for alias in node.names)}
    return found


def importers(files: set[str]) -> set[str]:
    """Those that import one of the files themselves."""
    modules = {module_of(file) for file in files}
    every = (path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob('*.py'))
    return {file for file in every if is_checked(file) and imported(ROOT / file) & modules} - files


def check(pyright: str) -> int:
    """Runs it, after a line that says on how many files; its exit status, 0 where there is none to look at."""
    found = changed()
    if found is None or set(found) & set(PYRIGHT_READS):
        print('pyright: all files', flush=True)
        return subprocess.run([pyright], cwd=ROOT).returncode
    files = {file for file in found if is_checked(file)}
    there, near = {file for file in files if (ROOT / file).exists()}, importers(files)
    print(f'pyright: {len(there)} changed files, {len(near)} that import them; `make lint ALL=1`: all', flush=True)
    return subprocess.run([pyright, *sorted(there | near)], cwd=ROOT).returncode if there | near else 0


if __name__ == '__main__':
    sys.exit(check(sys.argv[1]))
