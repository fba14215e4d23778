"""The engine in plain torch operations, for any device that torch knows."""
