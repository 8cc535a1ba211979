"""Intervals, variances and tests over seeds and patients, as pure functions of arrays."""
