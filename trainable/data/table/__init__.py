"""Tables of one's own images: each with its class, its bias attribute and its patient."""
