"""Captions of COCO 2014 in Karpathy's split: five sentences of people about each photograph.

Chen et al. 2015, arXiv:1504.00325; the split is that of Karpathy and Fei-Fei 2015, arXiv:1412.2306, whose file also has
the sentences as words. 'train' and 'restval' are trained on, as papers do.

Two things make scores here others than published ones, and a line says how often each is met. Words that are rare among
the training captions are one word, `<unknown>`, in the sentences that answers are compared with too. And a longer
sentence is cut.
"""

import functools
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.formats import coco_json, remembered
from cnn_jax.data.formats.annotated import Picture, make_data, read_bytes
from cnn_jax.data.formats.coco_json import BadAnnotation, Entry
from cnn_jax.data.formats.fields import Field
from cnn_jax.data.formats.sentences import END, END_WORD, UNKNOWN_WORD, numbers_of, vocabulary
from cnn_jax.data.formats.squeezed import Squeezing
from cnn_jax.data.order import check_count
from cnn_jax.data.pipeline import Data
from cnn_jax.data.scenery import small_captions
from cnn_jax.errors import CnnJaxError, DataError

NAME = 'coco_captions'  # of the folder
FILE = 'dataset_coco.json'
FOLDERS = ('train2014', 'val2014')
SPLITS = {'train': 'train', 'restval': 'train', 'val': 'validation', 'test': 'test'}
PUBLISHED = {'train': 113_287, 'validation': 5_000, 'test': 5_000}
SENTENCES = 5  # of a photograph that count; some have six or seven
MAX_BAD = 0.001

log = logging.getLogger(__name__)


def load(
    *,
    batch_size: int,
    annotations: str = '',
    image_size: int = 224,
    length: int = 20,
    rare: int = 5,
    smoke: bool = False,
) -> Data:
    """Photographs uint8 (image_size, image_size, 3), squeezed, and `captions` int32 (5, length).

    `data_dir/coco_captions` has the folders train2014 and val2014 of the published archives. The vocabulary is made of
    the annotation file, which is read at once; a run that was trained keeps its own.

    Prepared images take image_size ** 2 * 3 bytes each: at 224 pixels 19 GB of disk.

    Args:
        annotations: Karpathy's `dataset_coco.json`.
        length: the words of a sentence that count; a shorter one has its end among them.
        rare: a word that is in the training captions so often or less is `<unknown>`.
        smoke: a small tree of the same form, written below `data_dir` at first use: scenes of digits.

    Raises:
        CnnJaxError: no annotation file is given, or a value is out of range.
        DataError: the file cannot be read, or has another form.
    """
    check_count('length', length)
    if rare < 0:
        raise CnnJaxError(f'rare: got {rare}; it is a count of a word, 0 or more')
    if not smoke and not annotations:
        raise CnnJaxError(f"annotations: none given; add --config.annotations={FILE}, the file of Karpathy's split")
    file = remembered.path_of(annotations)
    entries_of = functools.cache(_read_entries)
    words = _small_words() if smoke else _known_words(lambda: entries_of(file), rare)
    said, how = Said(words, length), Squeezing(image_size)

    def pictures(home: Path, split: str) -> list[Picture]:
        own = home / FILE if smoke else file
        found = _list(home, split, own, entries_of(own))
        said.say_changed(split, [text for one in found for text in one.said])
        return found

    return make_data(
        name=NAME,
        folder=NAME,
        batch_size=batch_size,
        how=how,
        class_names=words,
        fields={'captions': Field('int32', (SENTENCES, length), least=0, most=len(words) - 1)},
        published=small_captions.SMALL if smoke else PUBLISHED,
        pictures=pictures,
        read=lambda one: {'image': how.pixels(read_bytes(one.files[0])), 'captions': said.numbers(one.said)},
        form=f'{length}_{hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]}',
        max_bad=MAX_BAD,
        small=write_small if smoke else None,
    )


class Said(NamedTuple):
    """How texts become numbers: the vocabulary, and the words of each that count."""

    words: tuple[str, ...]
    length: int

    def numbers(self, texts: Sequence[str]) -> np.ndarray:
        """Texts as int32 (5, length), those that are missing all `END`.

        One that is cut has no end, so that the net does not learn one in the middle of a sentence.
        """
        found = np.full((SENTENCES, self.length), END, np.int32)
        for place, words in enumerate(map(str.split, texts)):
            found[place] = numbers_of(words, self.words, max(self.length, len(words) + 1))[: self.length]
        return found

    def say_changed(self, split: str, texts: Sequence[str]) -> None:
        """Says how many texts are not as people wrote them."""
        known = frozenset(self.words)
        cut = sum(len(text.split()) > self.length for text in texts)
        strange = sum(not known.issuperset(text.split()) for text in texts)
        if cut or strange:
            log.warning(
                '%s %s: of %s sentences %s are cut after %d words, and %s have a rare word, which is %s: scores are '
                'others than those of whole sentences', NAME, split, f'{len(texts):,}', f'{cut:,}', self.length,
                f'{strange:,}', UNKNOWN_WORD,
            )  # fmt: skip


def _small_words() -> tuple[str, ...]:
    return vocabulary({*small_captions.WORDS, UNKNOWN_WORD})


def _known_words(entries: Callable[[], list[Entry]], rare: int) -> tuple[str, ...]:
    """The vocabulary of the run that is loaded, else that of the training captions."""
    known = remembered.current()
    if known is not None:
        return known.class_names
    texts = (text for split, _, _, told in entries() if split == 'train' for text in told)
    counts = Counter(word for text in texts for word in text.split())
    often = {word for word, count in counts.items() if count > rare}
    if not often:
        raise CnnJaxError(f'rare: got {rare}; no word of the training captions is there more often')
    return vocabulary({*often, UNKNOWN_WORD})


def _read_entries(file: Path) -> list[Entry]:
    again = f'get {FILE} again'
    where = f"get Karpathy's split of COCO (caption_datasets.zip) and give {FILE} with --config.annotations=FILE"
    return coco_json.read_entries(file, 'captions', _pick, where=where, again=again)


def _pick(found: Mapping[str, Any]) -> list[Entry]:
    """[split, folder, name, sentences] of each photograph; a sentence is its words with spaces between."""
    entries, seen = [], set()
    for one in found['images']:
        name, folder, kind = one['filename'], one['filepath'], one['split']
        if PurePath(name).name != name or '\\' in name or folder not in FOLDERS:
            raise BadAnnotation(f'photograph {name[:80]!r} of {folder[:80]!r} is in none of {", ".join(FOLDERS)}')
        if name in seen:
            raise BadAnnotation(f'photograph {name} is there twice')
        if kind not in SPLITS:
            raise BadAnnotation(f'photograph {name} is of split {kind!r}, which is none of {", ".join(SPLITS)}')
        seen.add(name)
        entries.append([SPLITS[kind], folder, name, [_text(name, told) for told in one['sentences']]])
        if not entries[-1][-1]:
            raise BadAnnotation(f'photograph {name} has no sentence')
    return entries


def _text(name: str, told: Mapping[str, Any]) -> str:
    words = told['tokens']
    if (
        not isinstance(words, list)
        or not words
        or not all(isinstance(word, str) and word.split() == [word] for word in words)
    ):
        raise BadAnnotation(f'photograph {name} has a sentence that is no list of words: {str(words)[:60]}')
    if strange := {END_WORD, UNKNOWN_WORD} & {*words}:
        raise BadAnnotation(f'photograph {name} has the word {min(strange)}, which is none of people')
    return ' '.join(words)


def _list(home: Path, split: str, file: Path, entries: Sequence[Entry]) -> list[Picture]:
    """The photographs of a split with their sentences."""
    if missing := [folder for folder in FOLDERS if not (home / folder).is_dir()]:
        raise DataError(
            f'{home / missing[0]} is not there; unpack train2014.zip and val2014.zip (cocodataset.org) in {home}, and '
            f'run the same command with --mode=prepare --data_dir={home.parent}'
        )
    found = [
        Picture(name, (home / folder / name, file), told[:SENTENCES])
        for kind, folder, name, told in entries
        if kind == split
    ]
    if not found:
        raise DataError(f'{file} has no photograph of {split}; get {FILE} again')
    return found


def write_small(home: Path) -> None:
    """A small tree in the form of the published archives; see `scenery.small_captions`."""
    small_captions.write(home, FILE, FOLDERS)
