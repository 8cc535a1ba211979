"""Ray cluster that trials run on: its nodes, their capacity, and the one run of Tune."""
