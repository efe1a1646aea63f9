"""The words for the classes of ImageNet."""

import functools
from collections.abc import Sequence
from pathlib import Path

CLASSES = Path(__file__).parent / 'imagenet_classes.txt'


@functools.cache
def class_names() -> tuple[str, ...]:
    """The words for the 1,000 classes, by number: 'tench, Tinca tinca', 'goldfish, Carassius auratus', ...

    Different classes may share them: 134 and 517 are both 'crane', the bird and the machine.
    """
    return tuple(words().values())


@functools.cache
def words() -> dict[str, str]:
    """The words for the 1,000 classes by WordNet name: 'n01440764' is 'tench, Tinca tinca'."""
    lines = CLASSES.read_text(encoding='utf-8').splitlines()
    return dict(line.split('\t', 1) for line in lines if not line.startswith('#'))


def in_words(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes, where WordNet names become the first of their words: 'n01440764' is 'tench'."""
    return tuple(words()[name].partition(', ')[0] if name in words() else name for name in names)
