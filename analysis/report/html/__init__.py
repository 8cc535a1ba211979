"""Pieces of HTML that know nothing of sweeps."""
