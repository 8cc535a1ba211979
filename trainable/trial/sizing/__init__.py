"""Cost of a trial, from a little of it: the time of an epoch, the memory on a card."""
