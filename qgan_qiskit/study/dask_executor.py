"""Cells of a study on an existing Dask cluster.

Dask moves the cells of a worker that dies to another one. What makes sure that none is done twice is not Dask but the cell's
own lock and result (``cells.py``), so all machines must see the same folder, images and weights, under the same paths.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qgan_qiskit.errors import QganError, UsageError
from qgan_qiskit.study.executors import Cell, Executor, Outcome

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)


_CONNECT_SECONDS = 10.0
# Torch has one number of threads per process, so a process works on one cell at a time.
_ONE_AT_A_TIME = threading.Lock()


class _WorkersDiedError(QganError):
    """A cell that Dask has given up."""


class DaskExecutor(Executor):
    """Each cell a task of its own, on whichever worker is free."""

    def __init__(self, address: str) -> None:
        """Find out whether Dask is installed; nothing is connected yet.

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

    def run(self, function: Callable[[Cell], dict[str, Any]], cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield the cells as they finish.

        Raises:
            UsageError: no scheduler answers, or the workers do not have this library.
            QganError: the scheduler is gone.
        """
        with self._client() as client:
            self._describe(client)
            suspects = []
            for cell, outcome in self._submitted(client, function, cells):
                if isinstance(outcome, _WorkersDiedError):
                    suspects.append(cell)
                else:
                    yield cell, outcome
            # Dask blames all cells that a dead worker had, also those it had not begun: alone, a cell answers for itself.
            for cell in suspects:
                yield from self._submitted(client, function, [cell])

    def _submitted(
        self, client: Client, function: Callable[[Cell], dict[str, Any]], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Outcome]]:
        from distributed import as_completed

        cell_of = {client.submit(_alone, function, cell, key=_key(function, cell)): cell for cell in cells}
        try:
            for future in as_completed(list(cell_of), loop=client.loop):
                yield cell_of[future], self._outcome(future, cell_of[future])
                # A task whose workers died is done anew when it is asked for again.
                future.release()
        finally:
            # Asked to stop, or failed: what no worker has begun is withdrawn, the rest goes on to its end.
            client.cancel([future for future in cell_of if not future.done()])

    def _client(self) -> Client:
        from distributed import Client

        # What it says of a lost connection is said here in one line.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            return Client(self.address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"--scheduler {self.address}: no Dask scheduler answers there ({error}); start one with: dask scheduler"
            ) from None

    def _describe(self, client: Client) -> None:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        logger.info(
            f"{self.address}: {len(workers)} Dask workers" + ("" if workers else "; the cells wait for the first")
        )
        for address, worker in workers.items():
            if worker["nthreads"] > 1:
                logger.warning(
                    f"{address} has {worker['nthreads']} task threads, and works on one cell at a time; start workers "
                    "with --nthreads 1"
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
                "does it have memory enough?"
            )
        except CancelledError:
            raise QganError(
                f"the Dask scheduler at {self.address} is gone; finished cells are kept, so the same command goes on once "
                "there is one"
            ) from None
        except ImportError as error:
            raise UsageError(
                f"a Dask worker lacks a library ({error}); install the same version of qgan_qiskit on all workers"
            ) from None
        return result


def _alone(function: Callable[[Cell], dict[str, Any]], cell: Cell) -> dict[str, Any]:
    """Run on a worker: one cell at a time, however many task threads it has."""
    with _ONE_AT_A_TIME:
        return function(cell)


def _key(function: Callable[[Cell], dict[str, Any]], cell: Cell) -> str:
    """Return a name for the task: of two studies on one cluster that ask for the same cell, one gets the other's task."""
    name = function.func.__name__ if isinstance(function, functools.partial) else function.__name__
    return f"{name}-{hashlib.sha256(pickle.dumps((function, cell))).hexdigest()[:24]}"
