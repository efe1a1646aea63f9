"""Every command that a document shows is one that the command line takes: its flags, options, methods and settings."""

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnn_jax import experiment, experiment_file, main, modes, options
from cnn_jax.devices.stop import StopRequest
from cnn_jax.modes._command import Command
from cnn_jax.visualize.engine import methods
from cnn_jax.workdir.log import Log
from docs.generate import reference

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'llms.txt', *(ROOT / 'docs' / 'pages').rglob('*.md')]
MODULES = [
    *(ROOT / 'experiments').rglob('[a-z]*.py'),
    *(ROOT / 'cnn_jax' / 'modes').glob('[a-z]*.py'),
    *(ROOT / 'cnn_jax' / 'visualize').glob('[a-z]*.py'),
    *(ROOT / 'docs' / 'lecture').glob('[0-9]*.py'),
]
START = 'python -m cnn_jax.main'
A_WORD_FOR_ONE = {'NAME', 'RUN', 'X'}  # an experiment, a run, a mode of the reader's


def commands(text: str) -> Iterator[str]:
    """The commands of a text, each on one line, the variables of the shell in them replaced."""
    text = re.sub(r' *\\\n\s*(?:# )?', ' ', text)
    named = dict(re.findall(r"""^\s*([A-Z]+)=["'](.*)["']$""", text, re.MULTILINE))
    for line in text.splitlines():
        if line.strip('# `').startswith(START):
            yield re.sub(r'\$([A-Z]+)', lambda found: named.get(found[1], found[0]), line.strip('# `'))


def shown() -> Iterator[tuple[str, str]]:
    """Each command with where it stands."""
    for path in [*PAGES, *MODULES]:
        text = path.read_text(encoding='utf-8')
        if path.suffix == '.py' and 'lecture' not in path.parts:
            text = ast.get_docstring(ast.parse(text)) or ''
        for command in commands(text):
            yield path.relative_to(ROOT).as_posix(), command


SHOWN = sorted(set(shown()))


def test_the_documents_show_commands():
    assert len(SHOWN) > 100
    assert len({path for path, _ in SHOWN}) > 50


@pytest.mark.parametrize('path', sorted({path for path, _ in SHOWN}))
def test_a_command_is_one_that_the_command_line_takes(path):
    for command in [command for where, command in SHOWN if where == path]:
        words = [word for word in shlex.split(command, comments=True)[3:] if word != '...']
        given = Command('', None, {}, {}, [], StopRequest(), Log(None))
        main._parse(words, given)
        named = given.flags.experiment
        if named and named not in A_WORD_FOR_ONE and not named.endswith('.py'):
            assert named in experiment_file.available(), f'{path}: there is no experiment {named}: {command}'
            known = {option.name for option in options.signature(experiment.function(named))}
            unknown = {*given.options, *given.groups.get('vary', ())} - known
            assert not unknown, f'{path}: {named} has no option {", ".join(unknown)}: {command}'
        if 'method' in given.flags and given.flags.method not in (None, *A_WORD_FOR_ONE):
            settings = {setting.name for setting in methods.settings(methods.load(given.flags.method))}
            unknown = {*given.groups['set']} - settings - {'NAME'}
            assert not unknown, f'{path}: {given.flags.method} has no setting {", ".join(unknown)}: {command}'


@pytest.mark.parametrize('name', modes.names())
def test_a_mode_shows_a_command(name):
    """Below the line that `--help` has of it; that it is of this mode is part of its form, in forms.py."""
    assert list(commands((inspect.getdoc(modes.find(name)) or '').partition('\n')[2]))


def test_the_links_of_the_documents_lead_to_files():
    """Those to generated pages, to the scripts or parts that they are made of."""
    for page in PAGES:
        for link in re.findall(r'\]\((?!https?:|#)([^)#\s]+)', page.read_text(encoding='utf-8')):
            target = (page.parent / link).resolve()
            places = [target, ROOT / 'docs' / 'lecture' / f'{target.stem}.py', ROOT / 'docs' / 'lecture' / target.name]
            generated = target.parent.name == 'reference' and target.stem in reference.PARTS
            assert generated or any(place.exists() for place in places), (page.name, link)
