"""Writing the page: sections in their order into one self-contained HTML file."""

import html
from pathlib import Path
from string import Template

from cnn_jax import describe
from cnn_jax.report import augmented, gallery, sections, tables
from cnn_jax.report.run import Run
from cnn_jax.whole_file import write_whole

_HERE = Path(__file__).parent


def write_report(run: Run) -> Path:
    """Writes `report/index.html` below the work folder, and the figures with their numbers into `figures/`.

    The page needs no other file and no network; it follows the light or dark theme of the browser. Returns its path.
    """
    layers = describe.layer_table(run.model, run.input_shape, variables=run.variables)
    name = str(run.config.get('experiment', run.workdir.name))
    parts = [
        sections.cards(run, layers),
        sections.curves(run),
        sections.classes(run),
        sections.mistakes(run),
        sections.first_filters(run, layers),
        augmented.section(run.workdir),
        gallery.section(run.workdir),
        tables.layers(layers),
        tables.settings(run.config),
    ]
    return _write(
        run.workdir,
        title=html.escape(f'{name}: {sections.short_result(run)}'),
        kind=html.escape(sections.kind(run)),
        heading=html.escape(name),
        result=html.escape(sections.result(run, type(run.model).__name__)),
        sections='\n'.join(part for part in parts if part),
        footer=html.escape(sections.footer(run)),
    )


def write_pictures(workdir: Path, *, heading: str, source: str) -> Path:
    """Puts the pictures of `figures/` on the page of a run, in the place of earlier ones; a page of them alone where
    there is no page yet.

    heading, source: of a new page: what the pictures are of, and where the weights are from. Returns its path.
    """
    path = workdir / 'report' / 'index.html'
    page = gallery.replaced(path.read_text(encoding='utf-8'), workdir) if path.exists() else None
    if page is not None:
        return _put(path, page)
    return _write(
        workdir,
        title=html.escape(f'{heading}: pictures'),
        kind='Pictures',
        heading=html.escape(heading),
        result=html.escape(source),
        sections=gallery.section(workdir),
        footer=html.escape(f'The pictures and their numbers are in {workdir.name}/figures, as .png and .npz.'),
    )


def _write(workdir: Path, **parts: str) -> Path:
    template = Template((_HERE / 'page.html').read_text(encoding='utf-8'))
    page = template.substitute(parts, style=(_HERE / 'style.css').read_text(encoding='utf-8'))
    return _put(workdir / 'report' / 'index.html', page)


def _put(path: Path, page: str) -> Path:
    """Writes a page in one move, so that it is whole or the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page)
    return path
