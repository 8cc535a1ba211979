"""Brain tumour slices, real and synthetic, with painted annotations."""
