"""Imports the package and runs its modes on a run of two steps, in one process: what Windows must be able to do.

    python .ci/tour.py FOLDER

Modes that this version does not have yet are left out.
"""

import sys
from pathlib import Path

import cnn_jax.main
from cnn_jax import modes
from cnn_jax.main import main


def commands(folder: Path) -> list[list[str]]:
    """The command lines, in their order."""
    run, lenet = f'--workdir={folder / "run"}', '--experiment=lenet_digits'
    found = [
        [lenet, '--config.smoke', run, '--nopictures'],
        ['--mode=describe', lenet],
        ['--mode=evaluate', run],
        ['--mode=visualize', run, '--method=filters'],
        ['--mode=report', f'--workdir={folder}'],  # the list of runs; the page of one takes a minute
        ['--mode=predict', run, f'--images={folder / "run" / "figures"}'],
        ['--list'],
    ]
    known = modes.names()
    return [words for words in found if not words[0].startswith('--mode=') or words[0].partition('=')[2] in known]


if __name__ == '__main__':
    assert 'jax' not in sys.modules
    print('imported without JAX:', cnn_jax.main.__name__)
    for words in commands(Path(sys.argv[1])):
        print('$', *words, flush=True)
        code = main(words)
        if code:
            sys.exit(code)
