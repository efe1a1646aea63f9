"""The contract of every ablation file, found by globbing: what it varies and claims, and that each cell is built."""

import inspect

import jax
import pytest

from cnn_jax import experiment, options
from cnn_jax.ablate.grid import make_grid
from cnn_jax.ablate.score import metric_of
from cnn_jax.ablation import Ablation, published
from cnn_jax.devices import mapping

NAMES = [name for name in experiment.available() if name.startswith('ablations/')]


def ablation_of(name) -> Ablation:
    found = published(name)
    assert found is not None
    return found


def cells_of(name, **fixed):
    grid = make_grid(name, fixed, ablation_of(name).vary, seeds=[0], metric='top1')
    return [experiment.load(name, cell.options).experiment for cell in grid.cells]


def has_full_size(name):
    """Whether an ablation has a form on the data of its paper."""
    return 'size' in {row.name for row in options.signature(experiment.function(name))}


@pytest.mark.parametrize('name', NAMES)
def test_it_says_what_was_published_and_how_it_is_run(name):
    document = inspect.getmodule(experiment.function(name)).__doc__ or ''
    assert document.partition('\n')[0].endswith('.')
    assert f'python -m cnn_jax.main --mode=ablate --experiment={name}\n' in document
    if has_full_size(name):
        assert f'--experiment={name} --config.size=full\n' in document
    assert 'Published:' in document
    assert 'Desk size:' in document


@pytest.mark.parametrize('name', NAMES)
def test_options_can_be_typed(name):
    rows = options.signature(experiment.function(name))
    assert {'batch_size', 'epochs', 'learning_rate', 'smoke'} <= {row.name for row in rows}
    for row in rows:
        assert options.parse(row, str(row.default)) == row.default


@pytest.mark.parametrize('name', NAMES)
def test_claims_are_about_cells_of_the_grid(name):
    ablation = ablation_of(name)
    metric = ablation.metric or 'top1'
    grid = make_grid(name, {}, ablation.vary, seeds=range(ablation.seeds), metric=metric)
    assert len(ablation.claims) >= 1
    task = experiment.load(name, {'smoke': True}).experiment.task
    for claim in ablation.claims:
        assert grid.name_of(claim.cell) != grid.name_of(claim.against)
        assert None not in (grid.name_of(claim.cell), grid.name_of(claim.against))
        assert metric_of(claim.metric or metric, task)


@pytest.mark.parametrize('name', NAMES)
def test_every_cell_is_built_at_both_sizes(name):
    for desk in cells_of(name):
        assert desk.data.name.partition(' ')[0] in ('digits', 'scenes')
        assert desk.num_steps < 1000
    for full in cells_of(name, size='full') if has_full_size(name) else ():
        assert full.num_steps > 10_000
        assert full.data.num_train >= 50_000


@pytest.mark.parametrize('name', NAMES)
def test_the_shapes_of_every_cell_fit(name):
    """Traced, not compiled: a compilation of each would take minutes."""
    for made in cells_of(name, smoke='true', batch_size='2'):
        assert made.num_steps == 2
        state = made.state_shapes()
    step = mapping.map_step(made.train_step(), mapping.make_mesh(1))  # of the last cell, which has what is ablated
    _, metrics = jax.eval_shape(step, state, made.batch_shapes())
    assert metrics['loss'].shape == ()
