"""Start the processes that train together, forward signals to them, and turn the death of one into one error.

The parent process only waits: it holds the run's lock, forwards SIGINT and SIGTERM, and raises what the workers reported.
Workers are spawned, as forked ones could use neither CUDA nor an OpenMP runtime that was in use. Lightning Fabric gives each
its device and connects them; its own launchers do not fit: the one for scripts repeats the whole command, the one for
functions forwards no signals.
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
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing import spawn

from qgan_qiskit.errors import QganError, UsageError
from qgan_qiskit.training.distributed import ConnectedProcessGroup, PeerFailed
from qgan_qiskit.training.signals import STOPPING, Interrupted, StopRequest, die_by_signal, handle_signals

# A waiting process learns from its parent that another one died, not from a timeout: rank 0 may evaluate for hours.
_TIMEOUT = timedelta(days=30)
# Seconds that the other processes have to end by themselves after one has failed.
_GRACE_SECONDS = 20.0
_Report = tuple[int, Exception]


def check_launch(devices: int) -> None:
    """Check that this process can start others.

    Raises:
        UsageError: no POSIX signals, no Lightning Fabric, or not a process that may start others.
    """
    if not hasattr(signal, "pthread_sigmask"):
        raise UsageError(f"--devices {devices} needs POSIX signals: use --devices 1 on Windows")
    if importlib.util.find_spec("lightning_fabric") is None:
        raise UsageError(f"--devices {devices} needs Lightning Fabric: python -m pip install -e '.[distributed]'")
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):
        raise UsageError(
            f"--devices {devices} starts processes that import the main script: put its code under "
            "if __name__ == '__main__'"
        )
    if process.daemon:
        raise UsageError(f"--devices {devices}: this worker process may not start others; use --devices 1")


def launch(device: torch.device, devices: int, train: Callable[..., None], *arguments: Any) -> None:
    """Run a function in several processes and wait for all of them; an error or a death of one ends all.

    Args:
        device: the kind of device; each process gets one of its own.
        devices: number of processes.
        train: ``train(group, device, *arguments)``, importable by name.
        *arguments: picklable values.

    Raises:
        QganError: what a process raised, or that one was killed.
        Interrupted: SIGINT or SIGTERM came, even if all processes had just finished.
    """
    reports: SimpleQueue[_Report] = multiprocessing.get_context("spawn").SimpleQueue()
    workers = _Workers()
    with socket.create_server(("127.0.0.1", 0)) as server:
        free_port = int(server.getsockname()[1])
    # Started before signals are blocked: it would unblock them.
    resource_tracker.ensure_running()
    # Children inherit the mask: a signal must not kill one that cannot handle it yet.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        with handle_signals(workers.forward):
            given = (devices, free_port, device.type, str(Path.cwd()), reports, train, arguments)
            workers.processes = spawn(_run_worker, given, nprocs=devices, join=False, daemon=True).processes
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            try:
                failed_rank = workers.wait()
            finally:
                workers.kill()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if failed_rank is not None:
        raise _find_cause(failed_rank, reports, workers)
    if workers.signal_number is not None:
        # The caller must not start the next class.
        raise Interrupted("stopped after the last step", workers.signal_number)


class _Workers:
    """The spawned processes, and the signal that was forwarded to them."""

    processes: Sequence[BaseProcess] = ()
    signal_number: int | None = None

    def wait(self) -> int | None:
        """Wait until all have ended, or one has failed and the grace period is over; return the failed rank."""
        running: dict[Any, BaseProcess] = {process.sentinel: process for process in self.processes}
        while running and not self._failed_ranks():
            for sentinel in connection.wait(list(running)):
                running.pop(sentinel).join()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        # A killed process (negative exit code) is the cause; the others failed because they waited for it.
        return min(self._failed_ranks(), key=lambda rank: (self.processes[rank].exitcode or 0) > 0, default=None)

    def _failed_ranks(self) -> list[int]:
        return [rank for rank, process in enumerate(self.processes) if process.exitcode]

    def forward(self, number: int, _frame: FrameType | None) -> None:
        """Forward the first signal to all; the second one ends them and this process at once."""
        if self.signal_number is not None:
            self.kill()
            die_by_signal(number)
        self.signal_number = number
        self._send(number)

    def kill(self) -> None:
        """End the processes that are still alive."""
        self._send(signal.SIGKILL)
        for process in self.processes:
            process.join()

    def _send(self, number: int) -> None:
        for process in self.processes:
            if process.pid is not None and process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)


def _find_cause(rank: int, reports: SimpleQueue[_Report], workers: _Workers) -> Exception:
    """Return the error that explains why the processes ended."""
    received = []
    while not reports.empty():
        received.append(reports.get())

    def order(report: _Report) -> tuple[int, int]:
        # Our errors before torch's about a lost connection; of ours rank 0's, of others the earliest (sort is stable).
        reporter, error = report
        if isinstance(error, QganError):
            return (2 if isinstance(error, PeerFailed) else 0), reporter
        return 1, 0

    exit_code = workers.processes[rank].exitcode or 0
    if received and exit_code > 0:
        return min(received, key=order)[1]
    if workers.signal_number is not None:
        return Interrupted("stopped; nothing was saved", workers.signal_number)
    process = f"process {rank + 1} of {len(workers.processes)}"
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        return QganError(
            f"{process} was ended by {name}; was memory short? continue with --resume and the run's folder"
        )
    return QganError(f"{process} ended with status {exit_code} before it could train; what it printed says why")


def _run_worker(
    rank: int,
    world_size: int,
    port: int,
    accelerator: str,
    folder: str,
    reports: SimpleQueue[_Report],
    train: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """Connect to the other processes, train, and report an error."""
    parent, stop = os.getppid(), StopRequest()

    def record(number: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent:
            # The parent was killed and lost the run's lock: another command may already write the run.
            os._exit(1)
        # Repeated signals change nothing: the parent kills this process if it must end at once.
        stop.number = number

    try:
        with handle_signals(record):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            os.chdir(folder)
            os.environ |= {
                "LOCAL_RANK": str(rank),
                "NODE_RANK": "0",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            device = _connect(world_size, accelerator)
            train(ConnectedProcessGroup(rank, world_size, device, stop), device, *arguments)
            distributed.destroy_process_group()
    except Exception as error:
        error.add_note(f"in process {rank} of {world_size}:\n{traceback.format_exc()}")
        reports.put((rank, _make_picklable(error)))
        sys.exit(1)


def _connect(world_size: int, accelerator: str) -> torch.device:
    """Join the process group through Lightning Fabric and return this process's device."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

    # It would announce the connection on standard error.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=accelerator,
        devices=world_size,
        strategy=DDPStrategy(timeout=_TIMEOUT),
        # Not the environment of a scheduler that may have started the parent: all processes are on this machine.
        plugins=[LightningEnvironment()],
    )
    fabric.launch()
    return fabric.device


def _make_picklable(error: Exception) -> Exception:
    """Return the error if it survives pickling, else a RuntimeError with the same text."""
    try:
        return pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled in this very line
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
