"""Files, whatever is in them: written whole, and locked."""
