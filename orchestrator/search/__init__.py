"""Searches of cells, and the order in which their trials run.

This folder knows no Ray.
"""
