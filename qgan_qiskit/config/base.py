"""The base class of all settings, paths with ``~``, and the first problem of a pydantic validation error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from qgan_qiskit.errors import UsageError


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def expanded(text: str | Path) -> Path:
    """Return a path with ``~`` and ``~NAME`` replaced by that home folder.

    Raises:
        UsageError: the home folder is unknown, as in a container whose user is not in the password database.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{text}: the home folder for ~ is unknown; write the whole path") from None


def is_there(text: str) -> bool:
    """Return whether a path, as a user writes it, exists."""
    try:
        return expanded(text).exists()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Problem:
    """What is wrong with some settings.

    Attributes:
        place: names from the outermost section to the setting; empty for a rule between several settings.
        message: what is wrong.
        given: the value.
    """

    place: tuple[str, ...]
    message: str
    given: Any

    def at(self, file: object) -> str:
        """Return ``file: place: message``, without a place where there is none."""
        return ": ".join(part for part in (str(file), ".".join(self.place), self.message) if part)


def first_problem(error: ValidationError) -> Problem:
    """Return the first problem of a validation error."""
    first = error.errors()[0]
    return Problem(
        tuple(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, "), first["input"]
    )
