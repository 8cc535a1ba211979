"""Contract of a method: its search space, one step, its state, its stages, its draws."""
