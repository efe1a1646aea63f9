"""The model families, one file each: a class and `VARIANTS`, a dict of constructors by name."""
