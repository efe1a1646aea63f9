"""The trunk of a net from the weights of a classifier, or of a net of another task: its heads start anew."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from cnn_jax.errors import CnnJaxError
from cnn_jax.weights.convert import Flat, Slot, convert, flatten, unflatten

TRUNK = 'trunk'  # the field of a model, and the name of that part in its variables
PYRAMID = 'pyramid'  # what joins the maps of a trunk, in nets of several tasks


def trunk_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of the trunk alone, as those of a net of its own."""
    return {collection: part[TRUNK] for collection, part in tree.items() if TRUNK in part}


def without_head(model: Any) -> Any:
    """The net that variables without dense layers are of: the same, ended at its maps, for images of any size."""
    return model.clone(maps=True) if hasattr(model, 'maps') else model


def own_trunk(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Of our arrays, 'params/trunk/conv1/kernel', those of the trunk by the names of a net, and the other modules.

    All arrays where there is no trunk: they are of a classifier, which is one.
    """
    found, others = {}, set()
    for name, array in arrays.items():
        collection, module, *rest = name.split('/')
        if module == TRUNK:
            found['/'.join([collection, *rest])] = array
        else:
            others.add(module)
    return (found, others) if found else (dict(arrays), set())


def own_pyramid(arrays: Mapping[str, Any], like: dict[str, Any]) -> Flat:
    """Our arrays of the pyramid, if that of `like` has the same names and shapes; none elsewhere."""
    wanted = {path: leaf for path, leaf in flatten(like).items() if path[1] == PYRAMID}
    found = {path: arrays.get('/'.join(path)) for path in wanted}
    same = all(array is not None and array.shape == wanted[path].shape for path, array in found.items())
    return found if same else {}


def with_trunk(
    arrays: Mapping[str, Any],
    wanted: Mapping[str, Slot],
    like: dict[str, Any],
    *,
    pyramid: Flat,
    others: set[str],
    what: str,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """A tree like `like` with the trunk from `arrays`; `report` gets a line that says what was left out.

    Args:
        arrays: of a net, by the names of `wanted`, which are those of its trunk; others are left out.
        like: the initial variables of the model.
        pyramid: leaves of the source's pyramid, which are taken too, see `own_pyramid`.
        others: modules of the source that `arrays` are already without.
        what: names the source.

    Raises:
        CnnJaxError: an array of the trunk is missing or of another shape, or nothing may stay untrained (`like` is of
            shapes alone).
    """
    taken_too = {path[1] for path in pyramid}
    heads = sorted({path[1] for path in flatten(like)} - {TRUNK} - taken_too)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(like)):
        raise CnnJaxError(f'{what} has no {", ".join(heads)}, which would be untrained: train it (--init_from={what})')
    taken = convert({name: array for name, array in arrays.items() if name in wanted}, wanted, what=what)
    modules = {name.replace('.', '/').removeprefix('params/').partition('/')[0] for name in {*arrays} - {*wanted}}
    left_out = ', '.join(module[:80] for module in sorted((modules | others) - taken_too))
    left = f'; its {left_out} left out' if left_out else ''
    parts = 'the trunk and the pyramid are those' if pyramid else 'the trunk is that'
    report(f'{parts} of {what}{left}; {", ".join(heads)} anew')
    flat: Flat = {(path[0], TRUNK, *path[1:]): leaf for path, leaf in flatten(taken).items()} | pyramid
    return unflatten(
        {
            path: flat[path].astype(leaf.dtype, copy=False) if path in flat else leaf
            for path, leaf in flatten(like).items()
        }
    )
