"""Searches of cells, and the order in which their trials run; knows no Ray."""
