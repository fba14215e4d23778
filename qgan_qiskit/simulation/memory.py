"""Asking for memory before it is taken: an error that says how much is missing, not a process that is killed."""

from __future__ import annotations

import torch

from qgan_qiskit.errors import MemoryNeededError
from qgan_qiskit.memory import free_memory, readable

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
            f"{task} needs {readable(needed)} of memory, {readable(left)} are available: "
            "use fewer qubits, fewer images at a time, or fewer threads"
        )


def available(device: torch.device = _CPU) -> int | None:
    """Return the bytes that can still be taken, or None where this cannot be found out."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch has set aside and does not use is free as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()
