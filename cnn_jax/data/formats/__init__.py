"""Reading and writing the files that data sources come in."""
