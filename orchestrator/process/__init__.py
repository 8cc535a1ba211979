"""Processes of this machine, and this process's output, log, home and temporary folders."""
