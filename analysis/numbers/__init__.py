"""Numbers of a sweep as tables: the curve, comparisons, breaking points, the search, confusion, cost."""
