"""Methods: what one is (base.py) and one file for each."""
