"""The parameters and multiply-adds that a net's docstring gives are those of its layer table, in every family.

Nothing is computed but shapes. Nets whose published numbers stand in test_models_reference.py are traced there, and
their docstrings are compared there.
"""

from typing import Any

import jax
import pytest
from docstring_counts import Count, counts
from forms import sound
from test_models_reference import CASES

from cnn_jax.describe import layer_table
from cnn_jax.weights.convert import variable_shapes

TRACED = {(family.__name__.rpartition('.')[2], name) for family, name, *_ in CASES}


def cases() -> list[Any]:
    """A family, a net and what is said of it, for all that is said elsewhere than in test_models_reference.py."""
    return [
        pytest.param(family, module.VARIANTS[count.variant](), count, id=f'{family}-{count.variant}')
        for family, module in sound('model').items()
        for kind in dict.fromkeys(type(make()) for make in module.VARIANTS.values())
        for count in counts(module.VARIANTS, kind)
        if (family, count.variant) not in TRACED
    ]


@pytest.mark.parametrize(('family', 'model', 'count'), cases())
def test_the_numbers_of_a_docstring_are_those_of_the_net(family, model, count: Count):
    if count.macs:
        called = [layer for layer in layer_table(model, count.shape) if layer.depth == 1 and layer.output_shape]
        parameters, macs = sum(layer.parameters for layer in called), count.written(sum(layer.macs for layer in called))
    else:
        shapes: Any = variable_shapes(model, count.shape)['params']
        parameters, macs = sum(leaf.size for leaf in jax.tree.leaves(shapes)), ''
    right = f'{parameters:,} parameters' + f' and {macs} multiply-adds' * bool(macs)
    assert (count.parameters, count.macs) == (parameters, macs), (
        f'cnn_jax/models/{family}.py: the docstring of {type(model).__name__} gives {count.parameters:,} and '
        f'{count.macs or "no multiply-adds"} of {count.variant!r}; the net has {right}'
    )


@pytest.mark.parametrize(
    ('text', 'said'),
    [('| `a` | 12 M | 1.8 G |', 'give it the form'), ('7 parameters and 5 multiply-adds on 4x4x1 images', '')],
)
def test_what_is_not_read_is_an_error(text, said):
    kind = type('Net', (), {'__doc__': f'A net on 2x2x1 images.\n\n    {text}\n'})
    if said:
        with pytest.raises(ValueError, match=said):
            counts({'a': kind}, kind)
    else:
        assert counts({'a': kind}, kind) == [Count('a', (4, 4, 1), 7, '5')]
