"""The one comparison that a sweep declares, and its verdict."""
