"""What a trial finds and leaves on its machine: the device and the state of the process."""
