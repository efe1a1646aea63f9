"""The measured rows as the table of docs/pages/why/speed.md, and as a line each while they come in."""

from typing import Any

from benchmarks.gpu.roofline import Work

PEERS = ('flax', 'torch eager', 'torch compiled')
START, END = '<!-- benchmarks.gpu -->', '<!-- end of benchmarks.gpu -->'
HEAD = """\
| net, batch | ours | Flax | torch eager | torch compiled | ours / best peer | of the roofline | first call | memory |
|---|---|---|---|---|---|---|---|---|"""

Row = dict[str, Any]


def line(row: Row) -> str:
    """One row for the console."""
    name = f'{row["model"]:10}{row["part"]:11}{row["framework"]:16}'
    if 'error' in row:
        return f'{name}{row["error"]}'
    if row['framework'] == 'card':
        unit = 'GB/s' if row['part'] == 'copy' else 'GFLOP/s'
        return f'{name}{row["per_second"] / 1e9:14,.0f} {unit}'
    return (
        f'{name}{row["per_second"]:14,.0f} images/s{row["milliseconds"]:10.2f} ms a step'
        f'{row["first_call_seconds"]:8.1f} s first call  {memory(row)}'
    )


def memory(row: Row) -> str:
    return f'{row["peak_bytes"] / 2**30:.1f} GiB' if row.get('peak_bytes') else '-'


def markdown(result: Row) -> str:
    """The table with its caption: hardware, versions, date."""
    rows = {(row['framework'], row['model'], row['part']): row for row in result['rows']}
    nets = list(dict.fromkeys((row['model'], row['part']) for row in result['rows'] if row['framework'] == 'ours'))
    cells = [_cells(rows, *net) for net in sorted(nets, key=lambda net: net[1], reverse=True)]
    missing = not_measured(result['rows'])
    copy, product = (rows['card', 'card', part].get('per_second', 0) for part in ('copy', 'matmul'))
    caption = (
        f'{result["device"]}, {result["versions"]}, {result["date"]}; images/s. Ceilings measured in the same run: '
        f'copy {copy / 1e9:,.0f} GB/s, bfloat16 product {product / 1e12:,.0f} TFLOP/s.'
    )
    return '\n'.join([caption, '', HEAD, *cells, *(['', 'Not measured:', '', *missing] if missing else [])])


def not_measured(rows: list[Row]) -> list[str]:
    """A line for each framework and reason: the nets that have no figure, with the part where the other has one."""
    parts: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in rows:
        if 'error' in row:
            nets = parts.setdefault((row['framework'], row['error']), {})
            nets.setdefault(row['model'], []).append('training' if row['part'] == 'train' else row['part'])
    return [
        f'- {framework}: {", ".join(net if found[1:] else f"{net} ({found[0]})" for net, found in nets.items())}: {why}'
        for (framework, why), nets in parts.items()
    ]


def _cells(rows: dict[tuple[str, str, str], Row], model: str, part: str) -> str:
    ours = rows['ours', model, part]
    peers = [rows.get((peer, model, part), {}) for peer in PEERS]
    speeds = [row.get('per_second') for row in (ours, *peers)]
    best = max((speed for speed in speeds[1:] if speed), default=None)
    ratio = f'{speeds[0] / best:.2f}' if speeds[0] and best else '-'
    first = f'{ours["first_call_seconds"]:.0f} s' if speeds[0] else '-'
    images = [f'{speed:,.0f}' if speed else '-' for speed in speeds]
    share = share_of_roofline(ours, rows)
    kind = 'training' if part == 'train' else part
    batch = f', {ours["batch"]}' if 'batch' in ours else ''
    entries = [f'{model} {kind}{batch}', *images, ratio, '-' if share is None else f'{share:.0%}', first]
    return '| ' + ' | '.join([*entries, memory(ours)]) + ' |'


def share_of_roofline(row: Row, rows: dict[tuple[str, str, str], Row]) -> float | None:
    """The least time that the card's own ceilings allow, over the time that a step took."""
    copy, product = (rows.get(('card', 'card', part), {}).get('per_second') for part in ('copy', 'matmul'))
    if not (copy and product and 'flops' in row and 'milliseconds' in row):
        return None
    floor = Work(row['flops'], row['bytes']).seconds(flops_per_second=product, bytes_per_second=copy)
    return floor / (row['milliseconds'] / 1e3)


def put_into(text: str, table: str) -> str:
    """A page with the table between its two marks.

    Raises:
        ValueError: the marks are not there.
    """
    if START not in text or END not in text:
        raise ValueError(f'the page has no lines {START} and {END}')
    before, _, rest = text.partition(START)
    return f'{before}{START}\n{table}\n{END}{rest.partition(END)[2]}'
