"""Losses, the two updates of a step, the loop, checkpoints and the run folder."""
