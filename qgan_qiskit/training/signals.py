"""SIGINT and SIGTERM while training: finish the step, save, leave; a second signal ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qgan_qiskit.errors import QganError


class Interrupted(QganError):  # noqa: N818 - not an error of anybody's
    """A run that was asked to stop and has saved.

    Attributes:
        exit_code: 128 + the signal's number, as a shell reports it.
    """

    def __init__(self, message: str, number: int) -> None:
        """Keep the signal's number for the exit status."""
        super().__init__(message)
        self.exit_code = 128 + number


class StopRequest:
    """Which signal, if any, has asked the run to stop."""

    number: int | None = None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request, for the length of a ``with`` block (main thread only)."""
    request = StopRequest()

    def note(number: int, _frame: FrameType | None) -> None:
        if request.number is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        request.number = number

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        # Not in the main thread: there is nothing to catch signals with, and nobody sends them here.
        yield request
        return
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
