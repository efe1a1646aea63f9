"""What pyproject.toml cannot say: the experiments stand beside the package here, and within it where it is installed.

A top-level package `experiments` would stand in for those of other people.
"""

from setuptools import find_packages, setup

EXPERIMENTS = {f'cnn_jax.{name}': name.replace('.', '/') for name in find_packages(include=['experiments*'])}

setup(packages=[*find_packages(include=['cnn_jax*']), *EXPERIMENTS], package_dir=EXPERIMENTS)
