"""The processes that train together, seen from one of them.

A batch is always that of all processes together: each holds an equal share of its rows, in the order of the ranks. Random
numbers are drawn for the whole batch everywhere, and each process takes its rows, so several processes see and compute what
one would. Whatever is not a function of rows (weights, averages, optimiser states) is the same on all of them.

Shape letters: B rows of the whole batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn

from qgan_qiskit.training.signals import StopRequest, stop_on_signal


class Ranks(ABC):
    """What one of the processes can ask of all; every process must ask the same, in the same order.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes.
    """

    rank: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @abstractmethod
    def rows(self, whole_B: Tensor) -> Tensor:
        """Return this process's share of the rows of something that has a row for each sample of the batch."""

    @abstractmethod
    def whole(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, shape (B, …), without gradient: the inverse of :meth:`rows`."""

    @abstractmethod
    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes of tensors of one shape, without gradient."""

    @abstractmethod
    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes of tensors of one shape, without gradient."""

    @abstractmethod
    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes: those of the mean of the processes' losses."""

    @abstractmethod
    def largest(self, number: int) -> int:
        """Return the largest of the processes' numbers."""

    @abstractmethod
    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values into tensors, in place."""

    @abstractmethod
    def together(self) -> AbstractContextManager[None]:
        """Make a :class:`QganError` that one process meets in a ``with`` block an error of all, when the block ends."""

    @abstractmethod
    def stop_requests(self) -> AbstractContextManager[StopRequest]:
        """Let SIGINT and SIGTERM become a request to this process, for the length of a ``with`` block."""


class _Alone(Ranks):
    """A single process: everything is its own."""

    rank, count = 0, 1

    def rows(self, whole_B: Tensor) -> Tensor:
        return whole_B

    def whole(self, rows: Tensor) -> Tensor:
        return rows.detach()

    def sum(self, values: Tensor) -> Tensor:
        return values.detach()

    def mean(self, values: Tensor) -> Tensor:
        return values.detach()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        pass

    def largest(self, number: int) -> int:
        return number

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        pass

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stop_requests(self) -> AbstractContextManager[StopRequest]:
        return stop_on_signal()


ALONE: Ranks = _Alone()
