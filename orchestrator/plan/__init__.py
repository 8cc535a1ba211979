"""Plan of a sweep before it starts: its cells, search spaces, names and seeds, and its estimated time and cost."""
