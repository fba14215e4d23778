"""SIGINT and SIGTERM between and after the training runs of a study: stop at once, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qgan_qiskit.training.signals import Interrupted, handled


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
