"""Formulations that are faster than XLA's own on an NVIDIA GPU, and the choice among them."""
