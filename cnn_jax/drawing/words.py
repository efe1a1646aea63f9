"""Numbers and times in words."""


def percent(fraction: float) -> str:
    """0.98889 as '98.9 %'; two decimals near the ends."""
    digits = 2 if 0.995 <= fraction < 1 else 1
    return f'{100 * fraction:.{digits}f} %'


def short_count(number: int) -> str:
    """61706 as '61,706', 138357544 as '138.4 M'."""
    for unit, size in (('G', 10**9), ('M', 10**6)):
        if number >= 10 * size or (unit == 'G' and number >= size):
            return f'{number / size:.1f} {unit}'
    return f'{number:,}'


def duration(seconds: float) -> str:
    """'12.3 s', '3 min 20 s', '2 h 05 min'."""
    if seconds < 59.5:
        return f'{seconds:.1f} s' if seconds < 10 else f'{seconds:.0f} s'
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes < 60 else f'{minutes // 60} h {minutes % 60:02d} min'


def capitalised(text: str) -> str:
    """'mean average precision' as 'Mean average precision'."""
    return text[:1].upper() + text[1:]
