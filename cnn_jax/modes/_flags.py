"""What a flag is, and the flags that several modes have."""

from typing import Any, Literal, NamedTuple


class Flag(NamedTuple):
    """A flag of the command line.

    Attributes:
        name: without the dashes.
        help: one line.
        kind: of its value; a switch is true where it is named.
        default: None where nothing is chosen.
        least, most: of a number.
        choices: of a text; empty: any.
    """

    name: str
    help: str
    kind: Literal['text', 'number', 'switch'] = 'text'
    default: Any = None
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()


FOLD = Flag(
    'fold', 'which of the parts of the training images is held out for validation; default: 0', 'number', least=0
)
SPLIT = Flag(
    'split',
    'which images; a look at the test split is counted; default: test; of compare validation, if all runs held it out',
    choices=('test', 'validation', 'train'),
)
SEED = Flag('seed', 'of all randomness', 'number', 0, least=0, most=2**32 - 1)
INIT_FROM = Flag('init_from', 'weights to take: a file, RUN, RUN/checkpoints/best, or RUN/checkpoints/STEP')
ARCHITECTURE = Flag('architecture', 'published name of the weights of --init_from, as timm/resnet50.a1_in1k')
PREPROCESSING = Flag(
    'preprocessing',
    'of images, where --init_from was trained on another than the experiment prepares',
    choices=('weights', 'experiment'),
)
CHECKPOINT = Flag(
    'checkpoint',
    'of the run: latest, best (on its validation split), a step, or result: best where it ends with that',
    default='result',
)
DATA_DIR = Flag('data_dir', 'data sets; default: $TFDS_DATA_DIR, else ~/tensorflow_datasets')
EVAL_BATCH_SIZE = Flag('eval_batch_size', 'images per evaluation batch; changes no result', 'number', least=1)
OUTPUT = Flag('output', 'where answers go: predict a .csv, .jsonl or .json file, or a folder of masks; export a folder')
QUESTIONS = Flag(
    'questions',
    'a .jsonl file, {"image", "question", "choices"} a line; of predict --images is their folder, of visualize --image '
    'the number of one',
)
PARALLEL = Flag('parallel', 'how devices share a step', default='mapped', choices=('mapped', 'pmap', 'sharded'))
DISTRIBUTED = Flag('distributed', 'join other processes; a cluster is joined without it', 'switch', False)
PICTURES = Flag('pictures', 'draw at the end; --nopictures leaves it out', 'switch', True)
LOG_TO = Flag('log_to', 'show the metrics elsewhere too: tensorboard,wandb')
