"""The rows of `attribution_truth` as a table, and as curves over training."""

from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.drawing import figure as drawing


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: at the end of training, and before it, of each map; the interval of what is at the end."""
    lines = []
    for task in dict.fromkeys(row['task'] for row in rows):
        own = [row for row in rows if row['task'] == task]
        steps = sorted({row['step'] for row in own if row['step'] is not None})
        right = ', '.join(f'{row["right"]:.1%} at {row["step"]}' for row in own if row['map'] == 'net')
        lines += [f'{task}: right answers {right} steps', '']
        lines += [
            f'| map | pointing, step {steps[-1]} | step {steps[0]} | inside, step {steps[-1]} | step {steps[0]} '
            '| of the magnitude: pointing | inside |',
            '|---|---|---|---|---|---|---|',
        ]
        for name in dict.fromkeys(row['map'] for row in own):
            at = {row['step']: row for row in own if row['map'] == name and 'inside' in row}
            if at:
                last, first = at.get(steps[-1], at.get(None)), at.get(steps[0])
                lines.append(_line(name, last, first))
        lines.append('')
    return '\n'.join(lines)


def _line(name: str, last: Any, first: Any) -> str:
    cells = []
    for what in ('pointing', 'inside'):
        mean, low, high = last[what]
        cells += [f'{mean:.1%} ({100 * low:.0f} to {100 * high:.0f})', f'{first[what][0]:.1%}' if first else '-']
    cells += [f'{last[f"{what}_magnitude"][0]:.1%}' for what in ('pointing', 'inside')]
    return f'| {name.replace("_", " ")} | ' + ' | '.join(cells) + ' |'


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """The curves over training: a panel for each method, the tasks below each other; dashed: the edges of the image."""
    tasks, shown = list(dict.fromkeys(row['task'] for row in rows)), ([], [])
    with drawing.style():
        figure = drawing.new_figure(11, 0.6 + 3.9 * len(tasks))
        for part, task in zip(figure.subfigures(len(tasks), 1, squeeze=False)[:, 0], tasks, strict=True):
            part.suptitle(f'{task}: share of test scenes whose strongest pixel is on the digit, and share of relevance')
            own = [row for row in rows if row['task'] == task and 'inside' in row]
            names = list(dict.fromkeys(row['map'] for row in own if row['step'] is not None))
            panels = part.subplots(2, -(-len(names) // 2), sharex=True, sharey=True).ravel()
            for axes in panels[len(names) :]:
                axes.set_axis_off()
            for axes, name in zip(panels, names, strict=False):
                _draw_panel(axes, name, own)
            shown = panels[0].get_legend_handles_labels()
        figure.legend(*shown, fontsize=8, loc='outside lower center', ncols=4)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def _draw_panel(axes: Any, name: str, rows: list[dict[str, Any]]) -> None:
    found = sorted((row for row in rows if row['map'] == name), key=lambda row: row['step'])
    edges = next(row for row in rows if row['map'] == 'edges')
    places = np.arange(len(found))
    for what, color in (('pointing', drawing.BLUE), ('inside', drawing.ORANGE)):
        mean, low, high = np.array([row[what] for row in found]).T
        axes.plot(places, mean, color=color, marker='o', ms=3, label=what)
        axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)
        axes.axhline(edges[what][0], color=color, linestyle='--', linewidth=0.8, label=f'{what}: edges')
    axes.set_title(name.replace('_', ' '), fontsize=9)
    axes.set_xticks(places, [str(row['step']) for row in found], fontsize=7)
    axes.set_xlabel('step', fontsize=7)
    axes.set_ylim(0, 1.02)
