"""Data: `pipeline` gives order and batches, `augment*` change images on the device, `formats` reads and writes files;
every other file is one source."""
