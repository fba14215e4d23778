"""Several processes that train together: how they start, stop and fail as one.

torch starts them; Lightning Fabric gives each its device and connects them. Fabric's own launchers were no choice: the one for
scripts starts the whole command again and kills everything when a process fails; that for functions hands no signal on, and
refuses notebooks.

A process is started anew (``spawn``), as forked ones can use neither CUDA nor OpenMP that was in use before. The one that
starts them waits, and is the only one that talks to the outside: it hands signals on, and raises what they met.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.multiprocessing import spawn

from qgan_qiskit.errors import QganError, UsageError
from qgan_qiskit.training.ranks import Ranks
from qgan_qiskit.training.signals import STOPPING, Interrupted, StopRequest, end_by, handled

# A process that waits for another learns from the one that started them when that is gone, not from a clock: the first may
# measure for hours.
_PATIENCE = timedelta(days=30)
# Seconds that the others have to end by themselves when one has failed.
_GRACE = 20.0

Report = tuple[int, Exception]


class EndedTogether(QganError):  # noqa: N818 - not an error of its own
    """What the others raise when one process has met an error; nobody is shown this one."""


def check_launch(devices: int) -> None:
    """Find out whether this process can start others.

    Args:
        devices: how many.

    Raises:
        UsageError: it cannot; the message says why.
    """
    if not hasattr(signal, "pthread_sigmask"):
        raise UsageError(f"--devices {devices} needs signals as POSIX systems have them: use --devices 1 on Windows")
    if importlib.util.find_spec("lightning_fabric") is None:
        raise UsageError(f"--devices {devices} needs Lightning Fabric: python -m pip install -e '.[distributed]'")
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):
        raise UsageError(
            f"--devices {devices} starts processes that import the main script: put what it does under "
            "if __name__ == '__main__'"
        )
    if process.daemon:
        raise UsageError(f"--devices {devices}: this process is a worker that may start no others; use --devices 1")


def launch(device: torch.device, devices: int, work: Callable[..., None], *arguments: Any) -> None:
    """Call a function in several processes at once, and wait for them.

    Args:
        device: the kind of device that each process has one of.
        devices: number of processes.
        work: ``work(ranks, device, *arguments)``, importable by name.
        *arguments: values that can be pickled.

    Raises:
        QganError: what a process raised; also when one was killed.
        Interrupted: SIGINT or SIGTERM came, be it before or after there was anything to do.
    """
    context = multiprocessing.get_context("spawn")
    reports: SimpleQueue[Report] = context.SimpleQueue()
    family = _Family()
    with handled(family.hand_on):
        with _held():
            given = (devices, _free_port(), device.type, str(Path.cwd()), reports, work, arguments)
            family.processes = spawn(_take_part, given, nprocs=devices, join=False, daemon=True).processes
        family.hand_on_early()
        try:
            failed = family.wait()
        finally:
            family.kill()
    if failed is not None:
        raise _cause(failed, reports, family)
    if family.number is not None:
        # It came when they had ended: what comes next, another class, must not begin.
        raise Interrupted("stopped; all was done", family.number)


class _Family:
    """The processes that were started, and the signal that they were asked to stop with."""

    def __init__(self) -> None:
        self.processes: Sequence[BaseProcess] = ()
        self.number: int | None = None

    def wait(self) -> int | None:
        """Wait until all have ended, or one has failed and the others have had some seconds to end; return its rank."""
        waiting: dict[Any, BaseProcess] = {process.sentinel: process for process in self.processes}
        while waiting and not self._failed():
            for sentinel in connection.wait(list(waiting)):
                waiting.pop(sentinel).join()
        end = time.monotonic() + _GRACE
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))
        # One that was killed comes first: the others failed because they waited for it.
        return min(self._failed(), key=lambda rank: (self.processes[rank].exitcode or 0) > 0, default=None)

    def _failed(self) -> list[int]:
        return [rank for rank, process in enumerate(self.processes) if process.exitcode]

    def hand_on(self, number: int, _frame: FrameType | None) -> None:
        """Hand the first signal on to all; a second one ends them, and this process, at once."""
        if self.number is not None:
            self.kill()
            end_by(number)
        self.number = number
        self._send(number)

    def hand_on_early(self) -> None:
        """Hand on a signal that came before there was anyone to hand it to."""
        if self.number is not None:
            self._send(self.number)

    def kill(self) -> None:
        """End those that are still there."""
        self._send(signal.SIGKILL)
        for process in self.processes:
            process.join()

    def _send(self, number: int) -> None:
        for process in self.processes:
            if process.pid is not None and process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)


@contextmanager
def _held() -> Iterator[None]:
    """Let processes that are started meanwhile be born deaf to the signals: they listen once they can stop in order."""
    # It lets signals through when it starts, so it has to be there before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _cause(rank: int, reports: SimpleQueue[Report], family: _Family) -> Exception:
    """Return why the processes ended."""
    found = []
    while not reports.empty():
        found.append(reports.get())
    # Of what all have met the first process knows most; who waited for one that is gone says so too, but later.
    found.sort(key=lambda report: (_weight(report[1]), report[0] if isinstance(report[1], QganError) else 0))
    status = family.processes[rank].exitcode or 0
    if found and status > 0:
        return found[0][1]
    if family.number is not None:
        return Interrupted("stopped; nothing was saved", family.number)
    process = f"process {rank + 1} of {len(family.processes)}"
    if status < 0:
        name = signal.Signals(-status).name
        return QganError(f"{process} was ended by {name}; was memory short? go on with --resume and the run's folder")
    return QganError(f"{process} ended with status {status} before it could train; what it printed says why")


def _weight(error: Exception) -> int:
    return 2 if isinstance(error, EndedTogether) else int(not isinstance(error, QganError))


def _take_part(
    rank: int,
    count: int,
    port: int,
    accelerator: str,
    folder: str,
    reports: SimpleQueue[Report],
    work: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """Be one of the processes: connect, work, report what went wrong."""
    parent, stop = os.getppid(), StopRequest()

    def note(number: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent:
            # Killed, and its lock on the run with it: somebody else may go on with the run by now.
            os._exit(1)
        # However often: who started this process ends it when it is to end at once.
        stop.number = number

    try:
        with handled(note):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            os.chdir(folder)
            os.environ.update(
                {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            )
            with _connected(count, accelerator, stop) as (ranks, device):
                work(ranks, device, *arguments)
    except Exception as error:
        error.add_note(f"in process {rank} of {count}:\n{traceback.format_exc()}")
        reports.put((rank, _portable(error)))
        sys.exit(1)


def _portable(error: Exception) -> Exception:
    """Return an error that arrives as it was sent, or one that says the same."""
    try:
        return pickle.loads(pickle.dumps(error))  # noqa: S301 - just written
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


@contextmanager
def _connected(count: int, accelerator: str, stop: StopRequest) -> Iterator[tuple[Ranks, torch.device]]:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

    from qgan_qiskit.training.fabric_ranks import FabricRanks

    # It would announce the connection.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=accelerator,
        devices=count,
        strategy=DDPStrategy(timeout=_PATIENCE),
        # Not what a scheduler's variables suggest: these processes are on one machine, whoever started the first.
        plugins=[LightningEnvironment()],
    )
    fabric.launch()
    yield FabricRanks(fabric, stop), fabric.device
    torch.distributed.destroy_process_group()
