"""Sweep file: its models, and the functions that read, change and refuse it."""
