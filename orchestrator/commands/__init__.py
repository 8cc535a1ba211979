"""Commands of the command line, each a function of the command's name."""
