"""SIGINT and SIGTERM while training: finish the step, save, leave; a second signal ends at once.

SIGINT and SIGTERM between and after the training runs of a study: stop at once, in one line.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from qgan_qiskit.errors import QganError

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(QganError):  # noqa: N818 - not an error of anybody's
    """A run that was asked to stop and has saved.

    Attributes:
        exit_code: 128 + the signal's number, as a shell reports it.
    """

    def __init__(self, message: str, number: int) -> None:
        """Keep the signal's number for the exit status."""
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number

    def __reduce__(self) -> tuple[Any, ...]:
        # It travels from one process to another.
        return type(self), (str(self), self.number)


class StopRequest:
    """Which signal, if any, has asked the run to stop."""

    number: int | None = None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request, for the length of a ``with`` block (main thread only)."""
    request = StopRequest()

    def note(number: int, _frame: FrameType | None) -> None:
        if request.number is not None:
            end_by(number)
        request.number = number

    with handled(note):
        yield request


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let a function handle SIGINT and SIGTERM, for the length of a ``with`` block (main thread only)."""
    try:
        before = {number: signal.signal(number, handler) for number in STOPPING}
    except ValueError:
        # Not in the main thread: there is nothing to catch signals with, and nobody sends them here.
        yield
        return
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def end_by(number: int) -> None:
    """End this process as the signal does where nobody handles it."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise :class:`Interrupted` when a signal comes, for the length of a ``with`` block (main thread only).

    What a study writes is written whole or not at all, so it can stop anywhere. A training run inside the block has handlers
    of its own, which first save.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted("stopped", number)

    with handled(stop):
        yield
