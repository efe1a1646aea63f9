"""Sets that were made to test ImageNet models on, as TFDS has them, in ArrayRecord form."""

from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.data.formats import array_record
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.errors import CnnJaxError, DataError


class Set(NamedTuple):
    """Where TFDS keeps a set; `some_classes`: it has 200 of the thousand, and only those are scored."""

    tfds_name: str
    split: str
    config: str = ''
    some_classes: bool = False

    @property
    def full_name(self) -> str:
        return f'{self.tfds_name}/{self.config}' if self.config else self.tfds_name


SETS = {
    'v2': Set('imagenet_v2', 'test', 'matched-frequency'),  # Recht et al. 2019, arXiv:1902.10811
    'real': Set('imagenet2012_real', 'validation'),  # Beyer et al. 2020, arXiv:2006.07159: the validation set anew
    'a': Set('imagenet_a', 'test', some_classes=True),  # Hendrycks et al. 2019, arXiv:1907.07174
    'r': Set('imagenet_r', 'test', some_classes=True),  # Hendrycks et al. 2020, arXiv:2006.16241
    'sketch': Set('imagenet_sketch', 'test'),  # Wang et al. 2019, arXiv:1905.13549
}


def open_set(name: str, data_dir: Path, *, like: Any, num_classes: int) -> EncodedSource:
    """The rows of a set, decoded as those of the source `like`.

    Raises:
        CnnJaxError: the model does not tell the thousand classes apart.
        DataError: the set is not there, with where it is looked for.
    """
    if num_classes != 1000:
        raise CnnJaxError(f'--sets={name}: its labels are the 1,000 classes of ImageNet, the model has {num_classes}')
    wanted = SETS[name]
    home = data_dir / wanted.tfds_name / wanted.config
    for version in sorted(home.glob('[0-9]*.[0-9]*.[0-9]*'), reverse=True):
        place = str(version.relative_to(data_dir / wanted.tfds_name))
        if folder := array_record.find(wanted.tfds_name, data_dir, place):
            return EncodedSource(folder, wanted.split, getattr(like, 'decoding', Decoding()))
    raise DataError(
        f'--sets={name}: no {wanted.tfds_name} in ArrayRecord form in {home}; make it where TensorFlow is, with '
        f'tfds.builder("{wanted.full_name}", data_dir="{data_dir}", '
        'file_format="array_record").download_and_prepare()'
    )
