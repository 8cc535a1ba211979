"""Export of a sweep: CSV tables with a codebook, PNG figures, the files of a paper, a packed sweep."""
