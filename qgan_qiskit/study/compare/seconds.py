"""How long a piece of work took, over all attempts at it: a line when one begins, a line when it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qgan_qiskit.errors import StorageError


@contextmanager
def timed(path: Path) -> Iterator[None]:
    """Log one attempt, however it ends; one that is killed leaves its beginning alone.

    Raises:
        StorageError: the log cannot be written.
    """
    began = time.monotonic()
    _append(path, {"began": time.time()})
    try:
        yield
    finally:
        _append(path, {"seconds": time.monotonic() - began})


def total(path: Path) -> tuple[float, bool]:
    """Return the seconds of all attempts together, and whether that is all: False when one was killed."""
    begun, seconds = 0, []
    for line in path.read_text().split():
        # A line that was cut short by a kill is none.
        with suppress(ValueError):
            row = json.loads(line)
            begun += "began" in row
            seconds += [row["seconds"]] if "seconds" in row else []
    return sum(seconds), begun == len(seconds)


def _append(path: Path, row: dict[str, float]) -> None:
    try:
        with path.open("a") as file:
            # The line end first: the line before may have been cut short.
            file.write("\n" + json.dumps(row, separators=(",", ":")))
    except OSError as error:
        raise StorageError(f"{path}: not written ({error.strerror}); free space and repeat the command") from None
