"""The photographs: real files through the pipeline of ImageNet; what a bad one among them does to a run."""

from itertools import islice

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import photographs, pipeline, streaming
from cnn_jax.data.formats.encoded import EncodedSource
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.workdir.log import Log


def load(**options):
    return photographs.load(batch_size=8, image_size=32, resize=40, **options)


def test_counts_and_forms(data_dir):
    data = load()
    source = data.open('train', data_dir)
    assert isinstance(source, EncodedSource)
    assert (len(source), len(data.open('test', data_dir))) == (48, 16)
    names = [source.records([row])[0].name for row in range(48)]
    assert names[0] == 'n01/n01_0.JPEG'
    root = data_dir / photographs.NAME / 'files' / 'train' / 'n01'
    modes = []
    for number in range(5):
        with Image.open(root / f'n01_{number}.JPEG') as picture:
            modes.append((picture.format, picture.mode, picture.getexif().get(0x0112)))
    assert modes == [
        *(('JPEG', 'L', None), ('JPEG', 'CMYK', None), ('PNG', 'RGB', None), ('JPEG', 'RGB', 6), ('JPEG', 'RGB', None)),
    ]


def test_training_images_grow_by_step(data_dir):
    source = load().open('train', data_dir)
    sizes = ((0, 16), (3, 24))
    data = pipeline.Data(**{**vars(load()), 'train_sizes': sizes})
    batches = list(islice(streaming.stream(source, seed=0, batch_size=8, size=data.train_size), 5))
    assert [batch['image'].shape[1:] for batch in batches] == [(16, 16, 3)] * 3 + [(24, 24, 3)] * 2
    resumed = next(streaming.stream(source, seed=0, batch_size=8, start_step=3, size=data.train_size))
    np.testing.assert_array_equal(resumed['image'], batches[3]['image'])


@pytest.mark.parametrize('sizes', [((1, 16),), ((0, 16), (0, 24)), ((0, 0),)])
def test_sizes_are_checked(sizes):
    with pytest.raises(CnnJaxError, match='train_sizes: got'):
        pipeline.Data(**{**vars(load()), 'train_sizes': sizes})


def test_a_bad_image_is_said_in_the_log_of_the_run(tmp_path, data_dir, capsys):
    load().open('train', data_dir)  # the files are there
    source = data_dir / photographs.NAME / 'files'
    spoilt = tmp_path / photographs.NAME / 'files'
    for split in photographs.SPLITS:
        for path in (source / split).rglob('*.JPEG'):
            (spoilt / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (spoilt / path.relative_to(source)).write_bytes(path.read_bytes())
    for number in (3, 4):  # one alone never stops a run
        (spoilt / 'train' / 'n02' / f'n02_{number}.JPEG').write_bytes(b'\xff\xd8 cut short')
    with pytest.raises(DataError, match=r'2 bad images in cnn_jax_photographs train, more than 0\.100%') as caught:
        load().open('train', tmp_path)
    assert caught.value.exit_code == 3
    lenient = load(max_bad_images=0.05).open('train', tmp_path)
    (tmp_path / 'run').mkdir()
    log = Log(tmp_path / 'run')
    log.listen()
    list(islice(streaming.stream(lenient, seed=0, batch_size=8), 13))  # two epochs: it is said once
    log.close()
    line = ' in cnn_jax_photographs train, more than 2 stop the run: n02/n02_3.JPEG: '
    assert capsys.readouterr().out.count(line) == 1
    assert (tmp_path / 'run' / 'log.txt').read_text().count(line) == 1
