"""The scripts and styles of the microscope, which stand in the page itself: it is one file beside its data."""

from pathlib import Path

_HERE = Path(__file__).parent
_SCRIPTS = (  # in the order that they need
    *('page', 'cards', 'paint', 'charts', 'arrays', 'steps', 'operations', 'program', 'pad'),
    *('overview', 'layer', 'unit', 'attributions', 'image', 'alive', 'sliding'),
    *('scatter', 'marks', 'pointer', 'space', 'training', 'start'),
)
_STYLES = ('microscope', 'space', 'training')
_COMPARISON = ('page', 'cards', 'paint', 'charts', 'pairs', 'compare')  # of the page of two runs
_LIST = ('sort', 'choose')


def section() -> str:
    """The microscope as HTML: an empty place that the scripts fill, with the styles and the scripts."""
    place = '<section id="microscope" aria-label="Microscope" hidden></section>'
    return f'{_style(*_STYLES)}\n{place}\n{_script(*_SCRIPTS)}'


def comparison(runs: str) -> str:
    """The page of two runs as HTML; runs: JSON of what is known of each (see `side_by_side.about_run`)."""
    known = runs.replace('<', '\\u003c')  # no text of a run can end the script
    place = '<section id="microscope" aria-label="Two runs"></section>'
    return (
        f'{_style("microscope", "compare")}\n{place}\n<script type="application/json" id="runs">{known}</script>\n'
        f'{_script(*_COMPARISON)}'
    )


def of_the_list() -> str:
    """What the list of runs can do, as HTML."""
    return _script(*_LIST)


def _style(*names: str) -> str:
    text = '\n'.join((_HERE / f'{name}.css').read_text(encoding='utf-8') for name in names)
    return f'<style>\n{text}</style>'


def _script(*names: str) -> str:
    text = '\n'.join((_HERE / f'{name}.js').read_text(encoding='utf-8') for name in names)
    return f'<script>\n{text}</script>'
