"""Pictures of what a network learned: one file per method."""
