"""Runs one script of the lecture and writes it as a page: its text, its code, what it prints, its figures.

    python -m docs.generate.run_page docs/lecture/02_convolution.py FOLDER

Writes FOLDER/02_convolution.md and FOLDER/02_convolution_1.png and so on.
"""

import contextlib
import io
import sys
import time
from pathlib import Path
from typing import Any

from docs.generate import cells
from docs.generate.links import linked


class _Output:
    """What a cell gives: text and figures, in the order in which they come."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder, self.stem, self.figures = folder, stem, 0
        self.text, self.parts = io.StringIO(), []

    def receive(self, figure: Any, caption: str) -> None:
        self._end_text()
        self.figures += 1
        name = f'{self.stem}_{self.figures}.png'
        figure.savefig(self.folder / name, dpi=160)
        plain = caption.replace('[', '').replace(']', '')
        self.parts.append(f'![{plain}]({name})\n\n*{caption}*{{ .caption }}')

    def take(self) -> list[str]:
        self._end_text()
        parts, self.parts = self.parts, []
        return parts

    def _end_text(self) -> None:
        if said := self.text.getvalue().rstrip():
            self.parts.append(f'```{{ .text .printed .no-copy }}\n{said}\n```')
        self.text.seek(0)
        self.text.truncate()


def write(script: Path, folder: Path) -> None:
    """Runs a script cell by cell in one namespace. An error of a cell is raised as it is, with the script's lines."""
    sys.path[:0] = [str(script.parent)]
    import page  # beside the script  # pyright: ignore[reportMissingImports]

    output, parts, began = _Output(folder, script.stem), [], time.monotonic()
    page.receive = output.receive
    space: dict[str, Any] = {'__name__': '__main__', '__file__': str(script)}
    for cell in cells.read(script):
        if cell.kind == 'markdown':
            parts.append(linked(cell.text))
            continue
        parts.append(f'```python\n{cell.text}\n```')
        code = compile('\n' * (cell.line - 1) + cell.text, str(script), 'exec')
        with contextlib.redirect_stdout(output.text):
            exec(code, space)
        parts += output.take()
    parts.append(_foot(script))
    (folder / f'{script.stem}.md').write_text('\n\n'.join(parts) + '\n', encoding='utf-8')
    print(f'{script.name}: {time.monotonic() - began:.0f} s, {output.figures} figures')


def _foot(script: Path) -> str:
    return (
        f'---\n\nThis page is the script `docs/lecture/{script.name}`. Run it, change a number, run it again: '
        f'`python docs/lecture/{script.name}`, or open it in Jupyter or VS Code, cell by cell.'
    )


if __name__ == '__main__':
    write(Path(sys.argv[1]), Path(sys.argv[2]))
