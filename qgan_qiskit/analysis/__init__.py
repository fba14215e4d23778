"""Pure functions that measure circuits and trained generators."""
