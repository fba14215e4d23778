"""Training: losses, one step, the loop around it, several processes, and what a run logs."""
