"""The grid of an ablation: its cells, its file, and what may be added to it."""

import dataclasses

import pytest

from cnn_jax.ablate.grid import cell_name, extend, make_grid, read_grid, split_values, write_grid
from cnn_jax.errors import CnnJaxError, StorageError

TINY = 'tests/tiny_experiment.py'


def grid(vary=None, seeds=(0, 1), **fixed):
    return make_grid(TINY, fixed, vary or {'width': '4,6', 'save_every': 'none,5'}, seeds=seeds, metric='top1')


def test_cells_are_the_product_of_values_and_seeds_with_the_baseline_first():
    made = grid(num_steps='3')
    assert list(made.variants) == [
        'width=4,save_every=none',
        'width=4,save_every=5',
        'width=6,save_every=none',
        'width=6,save_every=5',
    ]
    assert made.baseline == 'width=4,save_every=none'
    assert [cell.number for cell in made.cells] == list(range(8))
    assert made.cells[3].options == {'num_steps': 3, 'width': 4, 'save_every': 5}
    assert str(made.cells[3].folder) == 'width=4,save_every=5/seed_1'


def test_a_name_fits_any_file_system():
    assert cell_name({'rate': 1e-3, 'sizes': (1, 2), 'on': True, 'path': 'a/b c', 'none': None, 'empty': ''}) == (
        'rate=0.001,sizes=1+2,on=true,path=a-b-c,none=none,empty=empty'
    )
    assert cell_name({}) == 'defaults'


def test_values_are_split_at_commas_outside_of_brackets():
    assert split_values('a, b') == ['a', 'b']
    assert split_values('(1,2),(3,),4') == ['(1,2)', '(3,)', '4']


def test_a_cell_is_found_by_some_of_its_values():
    made = grid()
    assert made.name_of({'save_every': 5}) == 'width=4,save_every=5'
    assert made.name_of({}) == made.baseline
    assert made.name_of({'width': 5}) is None
    assert made.name_of({'depth': 5}) is None


@pytest.mark.parametrize(
    ('vary', 'words'),
    [
        ({'wdth': '4'}, "unknown option: 'wdth'; choose from: width"),
        ({'width': '4,x'}, "--vary.width: 'x' is not int"),
        ({'width': '4,4'}, 'a value is given twice'),
        ({'width': ','.join(map(str, range(1, 10_002)))}, 'at most 10000'),
    ],
)
def test_a_wrong_grid_is_refused(vary, words):
    with pytest.raises(CnnJaxError, match=words):
        grid(vary, seeds=(0,))


def test_an_option_is_fixed_or_varied():
    with pytest.raises(CnnJaxError, match=r'--vary.width and --config.width'):
        grid({'width': '4,6'}, width='4')


def test_the_file_gives_the_grid_back(tmp_path):
    made = grid(save_every='none', vary={'learning_rate': '1e-2,1'})
    assert read_grid(tmp_path) is None
    write_grid(tmp_path, made)
    assert read_grid(tmp_path) == made
    (tmp_path / 'grid.json').write_text('{"experiment": 3')
    with pytest.raises(StorageError, match=r'cannot read .*grid\.json'):
        read_grid(tmp_path)


def test_a_superset_with_the_same_baseline_extends(tmp_path):
    saved, more = grid({'width': '4,6'}), grid({'width': '4,5,6'}, seeds=(3, 1, 0))
    joined = extend(saved, more, tmp_path)
    assert joined.seeds == (0, 1, 3)
    assert joined.vary == {'width': (4, 5, 6)}
    assert extend(saved, dataclasses.replace(saved, metric='loss'), tmp_path).metric == 'loss'


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        ({'vary': {'width': '6,4'}}, r'width was \[4, 6\], now \[6, 4\]'),
        ({'vary': {'width': '4'}}, r'width was \[4, 6\], now \[4\]'),
        ({'vary': {'width': '4,6'}, 'seeds': (0,)}, 'seed 1 is missing'),
        ({'vary': {'width': '4,6', 'save_every': '5'}}, 'varied options was'),
        ({'vary': {'width': '4,6'}, 'num_steps': '3'}, 'options was'),
    ],
)
def test_another_grid_is_refused_with_what_differs(tmp_path, other, words):
    with pytest.raises(CnnJaxError, match=words):
        extend(grid({'width': '4,6'}), grid(**other), tmp_path)
