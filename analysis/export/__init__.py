"""Files for elsewhere: CSV tables with a codebook, PNG figures, what a paper needs, a packed sweep."""
