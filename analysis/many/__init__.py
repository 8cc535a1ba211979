"""Results of many methods: ranks, differences to plain training adjusted for their number, and the atlas's table."""
