"""Reading of a table and of the files that it names: cells, columns, addresses, pixels."""
