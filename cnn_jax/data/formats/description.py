"""What TFDS wants to know of a folder of ArrayRecord files: written as TFDS itself does, without TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cnn_jax.data.formats.array_record import VERSION
from cnn_jax.data.formats.tree import Item


def write(
    name: str, building: Path, splits: Mapping[str, Sequence[Sequence[Item]]], class_names: Sequence[str]
) -> None:
    """Writes `dataset_info.json` and `features.json` of a set of encoded images.

    splits: the images of each file of a split.
    """
    import tensorflow_datasets as tfds
    from etils import epath
    from tensorflow_datasets.core import dataset_info, naming
    from tensorflow_datasets.core import splits as tfds_splits

    label = tfds.features.ClassLabel(names=list(class_names))
    several = any(item.labels for files in splits.values() for items in files for item in items)
    features = tfds.features.FeaturesDict(
        {
            'image': tfds.features.Image(shape=(None, None, 3), encoding_format='jpeg'),
            'label': label,
            **({'labels': tfds.features.Sequence(label)} if several else {}),
            'file_name': tfds.features.Text(),
        }
    )
    identity = dataset_info.DatasetIdentity(
        name=name, version=tfds.core.Version(VERSION), data_dir=str(building), module_name=__name__
    )
    info = tfds.core.DatasetInfo(builder=identity, features=features, disable_shuffling=True)
    info.set_file_format('array_record')
    described = []
    for split, files in splits.items():
        template = naming.ShardedFileTemplate(
            data_dir=epath.Path(building), dataset_name=name, split=split, filetype_suffix='array_record'
        )
        described.append(
            tfds_splits.SplitInfo(
                name=split,
                shard_lengths=[len(items) for items in files],
                num_bytes=sum(item.size for items in files for item in items),
                filename_template=template,
            )
        )
    info.set_splits(tfds_splits.SplitDict(described))
    info.write_to_directory(building)
