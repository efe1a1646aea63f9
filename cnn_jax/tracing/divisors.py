"""What a program only divides by: a normalisation (LRN, LayerNorm) multiplies arrays of the image, yet is none of the
activations that a ReLU rule has to know."""

from collections.abc import Callable, Collection

from cnn_jax.tracing.program import Atom, Program, Step

_POWERS = {'integer_pow', 'pow', 'rsqrt', 'sqrt', 'square'}
_KEEPS = {'broadcast_in_dim', 'convert_element_type', 'copy', 'name', 'reshape', 'slice', 'squeeze', 'transpose'}
_PRODUCTS = {'conv_general_dilated', 'dot_general', 'mul'}
_PICKS = {
    'approx_top_k',
    'cummax',
    'cummin',
    'cumprod',
    'reduce_min',
    'reduce_prod',
    'reduce_window_min',
    'sort',
    'top_k',
}


def inverses(program: Program, dependent: Collection[int], number: Callable[[Atom], float | None]) -> set[int]:
    """The arrays that are a negative power of what depends on the image, or a product or positive power of such.

    number: what an array is everywhere, if the program says so.
    """
    found: set[int] = set()
    for step in program.steps:
        reads = [atom for atom in step.inputs if isinstance(atom, int) and atom in dependent]
        if not reads:
            continue
        if step.kind in ('integer_pow', 'pow'):
            power = step.params['y'] if step.kind == 'integer_pow' else number(step.inputs[1]) or 0
        else:
            power = -1 if step.kind == 'rsqrt' or _is_reciprocal(step, dependent) else 1
        inverse = found.issuperset(reads)
        if (power < 0 and not inverse) or (power > 0 and inverse and step.kind in _POWERS | _KEEPS | {'mul', 'div'}):
            found.update(step.outputs)
    return found


def _is_reciprocal(step: Step, dependent: Collection[int]) -> bool:
    """Whether a step divides a constant by what depends on the image."""
    return step.kind == 'div' and [isinstance(atom, int) and atom in dependent for atom in step.inputs] == [False, True]


def passing(program: Program, dependent: Collection[int], inverse: set[int]) -> set[int]:
    """The arrays that reach the outputs otherwise than as a divisor, and with their gradient."""
    found = {atom for atom in program.outputs if isinstance(atom, int)}
    for step in reversed(program.steps):
        if step.kind == 'stop_gradient' or not found.intersection(step.outputs):
            continue
        reads = {atom for atom in step.inputs if isinstance(atom, int)}
        if step.kind == 'div' and isinstance(step.inputs[0], int) and step.inputs[0] in dependent:
            reads = {step.inputs[0]}
        elif step.kind == 'mul' and not inverse.issuperset(reads.intersection(dependent)):
            reads -= inverse
        found |= reads
    return found


def flowing(program: Program) -> set[int]:
    """The arrays that reach the outputs with their gradient."""
    found = {atom for atom in program.outputs if isinstance(atom, int)}
    for step in reversed(program.steps):
        if step.kind != 'stop_gradient' and found.intersection(step.outputs):
            found.update(atom for atom in step.inputs if isinstance(atom, int))
    return found


def curved(step: Step, dependent: Collection[int], inverse: set[int]) -> str | None:
    """What makes a step on the image another thing than a sum of multiples or a maximum-pool; None: nothing does."""
    reads = [atom for atom in step.inputs if isinstance(atom, int) and atom in dependent]
    if step.kind in _PICKS or (step.kind in _POWERS and step.params.get('y') != 1):
        return step.kind
    if step.kind in _PRODUCTS and len(reads) > 1 and not inverse.intersection(reads):
        return f'{step.kind} (a product of two arrays of the image)'
    if _is_reciprocal(step, dependent):
        return 'div (by an array of the image)'
    if step.kind in ('max', 'min') and len(reads) > 1:
        return f'{step.kind} (of two arrays of the image)'
    if step.kind == 'reduce_max' and step.equation.invars[0].aval.ndim - 1 in step.params['axes']:
        return 'reduce_max (over the channels)'  # over other axes it is a pool
    return None
