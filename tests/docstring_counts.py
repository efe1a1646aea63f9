"""The numbers that a net's docstring gives: parameters and multiply-adds, of which variant, on images of which size.

They are read in three forms: a row of a table, `| `resnet18` | 11,689,512 | 1.814 G |`, with `at 32x32x3` behind the
name where the images are not those that the text before it names; a sentence, `61,706 parameters and 416,520
multiply-adds on 32x32x1 images`, of the first variant of its class; and, of nets that classify nothing, `Learned
parameters: `resnet18` 11,391,444 at 512x512x3`.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

SIZE = r'(\d+x\d+x\d+)'
ROW = re.compile(rf'\| `([^`]+)`(?: \([^)]*\))?(?: at {SIZE})? \| ([\d,]+) \| ([\d.]+ G|[\d,]+) \|')
SENTENCE = re.compile(rf'([\d,]+) parameters(?: that train)? and ([\d.]+ G|[\d,]+) multiply-adds on {SIZE} images')
LEARNED = re.compile(rf'`([\w-]+)` ([\d,]+) at {SIZE}')


class Count(NamedTuple):
    """What is said of a variant.

    Attributes:
        variant: its name in VARIANTS.
        shape: (height, width, channels) of the images.
        parameters: that train; of a classifier without the heads of training alone.
        macs: multiply-adds of one image, as they are written; '' where they are not said.
    """

    variant: str
    shape: tuple[int, int, int]
    parameters: int
    macs: str = ''

    def written(self, macs: int) -> str:
        """A number of multiply-adds in the form of this one: '1.814 G' or '416,520'."""
        return f'{macs / 1e9:.{len(self.macs.partition(".")[2]) - 2}f} G' if ' G' in self.macs else f'{macs:,}'


def counts(variants: dict[str, Any], kind: type) -> list[Count]:
    """What the docstring of a class of nets says of its variants.

    variants: makers of nets by name, as a family's VARIANTS.

    Raises:
        ValueError: a row of its table has another form, or is of no variant.
    """
    text = kind.__doc__ or ''
    found = list(_rows(text))
    words = ' '.join(text.split())
    own = [name for name, make in variants.items() if type(make()) is kind]
    found += [Count(own[0], _shape(size), _number(count), macs) for count, macs, size in SENTENCE.findall(words)]
    learned = words.partition('Learned parameters: ')[2]
    found += [Count(name, _shape(size), _number(count)) for name, count, size in LEARNED.findall(learned)]
    for count in found:
        if count.variant not in own:
            raise ValueError(f'the docstring of {kind.__name__} counts {count.variant!r}, which is no variant of it')
    return found


def _rows(text: str) -> Iterator[Count]:
    usual = re.search(SIZE, text)
    for line in re.findall(r'\| `.*', text):
        row = ROW.match(line)
        size = row and (row[2] or (usual and usual[1]))
        if not row or not size:
            form = '| `name` at 32x32x3 | 61,706 | 0.416 G |'
            raise ValueError(f'a row of the docstring is {line!r}; give it the form {form}')
        yield Count(row[1], _shape(size), _number(row[3]), row[4])


def _shape(size: str) -> tuple[int, int, int]:
    height, width, channels = map(int, size.split('x'))
    return height, width, channels


def _number(text: str) -> int:
    return int(text.replace(',', ''))
