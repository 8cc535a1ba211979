"""Methods that are not told the bias: they find the images that conflict with it by how hard those are."""
