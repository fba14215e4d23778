"""Reading and writing OpenQASM 3."""
