"""Packages beyond those that a model needs: which one a module comes with. The extra `all` has them."""

PACKAGES = {
    'array_record': 'array-record',
    'cv2': 'opencv-python-headless',
    'flatbuffers': 'flatbuffers',
    'grain': 'grain',
    'h5py': 'h5py',
    'matplotlib': 'matplotlib',
    'onnx': 'onnx',
    'optax': 'optax',
    'orbax': 'orbax-checkpoint',
    'PIL': 'pillow',
    'pycocotools': 'pycocotools',
    'rich': 'rich',
    'sacrebleu': 'sacrebleu',
    'safetensors': 'safetensors',
    'scipy': 'scipy',
    'simplejpeg': 'simplejpeg',
    'skimage': 'scikit-image',
    'sklearn': 'scikit-learn',
    'tensorflow_datasets': 'tensorflow-datasets',
}


def missing_package(module: str | None) -> str | None:
    """What has to be installed for a module that is not there; None for a module of no such package."""
    return PACKAGES.get((module or '').partition('.')[0])
