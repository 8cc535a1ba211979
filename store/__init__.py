"""Files of a sweep: where they lie, their columns, and how a reader tells damage from content.

The lowest of the packages: it imports none of the others, and neither torch, Ray nor pandas.
"""
