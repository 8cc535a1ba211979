"""The sweep file: its models, and how it is read, changed and refused."""
