"""Whether images fit into memory, asked before it is taken."""

from __future__ import annotations

from qgan_qiskit.errors import DataError
from qgan_qiskit.memory import free_memory, readable

# Smaller amounts are not worth the look.
_LOOK_FROM_BYTES = 64 << 20


def require_room(number: int, resolution: int) -> None:
    """Do nothing if so many uint8 RGB squares fit into the memory that is left.

    Raises:
        DataError: they do not; the message states the bytes needed and available.
    """
    needed = number * resolution**2 * 3
    if needed < _LOOK_FROM_BYTES:
        return
    left = free_memory()
    if left is not None and needed > left:
        # A part is taken of images that have been decoded, so a limit saves nothing there.
        raise DataError(
            f"{number:,} images of {resolution} x {resolution} pixels need {readable(needed)} of memory, {readable(left)} are "
            "available: use fewer images with --class or (without --part) --limit, or a smaller --resolution"
        )
