"""Points of a curve: confirm rows, predictions and patients gathered for each method and bias value."""
