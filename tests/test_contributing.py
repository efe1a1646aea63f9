"""CONTRIBUTING.md is true: what is added is one new file, and the contract tests find it and say what it lacks.

`data/contributing` has such files, at the places where they would be added: a model, a data source, an experiment, two
pictures, a task, a mode, and a test of each. They are copied into a checkout of their own, beside others that lack
something, and the contract tests run on them there, in one process.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
ADDED = ROOT / 'tests' / 'data' / 'contributing'
NEEDED = (
    *('cnn_jax', 'experiments', 'tests', 'docs', 'benchmarks', 'README.md', 'CONTRIBUTING.md', 'llms.txt'),
    *('pyproject.toml', 'zensical.toml'),
)
CONTRACTS = (
    *('forms', 'models', 'models_counts', 'data_sources', 'experiments', 'streams', 'visualize_attribution'),
    *('visualize_contract', 'tasks_contract', 'tasks_pages', 'modes', 'modes_typed', 'workdir_trust', 'layering'),
    *('documents', 'docs', 'errors', 'export_contract'),
)
NAMES = ('network_in_network', 'outlines', 'filter_spectra', 'squared_gradient', 'ordinal', 'list_classes')
OF_ALL_FILES = ('no_file_is_in_a_circle', 'few_rooms', 'has_a_docstring', 'looking_at_all_modes', 'means_one_thing')
# The tests that say what a faulty file lacks; of these files the others are nobody's question.
SAYING = (
    *('has_the_form', 'takes_part', 'numbers_of_a_docstring', 'policy', 'remat_is_there', 'takes_two_steps'),
    *('comes_back', 'rows_are_as_described', 'no_more_than_a_chunk'),
)


class Faulty(NamedTuple):
    """A copy of an added file under another name, with something left out.

    Attributes:
        file: which.
        name: of the copy.
        old: what is replaced, a pattern.
        new: by what.
        said: what a contract test says, a pattern.
    """

    file: str
    name: str
    old: str
    new: str
    said: str


MODEL, EXPERIMENT = 'cnn_jax/models/network_in_network.py', 'experiments/network_in_network_outlines.py'
MAP, PICTURE = 'cnn_jax/visualize/squared_gradient.py', 'cnn_jax/visualize/filter_spectra.py'
SOURCE, TASK, MODE = 'cnn_jax/data/outlines.py', 'cnn_jax/tasks/ordinal.py', 'cnn_jax/modes/list_classes.py'
FAULTY = [
    Faulty(MODEL, 'faulty_dtype', r'    dtype: .*\n', '', r'give the class \w+ a field `dtype: '),
    Faulty(MODEL, 'faulty_remat', r'    remat: .*\n', '', r'give the class \w+ a field `remat: bool = False`'),
    Faulty(MODEL, 'faulty_variants', r'VARIANTS.*', '', r'add `VARIANTS = '),
    Faulty(MODEL, 'faulty_head', r'logits if self.dtype.*', 'logits', r'end with `return logits if self\.dtype is'),
    Faulty(MODEL, 'faulty_layer', r' +dtype=self.dtype,\n', '', r'with bfloat16 these give conv1 \(float32\)'),
    Faulty(MODEL, 'faulty_wrap', r'nn\.remat\(.*\) if self\.remat else ', '', r'wrap its blocks .* in `nn\.remat`'),
    Faulty(MODEL, 'faulty_count', '966,986', '966,985', r'gives 966,985 and .*; the net has 966,986 parameters'),
    Faulty(MODEL, 'faulty_macs', '222,486,528', '222 M', r'says `61,706 parameters and 416,520 multiply-adds on'),
    Faulty(SOURCE, 'faulty_small', 'write_small', 'write_them', r'add `write_small\(folder\)`'),
    Faulty(SOURCE, 'faulty_size', r'\*, batch_size', 'batch_size', r'make the argument batch_size of `load` a keyword'),
    Faulty(EXPERIMENT, 'faulty_smoke', 'smoke', 'quick', r'give `experiment` the argument `smoke: bool = False`'),
    Faulty(EXPERIMENT, 'faulty_steps', '2 if smoke', '3 if smoke', r'take two steps where `smoke` is True'),
    Faulty(PICTURE, 'faulty_draw', 'def draw', 'def paint', r'add `def draw\(arrays\) -> Figure`'),
    Faulty(MAP, 'faulty_chunk', ', chunk(: int.*None|=chunk)', '', r'give `attribute` the keyword `chunk: '),
    Faulty(MAP, 'faulty_unit', r'UNIT = .*', '', r'add `UNIT = '),
    Faulty(MAP, 'faulty_blind', 'return scores.*', 'return jax.numpy.ones(images.shape)', r'the net is run, by'),
    Faulty(TASK, 'faulty_summary', 'def summarise', 'def summary', r'define `summarise` in Ordinal'),
    Faulty(TASK, 'faulty_kept', 'def arguments', 'def given', r'give the task an `arguments` property'),
    Faulty(MODE, 'faulty_command', 'python -m.*', 'It lists.', r'the line `python -m cnn_jax'),
]


def copy(checkout: Path) -> None:
    """What the contract tests read, and the added and faulty files at their places."""
    without = shutil.ignore_patterns('contributing', 'test_contributing.py', 'pictures')
    for source in map(ROOT.joinpath, NEEDED):
        if source.is_dir():
            shutil.copytree(source, checkout / source.name, ignore=without)
        else:
            shutil.copy2(source, checkout / source.name)
    shutil.copytree(ADDED, checkout, dirs_exist_ok=True, ignore=shutil.ignore_patterns('__pycache__'))
    for one in FAULTY:
        text = (ADDED / one.file).read_text(encoding='utf-8')
        changed = re.sub(one.old, one.new, text).replace(Path(one.file).stem, one.name)
        (checkout / one.file).with_name(f'{one.name}.py').write_text(changed, encoding='utf-8')


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory) -> dict[str, str]:
    """What failed of each contract test that looks at the added files, '' for nothing; by its name."""
    checkout = tmp_path_factory.mktemp('checkout')
    copy(checkout)
    tests = [
        *(f'tests/test_{name}.py' for name in CONTRACTS),
        *(file.relative_to(ADDED).as_posix() for file in (ADDED / 'tests').iterdir() if file.suffix == '.py'),
    ]
    faulty, saying = ' or '.join(one.name for one in FAULTY), ' or '.join(SAYING)
    selected = ' or '.join((*NAMES, *OF_ALL_FILES, f'(({faulty}) and ({saying}))'))
    options = ['-n0', '-q', '--tb=line', '--junitxml=found.xml', '-p', 'no:cacheprovider', '-k', selected]
    command = [sys.executable, '-m', 'pytest', *options, *tests]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = {}
    for case in ElementTree.parse(checkout / 'found.xml').iter('testcase'):
        wrong = [one.get('message') or '' for one in case if one.tag in ('failure', 'error')]
        found[f'{case.get("classname")}::{case.get("name")}'] = '\n'.join(wrong)
    return found


def of_file(outcomes: dict[str, str], name: str) -> dict[str, str]:
    return {test: said for test, said in outcomes.items() if name in test}


@pytest.mark.parametrize(
    ('name', 'least'),
    [
        *(('network_in_network', 23), ('outlines', 21), ('filter_spectra', 9), ('squared_gradient', 16)),
        *(('ordinal', 8), ('list_classes', 10)),
    ],
)
def test_what_is_added_is_one_file_and_its_test(outcomes, name, least):
    found = of_file(outcomes, name)
    assert len(found) >= least, found
    assert not any(found.values()), found


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        *(('network_in_network', 'a model family'), ('network_in_network_outlines', 'an experiment')),
        *(('outlines', 'a data source'), ('filter_spectra', 'a picture'), ('squared_gradient', 'an attribution')),
        *(('ordinal', 'a task'), ('list_classes', 'a mode')),
    ],
)
def test_the_contracts_of_a_kind_are_those_that_contributing_names(outcomes, name, kind):
    document = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    (row,) = (line for line in document.splitlines() if line.startswith(f'| {kind} |'))
    of_all = {'forms', 'layering', 'errors', 'documents', 'docs'}
    tests = [test for test in outcomes if re.search(rf'\b{name}\b', test)]
    found = {test.partition('::')[0].removeprefix('tests.test_') for test in tests}
    assert {one for one in found if name not in one} - of_all == {*re.findall(r'`(\w+)`', row.split('|')[-2])}


def test_what_looks_at_all_files_agrees(outcomes):
    for name in OF_ALL_FILES:
        found = of_file(outcomes, name)
        assert found, name
        assert not any(found.values()), found


@pytest.mark.parametrize('faulty', FAULTY, ids=lambda faulty: faulty.name)
def test_what_a_file_lacks_is_said_in_a_sentence_with_its_place(outcomes, faulty):
    wrong = [said for said in of_file(outcomes, faulty.name).values() if said]
    place = Path(faulty.file).parent.as_posix()
    sentences = [line for said in wrong for line in said.splitlines() if re.search(faulty.said, line)]
    assert sentences, wrong
    assert f'{place}/{faulty.name}' in sentences[0]


@pytest.mark.parametrize(
    ('name', 'contract'),
    [('faulty_variants', 'models'), ('faulty_unit', 'visualize_contract'), ('faulty_size', 'data_sources')],
)
def test_a_file_that_a_contract_leaves_out_fails_there_and_is_told_why(outcomes, name, contract):
    (said,) = (said for test, said in of_file(outcomes, name).items() if f'test_{contract}::' in test and said)
    assert 'takes no part in this contract until it has its form' in said
    assert re.search(next(one.said for one in FAULTY if one.name == name), said)
