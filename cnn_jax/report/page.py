"""The page of a run: which sections it has, and their order."""

from collections.abc import Callable
from pathlib import Path

from cnn_jax import describe
from cnn_jax.drawing.page import page_path, put_page
from cnn_jax.files.whole import write_whole
from cnn_jax.report import augmented, gallery, microscope, photograph, sections, tables, web
from cnn_jax.report.microscope import Look
from cnn_jax.report.parts import part
from cnn_jax.tasks.run import Run


def write_report(run: Run, look: Look | None = None, *, told: Callable[[str], None] = lambda words: None) -> Path:
    """Writes `report/index.html` below the work folder, and the figures with their numbers into `figures/`.

    Returns the path of the page.

    look: for the microscope, whose scripts go into `report/data/`; None: the page is without it. told: hears what is
    looked at.
    """
    layers = describe.layer_table(run.model, run.input_shape, variables=run.variables or None)
    name = tables.short_name(run.config, run.workdir)
    seen = part('the microscope', lambda: _microscope(run, look, told), otherwise='')
    parts = {
        'its numbers': lambda: [sections.cards(run, layers)],
        'the curves': lambda: [_without_scripts(sections.curves(run)) if seen else sections.curves(run)],
        'what the task shows': lambda: run.task.sections(run),
        'the first filters': lambda: [sections.first_filters(run, layers)],
        'the training images': lambda: [augmented.section(run.workdir)],
        'the pictures': lambda: [gallery.section(run.workdir)],
        'the layers': lambda: [tables.layers(layers)],
        'the settings': lambda: [tables.settings(run.config)],
    }
    return put_page(
        run.workdir,
        title=f'{name}: {run.task.short_result(run)}',
        kind=sections.kind(run),
        heading=name,
        result=' '.join(filter(None, (sections.result(run, type(run.model).__name__), sections.openings(run)))),
        sections=[seen, *(html for name, make in parts.items() for html in part(name, make, otherwise=[]))],
        footer=sections.footer(run),
    )


def _without_scripts(html: str) -> str:
    """What the microscope shows too, for a reader whose browser runs no scripts."""
    return f'<noscript>{html}</noscript>' if html else ''


def _microscope(run: Run, look: Look | None, told: Callable[[str], None]) -> str:
    if look is None or not run.variables:
        return ''
    microscope.write(run, look, told=told)
    return web.section()


def write_pictures(workdir: Path, *, heading: str, source: str, opening: str = '') -> Path:
    """Puts the pictures of `figures/` on the page of a run, in the place of earlier ones; returns its path.

    Where there is no page, one is made with the pictures alone.

    Args:
        heading: of a new page: what the pictures are of.
        source: of a new page: where the weights are from.
        opening: what `photograph.of_photograph` gives; it stands in front of the pictures.
    """
    path = page_path(workdir)
    page = gallery.replaced(path.read_text(encoding='utf-8'), workdir) if path.exists() else None
    if page is not None:
        write_whole(path, photograph.placed(page, opening, gallery.START) if opening else page)
        return path
    return put_page(
        workdir,
        title=f'{heading}: pictures',
        kind='Pictures',
        heading=heading,
        result=source,
        sections=[opening, gallery.section(workdir)],
        footer=f'The pictures and their numbers are in {workdir.name}/figures, as .png and .npz.',
    )
