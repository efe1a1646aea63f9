"""The steps of a program that are a linear function of the images and a constant: they commute with weighted means."""

from collections.abc import Collection

import jax.numpy as jnp

from cnn_jax.tracing import program as programs
from cnn_jax.tracing.program import Program, Step

_OF_ONE = """
broadcast_in_dim copy name neg pad reduce_sum reduce_window_sum reshape rev slice squeeze transpose
""".split()  # noqa: SIM905
_OF_ALL = ('add', 'add_any', 'concatenate', 'sub')
_PRODUCTS = ('conv_general_dilated', 'dot_general', 'mul')


def is_affine(program: Program, step: Step, reads: Collection[int]) -> bool:
    """Whether the outputs of a step are affine in those of its inputs that are in `reads`."""
    places = [place for place, atom in enumerate(step.inputs) if isinstance(atom, int) and atom in reads]
    if step.kind == 'convert_element_type':
        return jnp.issubdtype(program.types[step.outputs[0]].dtype, jnp.floating)
    if step.kind == 'div':
        return places == [0]
    return step.kind in (*_OF_ONE, *_OF_ALL) or (step.kind in _PRODUCTS and len(places) == 1)


def frontier(program: Program, images: int) -> list[int]:
    """The arrays up to which a (pruned) program is affine in the images, where other steps read them; in order."""
    dependent, affine, read = programs.depends(program, [images]), {images}, set()
    for step in program.steps:
        reads = [atom for atom in step.inputs if isinstance(atom, int) and atom in dependent]
        if affine.issuperset(reads) and reads and is_affine(program, step, affine):
            affine.update(step.outputs)
        else:
            read.update(affine.intersection(reads))
    return sorted(read | affine.intersection(atom for atom in program.outputs if isinstance(atom, int)))
