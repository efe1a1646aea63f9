"""Writes the pages of the site into `build/docs`, from which Zensical builds it; `make docs` does both.

    python -m docs.generate                    # runs the scripts of the lecture that are new or have changed
    python -m docs.generate --only=02          # of the lecture only what begins so
    python -m docs.generate --check=site       # does a page ask another host for something, or is one missing?

A page of the lecture is made again when its script, what the pages share, or the package has changed.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from docs.generate import cells, reference
from docs.generate.check import absent, requests

ROOT = Path(__file__).resolve().parent.parent.parent
LECTURE, PAGES = ROOT / 'docs' / 'lecture', ROOT / 'docs' / 'pages'
BUILT, CACHE = ROOT / 'build' / 'docs', ROOT / 'build' / 'lecture'
ONLY = ROOT / 'build' / 'only.txt'  # what the last build was asked for with --only; not there: all
LONGEST_SECONDS = 600  # of one script; the longest took 181, beside other work, the training of its nets included


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='python -m docs.generate', description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--only', default='', help='run only the scripts that begin with this')
    parser.add_argument(
        '--check', type=Path, help='look through a built site for requests to other hosts and missing pages'
    )
    given = parser.parse_args(arguments)
    try:
        return _check(given.check) if given.check else _generate(given.only)
    except (ValueError, subprocess.SubprocessError) as error:
        print(f'docs: error: {error}', file=sys.stderr)
        return 1


def _check(site: Path) -> int:
    found, missing, good = (
        requests(site),
        absent(site, ROOT / 'zensical.toml'),
        'no page asks another host for anything',
    )
    if ONLY.exists():
        only, lecture = ONLY.read_text(encoding='utf-8'), [page for page in missing if page.startswith('lecture/')]
        missing = [page for page in missing if page not in lecture]
        good += f'; {len(lecture)} pages of the lecture are left out by --only={only}'
    found += [f'{site}: the menu leads to {page}, which is not there; make docs builds it' for page in missing]
    print('\n'.join(found) or f'{site}: {good}')
    return int(bool(found))


def _generate(only: str) -> int:
    BUILT.mkdir(parents=True, exist_ok=True)
    for old in BUILT.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(PAGES, BUILT, dirs_exist_ok=True)
    ONLY.write_text(only, encoding='utf-8') if only else ONLY.unlink(missing_ok=True)
    reference.write(BUILT / 'reference')
    _write_lecture([script for script in scripts_of_lecture() if script.name.startswith(only)])
    return 0


def scripts_of_lecture() -> list[Path]:
    """The scripts of the lecture, in its order."""
    return sorted(LECTURE.glob('[0-9][0-9]_*.py'))


def _write_lecture(scripts: list[Path]) -> None:
    """Runs what has no page yet, copies all pages, and writes the list of them."""
    folder = BUILT / 'lecture'
    folder.mkdir()
    shared = [*(ROOT / 'cnn_jax').rglob('*.py'), *LECTURE.glob('[!0-9]*.py'), *Path(__file__).parent.glob('*.py')]
    package = _digest(sorted(shared), os.environ.get('CNN_JAX_LECTURE', ''))
    for script in scripts:
        done = CACHE / script.stem / _digest([script], package)
        if not done.exists():
            shutil.rmtree(done.parent, ignore_errors=True)
            new = done.with_suffix('.new')
            new.mkdir(parents=True)
            command = [sys.executable, '-m', 'docs.generate.run_page', str(script), str(new)]
            subprocess.run(command, cwd=ROOT, check=True, timeout=LONGEST_SECONDS)
            new.rename(done)
        shutil.copytree(done, folder, dirs_exist_ok=True)
    lines = [f'{number}. [{cells.title(script)}]({script.stem}.md)' for number, script in enumerate(scripts, 1)]
    text = (LECTURE / 'index.md').read_text(encoding='utf-8')
    (folder / 'index.md').write_text(f'{text}\n' + '\n'.join(lines) + '\n', encoding='utf-8')


def _digest(files: list[Path], start: str = '') -> str:
    found = hashlib.sha256(start.encode())
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:20]


if __name__ == '__main__':
    sys.exit(main())
