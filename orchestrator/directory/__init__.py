"""Directory of a sweep: its reader and its only writer, its lease, its damage, and the work left to do."""
