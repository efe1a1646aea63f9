"""What the page of a painter shows: how near the pictures of the test images are to their content and to the style."""

from cnn_jax.drawing import charts
from cnn_jax.drawing.page import figure_html, section
from cnn_jax.tasks import cases
from cnn_jax.tasks.run import Run

SHOWN = 'Left: the image; right: the picture that the net makes of it.'
PARTS = {'content_loss': 'What is lost of the content', 'style_loss': 'What lacks of the style'}


def sections(run: Run) -> list[str]:
    """The sections of the page that are the painter's own."""
    if not run.results:
        return []
    drawn = {name: charts.sorted_values(run.results[name], label='weighted loss') for name in PARTS}
    shown = [figure_html(run.workdir, name, title, drawn[name], run.record) for name, title in PARTS.items()]
    note = 'The two losses of each test image, as weighted in training, sorted.'
    painted = section('What is painted', note, f'<div class="figures">{"".join(shown)}</div>')
    return [painted, *cases.sections(run, SHOWN)]
