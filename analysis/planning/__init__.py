"""Variance components of a design, and the least difference that it would find."""
