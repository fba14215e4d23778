"""Asking for memory before it is taken: an error that says how much is missing, not a process that is killed."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from qgan_qiskit.errors import MemoryNeededError

# Smaller amounts are not worth the look.
_LOOK_FROM_BYTES = 64 << 20
# Control groups, version 2 and version 1: limit, use, statistics, and the line of these that says what can be given back.
_CONTAINER_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)
_CPU = torch.device("cpu")


def require(needed: int, task: str, device: torch.device = _CPU) -> None:
    """Do nothing if a device has ``needed`` bytes left.

    Raises:
        MemoryNeededError: it has not; the message states the bytes needed and available.
    """
    if needed < _LOOK_FROM_BYTES:
        return
    left = available(device)
    if left is not None and needed > left:
        raise MemoryNeededError(
            f"{task} needs {_readable(needed)} of memory, {_readable(left)} are available: "
            "use fewer qubits, fewer images at a time, or fewer threads"
        )


def available(device: torch.device = _CPU) -> int | None:
    """Return the bytes that can still be taken, or None where this cannot be found out."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch has set aside and does not use is free as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        try:
            # Not Linux: what there is at all.
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None
    allowed = [left for left in map(_left_to_container, _CONTAINER_FILES) if left is not None]
    return min([free, *allowed])


def _left_to_container(files: tuple[str, str, str, str]) -> int | None:
    """Return what a container may still take, or None outside of one or without a limit."""
    limit, used, statistics, freeable = files
    try:
        # Cached file pages count as used, and are given back when memory is short.
        lines = (line.split() for line in Path(statistics).read_text().splitlines())
        cached = next(int(value) for name, value in lines if name == freeable)
        return int(Path(limit).read_text()) - int(Path(used).read_text()) + cached
    except (OSError, ValueError, StopIteration):
        return None


def _readable(amount: int) -> str:
    return f"{amount:,} bytes ({amount / 2**30:,.1f} GiB)"
