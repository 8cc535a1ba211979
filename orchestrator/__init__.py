"""Many trials: a sweep over cells of bias strength. Knows Ray and Optuna."""
