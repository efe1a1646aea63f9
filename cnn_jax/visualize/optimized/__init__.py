"""Pictures made by optimisation: images that an objective likes, and what keeps them natural."""
