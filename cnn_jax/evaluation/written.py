"""An evaluation on the disk: a row for each image as CSV, the metrics as JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.data.pipeline import Data, Source
from cnn_jax.files.cells import marked
from cnn_jax.files.whole import write_whole
from cnn_jax.tasks.results import Evaluation
from cnn_jax.tasks.task import Task

MOST_NAMED = 20_000  # images whose files are looked up: their records are read once more for that


def write(
    folder: Path,
    evaluation: Evaluation,
    source: Source,
    *,
    task: Task,
    data: Data,
    split: str,
    about: Mapping[str, Any],
) -> Path:
    """Writes `SPLIT.csv`, `SPLIT.json` and the task's `SPLIT_NAME.json` into a folder; the path of the first.

    Columns: `row` in the split, `file` where the set has files, then the task's own.

    Args:
        source: the rows of the split.
        about: what the scores are of, such as the checkpoint's step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = evaluation.results['index'].tolist()
    names = file_names(source, rows) if len(rows) <= MOST_NAMED else None
    buffer = io.StringIO()
    writer: Any = None
    for place, row in enumerate(rows):
        one = {name: values[place] for name, values in evaluation.results.items()}
        file = {} if names is None else {'file': names[place]}
        cells = {'row': row, **file, **task.result_columns(one, data.class_names)}
        if writer is None:
            writer = csv.DictWriter(buffer, list(cells), lineterminator='\n')
            writer.writeheader()
        writer.writerow({name: marked(value) for name, value in cells.items()})
    write_whole(folder / f'{split}.csv', buffer.getvalue())
    details = {**about, 'split': split, **task.details(evaluation, data), 'unread': evaluation.unread}
    write_whole(folder / f'{split}.json', json.dumps(details, indent=1) + '\n')
    for name, values in task.files(evaluation, data).items():
        write_whole(folder / f'{split}_{name}.json', json.dumps(values) + '\n')
    return folder / f'{split}.csv'


def file_names(source: Source, rows: Sequence[int]) -> list[str] | None:
    """The names of the files of some rows; None where a set has none."""
    names = getattr(source, 'names', None)
    return None if names is None else names(rows)
