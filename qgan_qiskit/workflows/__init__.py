"""What each command does, callable from Python: one module per command."""
