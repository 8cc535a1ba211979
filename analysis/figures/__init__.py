"""Figures of the numbers: plotly for the report, matplotlib for print."""
