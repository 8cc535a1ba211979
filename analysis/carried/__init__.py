"""Facts of the sheets that are carried beside the rows of a frame."""
