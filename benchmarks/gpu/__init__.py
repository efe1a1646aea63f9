"""The accelerator table: `python -m benchmarks.gpu`."""
