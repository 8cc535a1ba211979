"""Methods that know the bias label and work on the groups (class, bias attribute) of the training images."""
