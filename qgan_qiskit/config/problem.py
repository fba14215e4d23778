"""The first of pydantic's complaints, in the parts that one line for a person is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError


@dataclass(frozen=True)
class Problem:
    """What is wrong with some settings.

    Attributes:
        place: names from the outermost section to the setting; empty where a rule between several settings is broken.
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
