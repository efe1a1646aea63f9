"""Formulations that are faster than XLA's own on a CPU, and the choice among them."""
