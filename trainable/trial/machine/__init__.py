"""Machine of a trial: the device and the state of the process."""
