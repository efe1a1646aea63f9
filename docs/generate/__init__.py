"""Writes what the site is built from: the pages of the lecture, run, and the reference, from docstrings."""
