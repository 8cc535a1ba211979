"""This process and others on its machine: which run, their output, home and temporary folders."""
