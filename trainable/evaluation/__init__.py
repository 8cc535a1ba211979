"""Measures of a trained network: metrics, calibration, the bias probe."""
