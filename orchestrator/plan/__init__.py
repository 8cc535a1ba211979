"""A sweep before it starts: its cells, what is searched, names, seeds, and what it will take."""
