"""Comparing runs: what differs in how they were made, and in what they do, image by image."""
