"""The report's sections that only a data set of the user's own has."""
