"""Numbers and words as people read them, on the console and on pages: durations, shares, counts, foreign names."""

import math
import re

# What a terminal obeys, what turns the direction of writing around, and halves of letters: none of it is text.
NOT_TEXT = re.compile('[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def duration(seconds: float) -> str:
    """'8.2 s', '12 s', '3 min 20 s', '2 h 05 min'; '-' for what is not finite."""
    if not math.isfinite(seconds):
        return '-'
    if seconds < 9.95:  # 9.96 is '10 s', not '10.0 s'
        return f'{seconds:.1f} s'
    whole = round(seconds)
    if whole < 60:
        return f'{whole} s'
    if whole < 3600:
        return f'{whole // 60} min {whole % 60:02d} s'
    return f'{whole // 3600} h {whole % 3600 // 60:02d} min'


def percent(fraction: float, digits: int | None = None) -> str:
    """0.98889 as '98.9 %'. Without `digits` there is one, and two just below 1."""
    if digits is None:
        digits = 2 if 0.995 <= fraction < 1 else 1
    return f'{100 * fraction:.{digits}f} %'


def short_count(number: int) -> str:
    """61706 as '61,706', 138357544 as '138.4 M'."""
    if number >= 10**9:
        return f'{number / 10**9:.1f} G'
    if number >= 10**7:
        return f'{number / 10**6:.1f} M'
    return f'{number:,}'


def capitalised(text: str) -> str:
    """'mean average precision' as 'Mean average precision'."""
    return text[:1].upper() + text[1:]


def printable(text: str) -> str:
    """A text for a terminal or a log: what is in it that is not text, as in names from files, is shown as an escape."""
    return NOT_TEXT.sub(lambda found: found[0].encode('unicode_escape').decode(), text)


def one_line(text: str) -> str:
    """A name for a table or a figure: printable, in one line."""
    return printable(' '.join(text.split()))


def times(count: int) -> str:
    """'once', '3 times'."""
    return 'once' if count == 1 else f'{count:,} times'


def table(rows: list[list[tuple[str, str]]]) -> str:
    """Rows of (column, cell) in columns as wide as they need; the heads are the first row's."""
    if not rows:
        return ''
    lines = [[name for name, _ in rows[0]], *([cell for _, cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines if place < len(line)) for place in range(max(map(len, lines)))]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip() for line in lines
    )
