"""Numbers as scripts that a page can load from `file://`, and how they are read back."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.files.whole import write_whole

CALL = 'CNN_JAX.put('  # what stands in front of the name and the values


def pack(values: np.ndarray) -> dict[str, Any]:
    """An array as bytes on one scale: 255 is `limit`, or of signed values 128 is 0 and 1 and 255 are -+ `limit`.

    A value is at most half a step off: limit / 510, signed limit / 254. What is not a number becomes 0, and `holes`
    counts it.
    """
    finite = np.isfinite(values)
    clean = np.where(finite, values, 0).astype(np.float64)
    limit, signed = float(np.abs(clean).max(initial=0)), bool((clean < 0).any())
    steps = clean / (limit or 1.0) * (127 if signed else 255)
    found = {**pack_bytes(np.rint(steps + (128 if signed else 0)).astype(np.uint8)), 'limit': limit, 'signed': signed}
    holes = int((~finite).sum())
    return {**found, 'holes': holes} if holes else found


def pack_bytes(values: np.ndarray) -> dict[str, Any]:
    """uint8 as text, with its shape."""
    return {'shape': list(values.shape), 'data': base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()}


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """What `pack` or `pack_bytes` was given, to within half a step."""
    raw = np.frombuffer(base64.b64decode(packed['data']), np.uint8).reshape(packed['shape'])
    if 'limit' not in packed:
        return raw
    return (raw.astype(np.float64) - 128) / 127 * packed['limit'] if packed['signed'] else raw / 255 * packed['limit']


def rounded(values: np.ndarray, digits: int = 4) -> list[Any]:
    """Numbers with so many digits that count, as lists; what is not finite is None."""
    if values.ndim > 1:
        return [rounded(part, digits) for part in values]
    return [float(f'{value:.{digits}g}') if np.isfinite(value) else None for value in values.tolist()]


def write_script(folder: Path, name: str, values: Any) -> Path:
    """Writes NAME.js, which puts the values where the page looks for them; its path.

    No text of a run can end the script: `<` is written as an escape, and so are the ends of lines of JavaScript.
    """
    text = json.dumps(values, separators=(',', ':'), allow_nan=False).replace('<', '\\u003c')
    path = folder / f'{name}.js'
    write_whole(path, f'{CALL}{json.dumps(name)},{text});\n')
    return path


def read_script(path: Path) -> Any:
    """The values in a script of `write_script`."""
    text = path.read_text(encoding='utf-8')
    return json.loads(text[len(f'{CALL}{json.dumps(path.stem)},') : -len(');\n')])
