"""A run that is broken at random until it ends, and must end as the one that nothing touched."""
