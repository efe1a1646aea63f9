"""One file per run; `python -m cnn_jax.main --list` shows them."""
