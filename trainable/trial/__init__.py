"""One trial: its training loop, what makes its numbers, its files and its row."""
