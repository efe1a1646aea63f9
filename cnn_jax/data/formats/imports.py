"""What the threads that read and write images import, imported once and by one thread.

TFDS imports parts of itself when they are first used. Two threads that did so at once have waited for each other for
ever, and Ctrl-C did not end that.
"""

import threading

_lock = threading.Lock()
_done = threading.Event()


def import_once() -> None:
    """Imports them where that is not done yet; threads that come meanwhile wait.

    To be called before a pool of threads starts, and by whoever may be the first in a worker process.

    Raises:
        ImportError: a package is not installed.
    """
    if _done.is_set():
        return
    with _lock:
        if _done.is_set():
            return
        _import_all()
        _done.set()


def _import_all() -> None:
    import array_record.python.array_record_module
    import cv2
    import simplejpeg
    import tensorflow_datasets.core.reader
    from PIL import Image
    from tensorflow_datasets.proto import tf_example_pb2

    del array_record, cv2, simplejpeg, tensorflow_datasets, tf_example_pb2
    Image.init()  # its readers of formats, which it would import at the first image
