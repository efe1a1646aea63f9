"""Writing the page: sections in their order into one self-contained HTML file."""

import html
from pathlib import Path
from string import Template

from cnn_jax import describe
from cnn_jax.report import sections, tables
from cnn_jax.report.run import Run

_HERE = Path(__file__).parent


def write_report(run: Run) -> Path:
    """Writes `report/index.html` below the work folder, and the figures with their numbers into `figures/`.

    The page needs no other file and no network; it follows the light or dark theme of the browser. Returns its path.
    """
    layers = describe.layer_table(run.model, run.image_shape, variables=run.variables)
    name = str(run.config.get('experiment', run.workdir.name))
    parts = [
        sections.cards(run, layers),
        sections.curves(run),
        sections.classes(run),
        sections.mistakes(run),
        sections.first_filters(run, layers),
        tables.layers(layers),
        tables.settings(run.config),
    ]
    template = Template((_HERE / 'page.html').read_text(encoding='utf-8'))
    page = template.substitute(
        title=html.escape(f'{name}: {sections.short_result(run)}'),
        style=(_HERE / 'style.css').read_text(encoding='utf-8'),
        kind=html.escape(sections.kind(run)),
        heading=html.escape(name),
        result=html.escape(sections.result(run, type(run.model).__name__)),
        sections='\n'.join(part for part in parts if part),
        footer=html.escape(sections.footer(run)),
    )
    path = run.workdir / 'report' / 'index.html'
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name('index.html.tmp')
    temporary.write_text(page, encoding='utf-8')
    temporary.replace(path)
    return path
