"""What threads read and write with is imported before they start: two that first import TFDS at once may hang."""

import os
import subprocess
import sys
from pathlib import Path

from small_imagenet import make_tree

# Fails where a thread other than the first one looks for a module of a package that is not there yet.
CODE = """
import sys, threading
late = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            late.append(name)
sys.meta_path.insert(0, Watch())
from pathlib import Path
import numpy as np
from cnn_jax.data import folder, streaming
from cnn_jax.evaluation.protocols.run import _Run
from cnn_jax.devices import mapping
data = folder.load(folder=sys.argv[1], batch_size=2, image_size=32, resize=36)
data.prepare(Path(sys.argv[2]), print)
source = data.open('train', Path(sys.argv[2]))
stream = streaming.stream(source, seed=0, batch_size=2, repeats=1, size=lambda step: None, start_step=0,
                         fields=data.row_fields, shard=(0, 1))
next(stream)
test = data.open('test', Path(sys.argv[2]))
next(streaming.stream_evaluation(test, batch_size=2, shard=(0, 1), fields=data.row_fields))
run = _Run(None, source, 'ten_crop', 2, batch_size=4, mesh=mapping.make_mesh(1), poll=lambda: None)
list(run._all_views())
heavy = ('tensorflow_datasets', 'array_record', 'etils', 'google', 'cv2', 'PIL', 'simplejpeg', 'tensorflow')
print('LATE', sorted({name for name in late if name.partition('.')[0] in heavy}))
"""


def test_no_thread_imports_what_it_reads_with(tmp_path):
    tree, root = make_tree(tmp_path / 'photos'), Path(__file__).parent.parent
    environment = {**os.environ, 'PYTHONPATH': str(root)}
    command = [sys.executable, '-c', CODE, str(tree), str(tmp_path / 'data')]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'LATE []'
