"""Training and inference on one NVIDIA GPU: ours, plain Flax, torchvision's nets in torch eager and compiled.

    python -m benchmarks.gpu                    # under nine minutes; writes results/gpu.json and the page's table
    python -m benchmarks.gpu --tiny             # tries all of it on a CPU, at sizes that say nothing about speed
    python -m benchmarks.gpu --from=gpu.json    # the page's table from a result of another machine

Images are random and on the device, different batches take turns, compute is bfloat16. A step is forward, backward and
the update of SGD with momentum; the time is the median of blocked wall times after a warm-up, and losses are checked
to be finite. Inference has bfloat16 weights, ours with batch norm folded. Every framework and net has a process of its
own, one at a time on the card, and a box of time; results are written after each part. benchmarks/gpu/roofline.py says
what the share of the roofline counts. Needs jax 0.10 or newer for the GPU; torch and torchvision to have the peers.
"""

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.gpu import plan, table
from benchmarks.gpu.cases import CASES

RESULTS = plan.ROOT / 'benchmarks' / 'results' / 'gpu.json'
PAGE = plan.ROOT / 'docs' / 'pages' / 'why' / 'speed.md'


def collect(rows: Iterable[dict[str, Any]], output: Path | None) -> dict[str, Any]:
    """Prints each row and writes all so far to `output`; the whole result.

    Raises:
        SystemExit: the first row says that there is no GPU, and a file was to be written.
    """
    result: dict[str, Any] = {'date': time.strftime('%Y-%m-%d'), 'device': '', 'versions': '', 'rows': []}
    begin = time.monotonic()
    for row in rows:
        if output and row.get('platform') == 'cpu':
            raise SystemExit('JAX finds no GPU here; --tiny tries the benchmark on a CPU')
        print(table.line(row), flush=True)
        result['rows'].append(row)
        versions = {name: found[name] for found in result['rows'] for name in ('jax', 'torch') if name in found}
        result['versions'] = ', '.join(f'{name} {version}' for name, version in versions.items())
        result['device'] = result['device'] or row.get('device', '')
        result['seconds'] = round(time.monotonic() - begin)
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(result, indent=1) + '\n')
    return result


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--frameworks', nargs='+', choices=list(plan.PARTS)[1:], default=list(plan.PARTS)[1:])
    parser.add_argument('--seconds', type=float, default=3.0, help='of measuring, for each figure')
    parser.add_argument('--output', type=Path, default=RESULTS)
    parser.add_argument('--tiny', action='store_true')
    parser.add_argument('--from', dest='source', type=Path)
    options = parser.parse_args(arguments)
    if options.source:
        result = json.loads(options.source.read_text())
    else:
        seconds = 0.0 if options.tiny else options.seconds
        planned = plan.tasks(options.models, options.frameworks, seconds=seconds, tiny=options.tiny)
        rows = plan.run_here(planned) if options.tiny else plan.run_in_processes(planned)
        result = collect(rows, None if options.tiny else options.output)
    text = table.markdown(result)
    print(f'\n{text}')
    if not options.tiny:
        PAGE.write_text(table.put_into(PAGE.read_text(), text))
        print(f'\nwritten to {options.source or options.output} and {PAGE}')
    return result


if __name__ == '__main__':
    main()
