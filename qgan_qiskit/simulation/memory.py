"""Asking for memory before it is taken: an error that says how much is missing, not a process that is killed."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from qgan_qiskit.errors import MemoryNeededError

# Smaller amounts are not worth the look.
_LOOK_FROM_BYTES = 64 << 20
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
            "use fewer qubits, or fewer images at a time"
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
    try:
        # A container may be allowed less than the machine has.
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        return free if limit == "max" else min(free, int(limit) - used)
    except (OSError, ValueError):
        return free


def _readable(amount: int) -> str:
    return f"{amount:,} bytes ({amount / 2**30:,.1f} GiB)"
