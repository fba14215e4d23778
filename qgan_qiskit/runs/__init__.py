"""Runs on disk: their folder, checkpoints, and the trained networks and samples that come from them."""
