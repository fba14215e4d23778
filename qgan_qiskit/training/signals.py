"""SIGINT and SIGTERM: training finishes its step and saves; a study stops at once. A second signal always ends the process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from qgan_qiskit.errors import QganError

STOPPING = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], None]


class Interrupted(QganError):  # noqa: N818 - a request, not an error
    """A run or study that stopped because a signal asked it to.

    Attributes:
        exit_code: 128 + the signal's number, as a shell reports it.
    """

    def __init__(self, message: str, number: int) -> None:
        """Derive the exit status from the signal's number."""
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled when a worker process reports it.
        return type(self), (str(self), self.number)


class StopRequest:
    """Which signal, if any, has asked the run to stop."""

    number: int | None = None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Record the first SIGINT or SIGTERM as a request; the second one ends the process (main thread only)."""
    request = StopRequest()

    def record(number: int, _frame: FrameType | None) -> None:
        if request.number is not None:
            die_by_signal(number)
        request.number = number

    with handle_signals(record):
        yield request


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise :class:`Interrupted` when a signal arrives (main thread only).

    Studies write every file atomically, so they can stop anywhere. A training run inside the block installs its own handlers,
    which save first.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted("stopped", number)

    with handle_signals(stop):
        yield


@contextmanager
def handle_signals(handler: Handler) -> Iterator[None]:
    """Handle SIGINT and SIGTERM by a function inside a ``with`` block; outside the main thread, do nothing."""
    try:
        previous = {number: signal.signal(number, handler) for number in STOPPING}
    except ValueError:
        # Python delivers signals to the main thread only.
        yield
        return
    try:
        yield
    finally:
        for number, earlier in previous.items():
            signal.signal(number, earlier)


def die_by_signal(number: int) -> None:
    """End this process the way the signal's default action does."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
