"""Ablations: a grid of runs that differ in few options, and a table that says whether the differences mattered."""
