"""Commands of the command line: a function for each, named like it."""
