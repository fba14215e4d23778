"""Data-set layouts: one file per layout; each lists which file has which class."""
