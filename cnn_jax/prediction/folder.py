"""A net on images of known classes in folders: the names of the folders are the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.formats import tree
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.tree import Item
from cnn_jax.data.pipeline import Data
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import StreamedFeed
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.evaluation.evaluate import evaluate as add_up
from cnn_jax.steps.evaluate import make_eval_step
from cnn_jax.tasks.classification.task import Classification
from cnn_jax.tasks.results import Evaluation

BATCH = 32


@dataclass(frozen=True)
class Files:
    """The rows of a folder."""

    items: Sequence[Item]
    net: Any  # a `net.Net`, which knows this file

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> dict[str, Any]:
        item = self.items[row]
        try:
            return {'image': self.net.read_file(item.read()), 'label': item.label}
        except BadImage:
            return {'image': np.zeros(self.net.image_shape, np.uint8), 'label': item.label, 'readable': False}


def evaluate(net: Any, folder: Path) -> Evaluation:
    """See `Net.evaluate`."""
    if not isinstance(net.task, Classification):
        raise CnnJaxError(f'evaluate: folders are labels of classes; the task of this net is {net.task.name}')
    source = Files(_items(folder, net), net)
    data = Data(
        name=f'folder {folder.name}',
        batch_size=BATCH,
        splits={'train': 1, 'test': len(source)},
        class_names=net.class_names,
        image_shape=net.image_shape,
        open=lambda split, data_dir: source,
        prepare=lambda data_dir, say: None,
        streamed=True,
    )
    mesh = mapping.make_mesh()
    feed = StreamedFeed(data, data_dir=folder, seed=0, mesh=mesh)
    step = mapping.map_eval(make_eval_step(net.parts), mesh)
    batches = feed.all_of('test', BATCH)
    return add_up(step, net.variables, batches, task=net.task, data=data, poll=lambda: None)


def _items(folder: Path, net: Any) -> list[Item]:
    names = [name for name in tree.class_folders(folder) if tree.has_images(folder / name)]
    known = {name: label for labels in (net.class_names, net.names) for label, name in enumerate(labels)}
    if strange := [name for name in names if name not in known]:
        raise DataError(
            f'{folder} has the class folders {", ".join(strange[:5])}, which the net does not know; it knows '
            f'{", ".join(net.names[:5])}{", ..." if len(net.names) > 5 else ""}'
        )
    if not names:
        raise DataError(f'no class folders with images in {folder}; needed is {folder}/<class>/<image>.jpg')
    return [item._replace(label=known[names[item.label]]) for item in tree.list_classes(folder, names)]
