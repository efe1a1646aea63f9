"""The table of what maps are worth: means of many images with intervals, '-' where no map says anything."""

import numpy as np
import pytest

from cnn_jax.drawing import figure
from cnn_jax.report import gallery


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    scores = rng.normal(0.6, 0.1, 30)
    scores[:4] = np.nan  # images whose map is zero everywhere
    known = {'correlation': np.stack([np.ones(30), scores, 0.5 * scores]), 'insertion_score': scores}
    unknown = {'correlation': np.full((3, 30), np.nan), 'insertion_score': np.full(30, np.nan)}
    for name, arrays in (('gradient', known), ('grad_cam', unknown)):
        arrays |= {'deletion_score': 1 - arrays['insertion_score']}
        for ending, content in (('', {'maps': np.zeros(1)}), (gallery.CHECK, arrays)):
            figure.save_arrays(tmp_path / 'figures', f'{name}{ending}', content, {'method': name})
            (tmp_path / 'figures' / f'{name}{ending}.png').write_bytes(b'')
    return tmp_path, scores[4:]


def test_the_table_has_means_with_intervals_and_counts(folder):
    path, scores = folder
    page = gallery.section(path)
    reach = 2.06 * scores.std(ddof=1) / np.sqrt(26)  # Student's t of 25 degrees of freedom
    row = page.partition('href="#gradient"')[2].partition('</tr>')[0]
    assert f'>{scores.mean():.2f} ± {reach:.2f}<' in row
    assert f'>{scores.mean() / 2:.2f} ± {reach / 2:.2f}<' in row
    assert '>26<' in row
    row = page.partition('href="#grad_cam"')[2].partition('</tr>')[0]
    assert row.count('>-<') == 4
    assert '>0<' in row
    assert 'nan' not in page.partition('<table>')[2].partition('</table>')[0]


@pytest.mark.parametrize(
    ('ending', 'content'),
    [
        ('', b'no archive'),
        ('', None),
        ('', {'settings': np.array('no JSON')}),
        ('', {'settings': np.array('[1]')}),
        (gallery.CHECK, b'PK\x03\x04 and no more'),
        (gallery.CHECK, {'correlation': np.ones(()), 'insertion_score': np.ones(3)}),
        (gallery.CHECK, {'correlation': np.array(['a']), 'insertion_score': np.ones(3), 'deletion_score': np.ones(3)}),
    ],
)
def test_a_bad_file_costs_its_own_picture_and_is_named(folder, caplog, ending, content):
    path, _ = folder
    file = path / 'figures' / f'grad_cam{ending}.npz'
    if content is None:
        file.unlink()
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.savez(file, **content)
    page = gallery.section(path)
    assert 'id="gradient"' in page
    assert ('id="grad_cam"' in page) == bool(ending)
    (record, *_) = caplog.records
    assert record.getMessage().startswith('the page is without ')
    assert not record.getMessage().endswith((': ', 'Error'))  # there is a reason
