"""Data sets that papers use, read from their files as published: a table of each, and what a sweep takes of it."""
