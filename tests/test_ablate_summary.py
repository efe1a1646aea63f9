"""The table of an ablation, from run folders that are written here: numbers, verdicts, and the four forms."""

import csv
import io
import json
import re

import numpy as np
import pytest

from cnn_jax.ablate import page, table
from cnn_jax.ablate.grid import make_grid
from cnn_jax.ablate.score import metric_of, note_diverged
from cnn_jax.ablate.summary import judge, summarise
from cnn_jax.ablation import Ablation, Claim
from cnn_jax.statistics.significance import Comparison

TINY = 'tests/tiny_experiment.py'
SEEDS = range(6)
BASE = np.array([0.90, 0.91, 0.92, 0.90, 0.91, 0.92])
SCORES = {'width=4': BASE, 'width=5': BASE + np.array([0.05, 0.06, 0.04, 0.05, 0.05, 0.06]), 'width=6': BASE[::-1]}
PUBLISHED = Ablation(
    vary={'width': (4, 5, 6)},
    claims=(
        Claim(cell={'width': 5}, against={'width': 4}, sign='better', published='1 point'),
        Claim(cell={'width': 5}, against={'width': 6}, sign='worse', published='table 2'),
        Claim(cell={'width': 6}, against={'width': 4}, sign='better', published='figure 1 | 50 %'),
        Claim(cell={'width': 7}, against={'width': 4}, sign='better', published='not in the grid'),
    ),
)


def write_run(folder, top1):
    folder.mkdir(parents=True)
    (folder / 'config.json').write_text('{}')
    lines = [
        *({'step': step, 'seconds': step, 'split': 'train', 'loss': 1.0, 'top1': 0.5} for step in range(1, 13)),
        *(
            {'step': step, 'seconds': step, 'split': 'test', 'loss': 1.0, 'top1': top1 * step / 12}
            for step in (4, 8, 12)
        ),
    ]
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('grid')
    for name, values in SCORES.items():
        for seed, value in zip(SEEDS, values, strict=True):
            write_run(folder / name / f'seed_{seed}', value)
    return folder


@pytest.fixture(scope='module')
def summary(folder):
    grid = make_grid(TINY, {}, {'width': '4,5,6'}, seeds=SEEDS, metric='top1')
    return summarise(grid, folder, PUBLISHED)


def test_rows_have_the_means_and_the_paired_differences(summary):
    base, better, same = summary.rows
    assert base.mean == pytest.approx(BASE.mean())
    assert base.deviation == pytest.approx(BASE.std(ddof=1))
    assert better.against.difference == pytest.approx(np.mean(SCORES['width=5'] - BASE))
    assert [row.verdict(summary.metric) for row in summary.rows] == ['baseline', 'better', 'within the noise']
    assert same.against.low <= 0 <= same.against.high
    assert better.p == pytest.approx(2 * better.against.p), 'two comparisons'
    assert (base.n, base.missing, base.diverged, base.seconds) == (6, 0, 0, 12)
    assert base.parameters == 4 * (9 + 1) + 2 * 4 + (64 * 4 + 1) * 10
    assert base.macs == 64 * 9 * 4 + 64 * 4 * 10
    assert summary.finished
    assert summary.notes() == []


def test_claims_are_judged_where_their_cells_are_in_the_grid(summary):
    assert [claim.verdict for claim in summary.claims] == ['as published', 'opposite', 'not resolved at this n']


@pytest.mark.parametrize(
    ('sign', 'difference', 'high', 'p', 'verdict'),
    [
        ('better', 0.02, 0.03, 0.01, 'as published'),
        ('better', -0.02, -0.01, 0.01, 'opposite'),
        ('better', 0.02, 0.03, 0.2, 'not resolved at this n'),
        ('worse', -0.02, -0.01, 0.01, 'as published'),
        ('no better', 0.02, 0.03, 0.01, 'opposite'),
        ('no better', -0.02, -0.01, 0.01, 'as published'),
        ('no better', 0.001, 0.004, 0.5, 'as published'),  # a gain of a point is excluded
        ('no better', 0.001, 0.02, 0.5, 'not resolved at this n'),
    ],
)
def test_verdicts(sign, difference, high, p, verdict):
    measured = Comparison(5, difference, difference - 0.01, high, p)
    assert judge(sign, metric_of('top1'), measured, p, margin=1.0) == verdict
    mirrored = Comparison(5, -difference, -high, -difference + 0.01, p)
    assert judge(sign, metric_of('loss'), mirrored, p, margin=0.01) == verdict, 'a lower loss is better'


def test_two_pairs_do_not_say_no_better():
    """Of two pairs counted accuracies are equal by chance too often (`benchmarks/coverage.py`)."""
    for n, verdict in ((2, 'not resolved at this n'), (3, 'as published')):
        measured = Comparison(n, 0.0, 0.0, 0.0, 1.0)
        assert judge('no better', metric_of('top1'), measured, 1.0, margin=1.0) == verdict


def test_missing_and_diverged_runs_are_left_out_and_said(tmp_path):
    grid = make_grid(TINY, {}, {'width': '4,5'}, seeds=range(3), metric='top1')
    write_run(tmp_path / 'width=4' / 'seed_0', 0.9)
    write_run(tmp_path / 'width=4' / 'seed_1', 0.8)
    write_run(tmp_path / 'width=5' / 'seed_1', 0.7)
    write_run(tmp_path / 'width=5' / 'seed_2', 0.6)
    note_diverged(tmp_path / 'width=5' / 'seed_2', 'nan')
    found = summarise(grid, tmp_path)
    assert [row.n for row in found.rows] == [2, 1]
    against = found.rows[1].against
    assert against is not None
    assert against.difference == pytest.approx(-0.1), 'of seed 1, which both have'
    text = ' '.join(found.notes())
    assert 'cannot tell' in text
    assert '2 runs are not finished' in text
    assert '1 runs diverged' in text
    assert not found.finished


def test_the_text_is_aligned_and_names_the_verdicts(summary):
    text = table.as_text(summary)
    line = next(line for line in text.splitlines() if line.startswith('width=5'))
    assert re.search(r'96\.17 +\d\.\d\d +6 +\+5\.17 +\+\d\.\d\d to \+\d\.\d\d +0\.0\d+ +better', line)
    assert 'width=5 better than width=4  test accuracy, %' in text
    assert 'as published' in text


def test_csv_has_full_precision(summary):
    rows = list(csv.DictReader(io.StringIO(table.as_csv(summary))))
    assert [row['cell'] for row in rows] == list(SCORES)
    assert float(rows[1]['mean']) == summary.rows[1].mean
    assert float(rows[1]['p_holm']) == summary.rows[1].p
    assert rows[0]['difference'] == ''


def test_markdown_and_latex_are_well_formed(summary):
    lines = [line for line in table.as_markdown(summary).splitlines() if line.startswith('|')]
    assert {line.replace(r'\|', '').count('|') for line in lines[: len(SCORES) + 2]} == {len(table.HEADS) + 1}
    assert r'figure 1 \| 50 %' in table.as_markdown(summary)
    latex = table.as_latex(summary)
    body = [line for line in latex.splitlines() if line.endswith(r'\\')]
    assert {line.count('&') for line in body} == {len(table.HEADS) - 1}
    assert r'95 \% interval' in latex
    assert not re.search(r'(?<!\\)[_%](?!.*width.*; )', '\n'.join(body))


def test_the_page_is_one_file_with_figures_and_their_numbers(summary, folder):
    path = page.write_page(summary, folder)
    text = path.read_text()
    assert text.count('<svg') == 3
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert 'Against width=4: width=5 is better; 1 within the noise.' in text
    assert '--vary.width=4,5,6' in text
    drawn = np.load(folder / 'figures' / 'differences.npz')
    assert drawn['difference'] == pytest.approx([5.1667, 0.0], abs=1e-3)
    assert json.loads(str(drawn['settings']))['vary'] == {'width': [4, 5, 6]}
    assert {path.stem for path in (folder / 'figures').glob('*.png')} == {'differences', 'scores', 'curves'}


def test_the_tables_are_written(summary, folder):
    table.write_tables(summary, folder)
    assert (folder / 'table.txt').read_text() == table.as_text(summary) + '\n'
    assert {path.suffix for path in folder.glob('table.*')} == {'.txt', '.csv', '.md', '.tex'}
