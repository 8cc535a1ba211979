"""Check of a sweep, a plug-in or a table before it runs, in a process of its own and without Ray."""
