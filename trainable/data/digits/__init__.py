"""Coloured digits."""
