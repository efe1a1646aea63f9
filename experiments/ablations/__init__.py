"""The ablations of the papers; `python -m cnn_jax.main --mode=ablate --experiment=ablations/NAME` runs one."""
