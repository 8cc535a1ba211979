"""``sweep.yaml``: what a sweep is, as its driver writes it and every reader of the rows reads it."""
