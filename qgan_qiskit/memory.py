"""Check that there is enough memory before it is taken: an error that says how much is missing, not a process that is killed.

Limits of the machine, of the container and of the process count.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qgan_qiskit.errors import DataError, MemoryNeededError

if TYPE_CHECKING:
    import torch

try:
    import resource
except ImportError:  # Windows limits no process in this way.
    resource = None  # type: ignore[assignment]

# Control groups, version 2 and version 1: limit, use, statistics, and the name of the statistic that counts reclaimable bytes.
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
            # Not Linux: all the memory of the machine.
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None
    limits = [*map(_container_limit, _CONTAINER_FILES), _process_limit()]
    return min([free, *(left for left in limits if left is not None)])


def _container_limit(files: tuple[str, str, str, str]) -> int | None:
    """Return the bytes that a container may still take, or None outside of one or without a limit."""
    limit, used, statistics, reclaimable = files
    try:
        # Cached file pages count as used, and are reclaimed when memory is short.
        lines = (line.split() for line in Path(statistics).read_text().splitlines())
        cached = next(int(value) for name, value in lines if name == reclaimable)
        return int(Path(limit).read_text()) - int(Path(used).read_text()) + cached
    except (OSError, ValueError, StopIteration):
        return None


def _process_limit() -> int | None:
    """Return the bytes that a limit on addresses (``ulimit -v``) leaves, or None without one."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(limit - used, 0)


def format_bytes(amount: int) -> str:
    """Return a number of bytes in words."""
    return f"{amount:,} bytes ({amount / 2**30:,.1f} GiB)"


# Smaller amounts are not checked: the check takes longer than they matter.
_MIN_CHECKED_BYTES = 64 << 20


def check_available_memory(needed: int, task: str, device: torch.device | None = None) -> None:
    """Check that a device has ``needed`` bytes left.

    Raises:
        MemoryNeededError: it does not; the message states the bytes needed and available.
    """
    if needed < _MIN_CHECKED_BYTES:
        return
    left = available_memory(device)
    if left is not None and needed > left:
        raise MemoryNeededError(
            f"{task} needs {format_bytes(needed)} of memory, {format_bytes(left)} are available: "
            "use fewer qubits, fewer images at a time, or fewer threads"
        )


def available_memory(device: torch.device | None = None) -> int | None:
    """Return the bytes that can still be taken, or None where this cannot be found out."""
    if device is not None and device.type == "cuda":
        import torch  # Reading data must not wait for torch.

        free, _ = torch.cuda.mem_get_info(device)
        # What torch has reserved and does not use is free as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()


def check_memory_for_images(number: int, resolution: int) -> None:
    """Check that a number of square uint8 RGB images fits into the memory that is left.

    Raises:
        DataError: it does not; the message states the bytes needed and available.
    """
    needed = number * resolution**2 * 3
    if needed < _MIN_CHECKED_BYTES:
        return
    left = free_memory()
    if left is not None and needed > left:
        # A split is taken of decoded images, so --limit saves no memory with --split.
        raise DataError(
            f"{number:,} images of {resolution} x {resolution} pixels need {format_bytes(needed)} of memory, "
            f"{format_bytes(left)} are available: use fewer images with --class or (without --split) --limit, or a smaller "
            "--resolution"
        )
