"""Panels of figures with many methods: their places, and lines over epochs or trials drawn in them."""
