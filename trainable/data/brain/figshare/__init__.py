"""From the files of figshare article 1512427 to prepared arrays."""
