"""The cells that a net looks at: the coarsest map, or a pyramid's, as large as that or as fine as it comes."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.layers.grid import seen_by, with_places
from cnn_jax.layers.pyramid import Pyramid

DRAWN = np.random.default_rng(0)
MAPS = [DRAWN.standard_normal((2, side, side + 1, 4)).astype(np.float32) for side in (13, 7, 4)]  # odd sides too


class Looking(nn.Module):
    finest: int | None
    shrink: bool = True

    @nn.compact
    def __call__(self, maps):
        return seen_by(maps, finest=self.finest, shrink=self.shrink, train=False)


@pytest.mark.parametrize(('finest', 'shrink', 'shape'), [
    (None, True, (4, 5, 4)), (2, True, (4, 5, 64)), (0, True, (4, 5, 64)), (0, False, (13, 14, 64)),
])  # fmt: skip
def test_cells_are_those_of_the_coarsest_map_unless_the_fine_ones_are_wanted(finest, shrink, shape):
    looking = Looking(finest, shrink)
    variables: Any = looking.init(jax.random.key(0), MAPS)
    seen = jax.eval_shape(looking.apply, variables, MAPS)
    assert isinstance(seen, jax.ShapeDtypeStruct)
    assert seen.shape == (2, *shape)
    assert ('pyramid' in variables.get('params', {})) == (finest is not None)


def test_a_cell_is_the_most_of_its_places():
    looking = Looking(0)
    variables = looking.init(jax.random.key(0), MAPS)
    fine = Pyramid(64, 0).apply({name: part['pyramid'] for name, part in variables.items()}, MAPS, train=False)
    seen = looking.apply(variables, MAPS)
    assert isinstance(seen, jax.Array)
    assert isinstance(fine, jax.Array)
    np.testing.assert_allclose(seen.max((1, 2)), fine.max((1, 2)), rtol=1e-6)  # none is left out
    np.testing.assert_allclose(seen[:, 1, 1], fine[:, 3:7, 3:6].max((1, 2)), rtol=1e-6)


def test_places_go_from_left_to_right_and_from_the_top_down():
    grid = with_places(jnp.zeros((1, 2, 4, 3)))
    np.testing.assert_allclose(grid[0, 1, :, 3], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(grid[0, :, 1, 4], [-0.5, 0.5])
    waves = with_places(jnp.zeros((1, 2, 4, 3)), waves=2)
    assert waves.shape[-1] == 3 + 2 + 8
    np.testing.assert_array_equal(waves[..., :5], grid)
    x = np.array([-0.75, -0.25, 0.25, 0.75]) * np.pi / 2
    np.testing.assert_allclose(waves[0, 0, :, 5], np.sin(x), rtol=1e-5)
    np.testing.assert_allclose(waves[0, 1, :, 11], np.cos(2 * x), rtol=1e-5, atol=1e-6)
