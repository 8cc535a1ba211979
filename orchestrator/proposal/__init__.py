"""Proposal of a sweep file for a table of images: columns that are guessed, and the text."""
