"""The Ray that trials run on: nodes, places for trials, and the one run of Tune."""
