"""Where the cells of a study run."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from qgan_qiskit.errors import QganError
from qgan_qiskit.study.cells import CellLocked

Cell = TypeVar("Cell")
CellToDo = TypeVar("CellToDo", contravariant=True)
Outcome = dict[str, Any] | QganError


class Executor(ABC):
    """Runs a function once for each of several cells."""

    @abstractmethod
    def run(self, function: Callable[[Cell], dict[str, Any]], cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield each cell with its result as it finishes; a cell that fails comes with its error and stops no other.

        Args:
            function: importable by name (other machines import it), safe to call again for the same cell.
            cells: values that can be pickled.
        """


class InProcess(Executor):
    """One cell after the other, here."""

    def run(self, function: Callable[[Cell], dict[str, Any]], cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield the cells in the order given."""
        for cell in cells:
            try:
                yield cell, function(cell)
            except QganError as error:
                if error.exit_code > 128:
                    # Asked to stop by a signal: the whole study stops.
                    raise
                yield cell, error


class Work(Protocol[CellToDo]):
    """A cell's work, which may be told not to wait for another process that is at it."""

    def __call__(self, cell: CellToDo, *, wait: bool) -> dict[str, Any]:
        """Return the cell's result.

        Raises:
            CellLocked: another process works on it, and ``wait`` is off.
        """


def run_all(executor: Executor, work: Work[Cell], cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
    """Yield each cell with its result or error; those that another process works on are left for the end.

    Two processes that are given the same cells so share them out, instead of waiting for each other at every one.
    """
    left = []
    for cell, outcome in executor.run(functools.partial(work, wait=False), cells):
        if isinstance(outcome, CellLocked):
            left.append(cell)
        else:
            yield cell, outcome
    if left:
        yield from executor.run(functools.partial(work, wait=True), left)
