"""Methods that make the features independent of the bias by a measure of dependence, without a bias head."""
