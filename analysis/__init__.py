"""Finished trials: from a sweep's Parquet files to curves, figures and a report. Knows neither Ray nor torch."""
