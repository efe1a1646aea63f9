"""The list of faults: each number has a test whose docstring begins with it, and the tests of the promises exist."""

import ast
import re

import harness

TESTS = harness.ROOT / 'tests'
BY_HAND = {27}  # the soak: benchmarks/soak


def docstrings():
    """File and docstring of every test."""
    for path in sorted(TESTS.rglob('test_*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
                yield path.relative_to(TESTS).as_posix(), node.name, ast.get_docstring(node) or ''


def test_every_fault_has_a_test():
    """The numbers F1 to F32, several at the head of one docstring where a test shows several."""
    found = set()
    for path, _, text in docstrings():
        heads = re.match(r'(F\d+(?:, F\d+)*): ', text)
        assert heads or not path.startswith('faults/') or path == 'faults/test_list.py', (path, text)
        found |= {int(number) for number in re.findall(r'\d+', heads[1])} if heads else set()
    assert found | BY_HAND == set(range(1, 33))
    assert (harness.ROOT / 'benchmarks' / 'soak' / '__main__.py').exists()


def test_the_tests_that_the_promises_name_exist():
    """F1 to F32 as promises."""
    text = (harness.ROOT / 'docs' / 'pages' / 'why' / 'promises.md').read_text()
    named = set(re.findall(r'`(test_\w+)`', text))
    assert len(named) > 10
    assert named <= {name for _, name, _ in docstrings()}
