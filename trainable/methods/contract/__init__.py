"""What a method is written against: its search space, one step, its state, its stages, its draws."""
