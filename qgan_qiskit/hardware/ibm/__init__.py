"""Runs on IBM hardware through IBM's client: the only code that imports it."""
