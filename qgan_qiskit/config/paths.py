"""Paths as users write them, with ``~`` for a home folder."""

from __future__ import annotations

from pathlib import Path

from qgan_qiskit.errors import UsageError


def expanded(text: str | Path) -> Path:
    """Return a path with ``~`` and ``~NAME`` replaced by the home folder that they stand for.

    Raises:
        UsageError: nobody knows that folder, as in a container whose user has no entry in the list of users.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{text}: there is no home folder that ~ could stand for; write the whole path") from None


def is_there(text: str) -> bool:
    """Whether a path, as a user writes it, leads to something."""
    try:
        return expanded(text).exists()
    except (OSError, ValueError):
        return False
