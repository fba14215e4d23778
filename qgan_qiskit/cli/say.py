"""Lines for a person, on standard error: standard output is for what a program may read."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Write a line at once."""
    print(text, file=sys.stderr, flush=True)
