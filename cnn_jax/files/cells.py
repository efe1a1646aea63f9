"""Cells of CSV tables: what a spreadsheet would take for a formula is marked as text, as spreadsheets mark it."""

from typing import Any

FORMULA = ('=', '+', '-', '@', '\t', '\r')  # how cells begin that a spreadsheet computes
MARK = "'"


def marked(value: Any) -> Any:
    """A cell as it is written: a text that begins as a formula does, and is no number, gets a mark before it."""
    return f'{MARK}{value}' if isinstance(value, str) and _begins(value) and not _is_number(value) else value


def unmarked(text: str) -> str:
    """The text of a cell that `marked` has written."""
    return text[len(MARK) :] if text.startswith(MARK) and _begins(text) else text


def _begins(text: str) -> bool:
    """Whether a text begins as a formula does; marks before that are there already."""
    return text.lstrip(MARK).startswith(FORMULA)


def _is_number(text: str) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False
