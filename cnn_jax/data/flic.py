"""FLIC: frames of films with the joints of the upper body of one person each.

Sapp and Taskar 2013, "MODEC: multimodal decomposable models for human pose estimation". The smaller set of the two that
were published, with the splits of that paper. A joint that its square does not reach stays visible: it counts in the
metric, as published, and not in the loss.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnn_jax.data.formats import image
from cnn_jax.data.formats.annotated import Picture, make_data, read_bytes
from cnn_jax.data.formats.fields import Field
from cnn_jax.data.formats.framed import Frame, square_around
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.held_out import hold_out
from cnn_jax.data.pipeline import Data
from cnn_jax.data.scenery import small_coco
from cnn_jax.errors import DataError, check_shortage

NAME = 'FLIC'  # of the folder, as it comes out of the archive
JOINTS = (
    'left shoulder', 'left elbow', 'left wrist', 'right shoulder', 'right elbow', 'right wrist', 'left hip',
    'right hip', 'left eye', 'right eye', 'nose',
)  # fmt: skip
COLUMNS = (0, 1, 2, 3, 4, 5, 6, 9, 12, 13, 16)  # of these joints among the 29 places of an example
PLACES = 29
SWAP = ((0, 3), (1, 4), (2, 5), (6, 7), (8, 9))
LIMBS = ((0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (0, 6), (3, 7), (6, 7), (8, 10), (9, 10))
TORSO = (0, 7)  # left shoulder, right hip
MARGIN = 3.0  # of a person's square, in longer sides of the box of its torso: arms reach that far
SPLITS, MARKS = {'train': 3_987, 'test': 1_016}, {'train': 'istrain', 'test': 'istest'}
MAX_BAD = 0.001


def load(
    *, batch_size: int, image_size: int = 256, validation: float = 0.1, fold: int = 0, smoke: bool = False
) -> Data:
    """A square around each person, uint8 (image_size, image_size, 3), with `keypoints` (11, 2) and `visible` (11,).

    `data_dir/FLIC` has `examples.mat` and the folder `images` of the published archive.

    Args:
        validation: the share of the training frames that is held out.
        fold: which.
        smoke: a small tree of the same form, written below `data_dir` at first use: puppets.

    Raises:
        CnnJaxError: a value out of range.
    """
    how, count = Frame(image_size), len(JOINTS)
    data = make_data(
        name='flic',
        folder=NAME,
        batch_size=batch_size,
        how=how,
        class_names=JOINTS,
        fields={'keypoints': Field('float32', (count, 2)), 'visible': Field('bool', (count,))},
        published=small_coco.SMALL if smoke else SPLITS,
        pictures=_list,
        read=lambda picture: _read(picture, how),
        form='pose',
        max_bad=MAX_BAD,
        small=write_small if smoke else None,
    )
    return hold_out(data, validation, fold)


def _list(home: Path, split: str) -> list[Picture]:
    """The frames of a split, each with the box of its torso and its places."""
    import scipy.io

    file = home / 'examples.mat'
    if not file.is_file():
        raise DataError(
            f'{file} is not there; unpack FLIC.zip (bensapp.github.io/flic-dataset.html) so that {home} has '
            f'examples.mat and images, and run the same command with --mode=prepare --data_dir={home.parent}'
        )
    try:
        examples = np.atleast_1d(scipy.io.loadmat(file, squeeze_me=True)['examples'])
        found = [_entry(one) for one in examples if one[MARKS[split]]]
    except Exception as error:  # of a file that is damaged, and of one of another form
        check_shortage(error)
        reason = ' '.join(str(error).split())[:120] or type(error).__name__
        raise DataError(f'{file} cannot be read: {reason}; unpack FLIC.zip again') from error
    if not found:
        raise DataError(f'{file} has no example of {split}; unpack FLIC.zip again')
    return [Picture(name, (home / 'images' / name, file), (box, places)) for name, box, places in found]


def _entry(example: Any) -> tuple[str, np.ndarray, np.ndarray]:
    name = str(example['filepath'])
    places = np.asarray(example['coords'], np.float64)
    box = np.asarray(example['torsobox'], np.float64)
    if Path(name).name != name or places.shape != (2, PLACES) or box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f'example {name[:80]!r} has not the form of FLIC')
    return name, box, places[:, COLUMNS].T


def _read(picture: Picture, how: Frame) -> dict[str, Any]:
    box, places = picture.said
    encoded = read_bytes(picture.files[0])
    width, height = how.sides(encoded)
    middle = (box[:2] + box[2:]) / 2
    if not (0 <= middle[0] <= width and 0 <= middle[1] <= height and (box[2:] > box[:2]).all()):
        raise BadImage(f'the box of its torso is {" ".join(f"{edge:g}" for edge in box)}, on {width} x {height} pixels')
    square = square_around(box, MARGIN)
    visible = np.isfinite(places).all(1)
    moved = how.move(np.nan_to_num(places) - 0.5, square)  # MATLAB counts pixels from 1
    return {
        'image': how.cut(image.decode(encoded, max_pixels=how.max_pixels), square),
        'keypoints': np.where(visible[:, None], moved, 0).astype(np.float32),
        'visible': visible,
    }


def write_small(home: Path) -> None:
    """A small tree in the form of the published archive: puppets, whose eyes are not labelled."""
    import scipy.io

    (home / 'images').mkdir(parents=True)
    form = [('filepath', object), ('coords', object), ('torsobox', object), ('istrain', object), ('istest', object)]
    rows, count = [], sum(small_coco.SMALL.values())
    for number, body in enumerate(small_coco.bodies(0, count, JOINTS)):
        name = f'film-{number:04d}.jpg'
        Image.fromarray(body.image).save(home / 'images' / name, 'JPEG', quality=95)
        places = np.full((2, PLACES), np.nan)
        places[:, COLUMNS] = np.where(body.visible[:, None], body.places + 0.5, np.nan).T
        trunk = body.places[[0, 3, 6, 7]]
        train = number < small_coco.SMALL['train']
        rows.append((name, places, np.concatenate([trunk.min(0), trunk.max(0)]), float(train), float(not train)))
    scipy.io.savemat(home / 'examples.mat', {'examples': np.array(rows, dtype=form)})
