"""Whether what a save has committed is there: every array by name, and the last byte of each of its pieces.

Orbax counts a checkpoint as written when its folder has its name. A checkpoint without its arrays (a glob in Orbax that
took a `[` in the path for a pattern: measured) has it too.
"""

from collections.abc import Iterable
from pathlib import Path

import tensorstore

from cnn_jax.errors import StorageError, check_shortage

DESCRIPTION = 'zarr.json'  # of an array, beside its pieces


def check_arrays(folder: Path, names: Iterable[str]) -> None:
    """Checks the listing of the arrays in a folder that Orbax wrote, and the sizes: each piece is read at its end.

    names: of the arrays, parts joined by '/'.

    Raises:
        StorageError: an array is missing or cut short; the line says which.
    """
    base = {'driver': 'file', 'path': f'{folder}/'}
    try:
        store = tensorstore.KvStore.open({'driver': 'ocdbt', 'base': base}).result()
        keys = [key.decode() for key in store.list().result()]
        ends = [store.read(key, byte_range=slice(-1, None)) for key in keys]
        short = [key for key, end in zip(keys, ends, strict=True) if end.result().state != 'value']
    except Exception as error:  # tensorstore raises ValueError, of many lines, for whatever it meets
        check_shortage(error)
        raise StorageError(f'its arrays cannot be listed ({str(error).strip().partition(chr(10))[0][:160]})') from error
    found = {key.rpartition(f'/{DESCRIPTION}')[0] for key in keys if key.endswith(f'/{DESCRIPTION}')}
    pieces = {key.partition('/c')[0] for key in keys if not key.endswith(DESCRIPTION)}
    missing = [name for name in names if name.replace('/', '.') not in found & pieces]
    if missing or short:
        what = ', '.join([*missing, *short][:3])
        raise StorageError(f'{len(missing) + len(short)} of its arrays are missing or cut short: {what}')
