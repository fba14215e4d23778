"""The processes that train together, seen from one of them.

A batch is always that of all processes together: each holds an equal share of its rows, in the order of the ranks. Random
numbers are drawn for the whole batch everywhere, and each process takes its rows, so several processes see and compute what
one would. Whatever is not a function of rows (weights, averages, optimizer states) is the same on all of them.

Shape letters: B rows of the whole batch.

Processes that Lightning Fabric has connected.

Networks are not wrapped in ``DistributedDataParallel``: a step runs the discriminator twice and thrice, freezes it in between,
and asks the generator for more than its ``forward``. Gradients are averaged after each backward pass instead, in one piece.

What networks work out over a batch, worked out over the batch of all processes.

torch's ``SyncBatchNorm`` does this on GPUs only, and cannot be differentiated twice, which R1 needs.

Shape letters: B batch · C channels · R processes.

Several processes that train together: how they start, stop and fail as one.

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
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.multiprocessing import spawn
from torch.nn.functional import pad

from qgan_qiskit.errors import QganError, UsageError
from qgan_qiskit.models import Generator
from qgan_qiskit.training.signals import STOPPING, Interrupted, StopRequest, end_by, handled, stop_on_signal


class ProcessGroup(ABC):
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


class _Alone(ProcessGroup):
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


SINGLE_PROCESS: ProcessGroup = _Alone()


class FabricProcessGroup(ProcessGroup):
    """One of several processes."""

    def __init__(self, fabric: Fabric, stop: StopRequest) -> None:
        """Take the rank that Fabric has given this process.

        Args:
            fabric: launched.
            stop: filled in when a signal comes to this process.
        """
        self._fabric, self._stop = fabric, stop
        self.rank, self.count = fabric.global_rank, fabric.world_size

    def rows(self, whole_B: Tensor) -> Tensor:
        """Return this process's share of the rows of something that has a row for each sample of the batch."""
        return whole_B.chunk(self.count)[self.rank]

    def whole(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, shape (B, …), without gradient."""
        own = rows.detach().contiguous()
        parts = [torch.empty_like(own) for _ in range(self.count)]
        torch.distributed.all_gather(parts, own)
        return torch.cat(parts)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes of tensors of one shape, without gradient."""
        total = values.detach().clone(memory_format=torch.contiguous_format)
        # Not by Fabric: its own makes all wait for all before each, and networks ask dozens of times in a step.
        torch.distributed.all_reduce(total)
        return total

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes of tensors of one shape, without gradient."""
        own = values.detach().clone(memory_format=torch.contiguous_format)
        return cast(Tensor, self._fabric.all_reduce(own, reduce_op="mean"))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = flat.split([gradient.numel() for gradient in gradients])
        # Into the tensors that are there: they have the layout of their parameters.
        torch._foreach_copy_(gradients, [part.view_as(own) for part, own in zip(parts, gradients, strict=True)])

    def largest(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        own = torch.tensor(number, device=self._fabric.device)
        return int(cast(Tensor, self._fabric.all_reduce(own, reduce_op="max")))

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values into tensors, in place."""
        with torch.no_grad():
            for tensor in tensors:
                tensor.copy_(self._fabric.broadcast(tensor.cpu()))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make an error that one process meets in a ``with`` block an error of all, when the block ends."""
        error: QganError | None = None
        try:
            yield
        except QganError as met:
            error = met
        if self.largest(int(error is not None)):
            raise error or EndedTogether("another process met an error")

    @contextmanager
    def stop_requests(self) -> Iterator[StopRequest]:
        """Return the request that this process was started with: it listens from then on."""
        yield self._stop


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose mean and variance are those of the whole batch, each process holding as many rows.

    Parameters and buffers are those of the layer it is made from, so checkpoints do not tell the two apart. Outside of
    training it is that layer.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, layer: nn.modules.batchnorm._BatchNorm, ranks: ProcessGroup) -> None:
        """Take the place of a layer.

        Args:
            layer: with a fixed momentum, weights and running statistics, as torch makes it by default.
            ranks: the processes that share the batch.
        """
        assert layer.affine
        assert layer.momentum is not None
        assert layer.running_mean is not None
        assert layer.running_var is not None
        assert layer.num_batches_tracked is not None
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self.ranks = ranks
        self.train(layer.training)

    def _check_input_dim(self, rows: Tensor) -> None:
        """Take what the layer took."""

    def forward(self, rows: Tensor) -> Tensor:
        """Return the rows of this process, normalized, in the shape (B, C, …) and number format that they came in."""
        if not self.training:
            return super().forward(rows)
        # As in torch, statistics are in single precision also where the convolutions run in bfloat16.
        values = rows.float()
        variance_C, mean_C = torch.var_mean(values, [d for d in range(rows.dim()) if d != 1], correction=0)
        mean_C, variance_C = self._of_all(mean_C, variance_C)
        with torch.no_grad():
            count = rows.numel() // rows.shape[1] * self.ranks.count
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(variance_C * (count / (count - 1)), self.momentum)
        scale_C = self.weight * torch.rsqrt(variance_C + self.eps)
        shift_C = self.bias - mean_C * scale_C
        shape = (1, -1, *[1] * (rows.dim() - 2))
        return torch.addcmul(shift_C.view(shape), values, scale_C.view(shape)).to(rows.dtype)

    def _of_all(self, mean_C: Tensor, variance_C: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the whole batch, with gradient to every process's rows.

        Means are exchanged beside variances, not sums of squares: their difference would lose what is small.
        """
        own = torch.stack([mean_C, variance_C])[None]
        before, after = self.ranks.rank, self.ranks.count - self.ranks.rank - 1
        means_RC, variances_RC = _Sum.apply(pad(own, (0, 0, 0, 0, before, after)), self.ranks).unbind(1)
        mean_C = means_RC.mean(dim=0)
        return mean_C, (variances_RC + (means_RC - mean_C).square()).mean(dim=0)


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient, and that one's, is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: ProcessGroup) -> Tensor:
        """Return the sum of the processes' values."""
        ctx.ranks = ranks
        return ranks.sum(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Every process's value is in every process's sum."""
        return _Sum.apply(gradient, ctx.ranks), None


def join(generator: Generator, discriminator: nn.Module, ranks: ProcessGroup) -> None:
    """Let networks work out over the batch of all processes what they work out over a batch; in place.

    Args:
        generator: batch norm, and in fusion mode the running mean and covariance of the latents.
        discriminator: batch norm.
        ranks: the processes that share the batch; for a single one nothing changes.
    """
    if ranks.count == 1:
        return
    for network in (generator, discriminator):
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    setattr(parent, name, SyncBatchNorm(layer, ranks))
    generator.gather_batch = ranks.whole


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
def _connected(count: int, accelerator: str, stop: StopRequest) -> Iterator[tuple[ProcessGroup, torch.device]]:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

    pass

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
    yield FabricProcessGroup(fabric, stop), fabric.device
    torch.distributed.destroy_process_group()
