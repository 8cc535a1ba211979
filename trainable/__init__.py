"""One trial: a data set with a bias of a chosen strength, a network, a method. Knows torch, never Ray."""

NUMERICS = 1
"""Raised by any commit that changes a number a trial produces: rows of different numerics are not comparable."""
