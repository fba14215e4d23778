"""Where the cells of a study run: in this process, or on an existing Dask cluster.

Dask moves the cells of a dead worker to another one. That no cell runs twice is not Dask's doing but that of the cell's own
lock and result (``engine.py``), so all machines must see the same folder, images and weights under the same paths.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from qgan_qiskit.errors import QganError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future

Cell = TypeVar("Cell")
Outcome = dict[str, Any] | QganError
Function = Callable[[Cell], dict[str, Any]]

_CONNECT_SECONDS = 10.0
# Torch has one thread count per process, so a process runs one cell at a time.
_ONE_AT_A_TIME = threading.Lock()
logger = logging.getLogger(__name__)


class Executor(ABC):
    """Calls a function once for each of several cells."""

    @abstractmethod
    def run(self, function: Function[Cell], cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield each cell with its result as it finishes; a cell that fails comes with its error and stops no other.

        Args:
            function: importable by name, as other machines import it; safe to repeat for the same cell.
            cells: values that can be pickled.
        """


class InProcess(Executor):
    """Runs one cell after the other in this process."""

    def run(self, function: Function[Cell], cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield the cells in the order given."""
        for cell in cells:
            try:
                yield cell, function(cell)
            except QganError as error:
                if error.exit_code > 128:
                    # Stopped by a signal: the whole study stops.
                    raise
                yield cell, error


class _WorkersDiedError(QganError):
    """Dask gave the cell up after its workers died."""


class DaskExecutor(Executor):
    """Runs each cell as a task on whichever worker of a Dask cluster is free."""

    def __init__(self, address: str) -> None:
        """Check that Dask is installed; the connection is made later.

        Args:
            address: of the scheduler, such as ``tcp://10.0.0.1:8786``.

        Raises:
            UsageError: Dask is not installed.
        """
        try:
            import distributed  # noqa: F401
        except ImportError:
            raise UsageError("--executor dask needs Dask: python -m pip install -e '.[cluster]'") from None
        self.address = address

    def run(self, function: Function[Cell], cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield the cells as they finish.

        Raises:
            UsageError: no scheduler answers, or the workers lack this library.
            QganError: the scheduler is gone.
        """
        with self._connect() as client:
            self._log_workers(client)
            suspects = []
            for cell, outcome in self._submit(client, function, cells):
                if isinstance(outcome, _WorkersDiedError):
                    suspects.append(cell)
                else:
                    yield cell, outcome
            # Dask blames every cell a dead worker held, even those not begun: run alone, each answers for itself.
            for cell in suspects:
                yield from self._submit(client, function, [cell])

    def _submit(
        self, client: Client, function: Function[Cell], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Outcome]]:
        from distributed import as_completed

        cell_of = {client.submit(_run_alone, function, cell, key=_key(function, cell)): cell for cell in cells}
        try:
            for future in as_completed(list(cell_of), loop=client.loop):
                yield cell_of[future], self._outcome(future, cell_of[future])
                # Dask repeats a released task whose workers died when it is submitted again.
                future.release()
        finally:
            # Stopped or failed: withdraw what no worker has begun; the rest runs to its end.
            client.cancel([future for future in cell_of if not future.done()])

    def _connect(self) -> Client:
        from distributed import Client

        # A lost connection is reported here, in one line.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            return Client(self.address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"--scheduler {self.address}: no Dask scheduler answers there ({error}); start one with: dask scheduler"
            ) from None

    def _log_workers(self, client: Client) -> None:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        note = "" if workers else "; the cells wait for the first one"
        logger.info(f"{self.address}: {len(workers)} Dask workers{note}")
        for address, worker in workers.items():
            if worker["nthreads"] > 1:
                logger.warning(
                    f"{address} has {worker['nthreads']} task threads but runs one cell at a time; start workers with "
                    "--nthreads 1"
                )

    def _outcome(self, future: Future, cell: object) -> Outcome:
        from distributed import CancelledError, KilledWorker

        try:
            result: dict[str, Any] = future.result()
        except QganError as error:
            return error
        except KilledWorker as error:
            return _WorkersDiedError(
                f"{cell}: its worker died {error.allowed_failures + 1} times, the last time {error.last_worker.address}; "
                "does it have enough memory?"
            )
        except CancelledError:
            raise QganError(
                f"the Dask scheduler at {self.address} is gone; start one again and repeat the command: finished cells are kept"
            ) from None
        except ImportError as error:
            raise UsageError(
                f"a Dask worker lacks a library ({error}); install the same version of qgan_qiskit on all workers"
            ) from None
        return result


def _run_alone(function: Function[Cell], cell: Cell) -> dict[str, Any]:
    """Run one cell at a time on a worker, however many task threads it has."""
    with _ONE_AT_A_TIME:
        return function(cell)


def _key(function: Function[Cell], cell: Cell) -> str:
    """Return the task's key: two studies on one cluster that ask for the same cell share its task."""
    name = function.func.__name__ if isinstance(function, functools.partial) else function.__name__
    return f"{name}-{hashlib.sha256(pickle.dumps((function, cell))).hexdigest()[:24]}"
