"""What the page of a captioner shows: pictures with their sentences, and where the net looked for each word."""

from cnn_jax.tasks.run import Run


def sections(run: Run) -> list[str]:
    """The sections of the page that are captioning's own."""
    return []
