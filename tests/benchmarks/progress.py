"""One line per measurement on standard error, so that a long run shows where it is."""

import sys
import time

_START = time.perf_counter()


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.perf_counter() - _START:6.1f} s] {text}", file=sys.stderr, flush=True)


def reason(error: Exception) -> str:
    """Return one line that says why something could not be measured."""
    text = " ".join(str(error).split())[:200]
    return f"not installed: {text}" if isinstance(error, ImportError) else f"failed: {type(error).__name__}: {text}"
