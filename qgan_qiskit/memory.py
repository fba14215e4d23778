"""How much memory can still be taken: of the machine, of the container, of the process.

Asking for memory before it is taken: an error that says how much is missing, not a process that is killed.

Whether images fit into memory, asked before it is taken.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgan_qiskit.errors import DataError, MemoryNeededError

if TYPE_CHECKING:
    import torch

try:
    import resource
except ImportError:  # Windows limits no process in this way.
    resource = None  # type: ignore[assignment]

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


def free_memory() -> int | None:
    """Return the bytes that this process can still take, or None where this cannot be found out."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        try:
            # Not Linux: what there is at all.
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None
    limits = [*map(_left_to_container, _CONTAINER_FILES), _left_to_process()]
    return min([free, *(left for left in limits if left is not None)])


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


def _left_to_process() -> int | None:
    """Return what a limit on addresses (``ulimit -v``) leaves, or None without one."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(limit - used, 0)


def readable(amount: int) -> str:
    """Return a number of bytes for a person."""
    return f"{amount:,} bytes ({amount / 2**30:,.1f} GiB)"


# Smaller amounts are not worth the look.
_LOOK_FROM_BYTES = 64 << 20
_CPU: Any = None


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
            f"{task} needs {readable(needed)} of memory, {readable(left)} are available: "
            "use fewer qubits, fewer images at a time, or fewer threads"
        )


def available(device: torch.device = _CPU) -> int | None:
    """Return the bytes that can still be taken, or None where this cannot be found out."""
    if device is not None and device.type == "cuda":
        import torch  # Reading data and the process limits below must not wait for it.

        free, _ = torch.cuda.mem_get_info(device)
        # What torch has set aside and does not use is free as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()


# Smaller amounts are not worth the look.
_LOOK_FROM_BYTES_room = 64 << 20


def check_memory_for_images(number: int, resolution: int) -> None:
    """Do nothing if so many uint8 RGB squares fit into the memory that is left.

    Raises:
        DataError: they do not; the message states the bytes needed and available.
    """
    needed = number * resolution**2 * 3
    if needed < _LOOK_FROM_BYTES_room:
        return
    left = free_memory()
    if left is not None and needed > left:
        # A part is taken of images that have been decoded, so a limit saves nothing there.
        raise DataError(
            f"{number:,} images of {resolution} x {resolution} pixels need {readable(needed)} of memory, {readable(left)} are "
            "available: use fewer images with --class or (without --split) --limit, or a smaller --resolution"
        )
