"""The scripts and styles of the microscope, which stand in the page itself: it is one file beside its data."""

from pathlib import Path

_HERE = Path(__file__).parent
_SCRIPTS = (
    *('page', 'cards', 'paint', 'charts', 'arrays', 'operations', 'program', 'pad'),
    *('overview', 'layer', 'unit', 'attributions', 'image', 'alive', 'sliding', 'start'),
)  # in the order that they need


def section() -> str:
    """The microscope as HTML: an empty place that the scripts fill, with the styles and the scripts."""
    style = (_HERE / 'microscope.css').read_text(encoding='utf-8')
    code = '\n'.join((_HERE / f'{name}.js').read_text(encoding='utf-8') for name in _SCRIPTS)
    return (
        f'<style>\n{style}</style>\n<section id="microscope" aria-label="Microscope" hidden></section>\n'
        f'<script>\n{code}</script>'
    )
