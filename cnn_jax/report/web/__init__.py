"""The scripts and styles of the microscope, which stand in the page itself: it is one file beside its data."""

from pathlib import Path

_HERE = Path(__file__).parent
_SCRIPTS = (  # in the order that they need
    *('page', 'paint', 'charts', 'overview', 'layer', 'unit', 'image'),
    *('scatter', 'pointer', 'space', 'training', 'start'),
)
_STYLES = ('microscope', 'space', 'training')


def section() -> str:
    """The microscope as HTML: an empty place that the scripts fill, with the styles and the scripts."""
    style = '\n'.join((_HERE / f'{name}.css').read_text(encoding='utf-8') for name in _STYLES)
    code = '\n'.join((_HERE / f'{name}.js').read_text(encoding='utf-8') for name in _SCRIPTS)
    return (
        f'<style>\n{style}</style>\n<section id="microscope" aria-label="Microscope" hidden></section>\n'
        f'<script>\n{code}</script>'
    )
