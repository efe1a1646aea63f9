"""Data: `pipeline` gives order and batches, `augment` changes images on the device, every other file is one source."""
