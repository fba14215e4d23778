"""The models of a comparison: ``NAME[:PRESET][+twin]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qgan_qiskit.config import RunConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.presets import preset

_FORM = re.compile(r"(?P<model>[a-z0-9_]+)(:(?P<preset>[a-z0-9_]+))?(?P<twin>\+twin)?")


@dataclass(frozen=True)
class Entry:
    """A model as it takes part in a comparison: which preset of it, and whether its circuits are replaced."""

    model: str
    preset: str = "default"
    twin: bool = False

    def __str__(self) -> str:
        """Return what a user writes for it."""
        return self.model + (f":{self.preset}" if self.preset != "default" else "") + ("+twin" if self.twin else "")

    @property
    def slug(self) -> str:
        """The name in folders."""
        return f"{self.model}-{self.preset}" + ("-twin" if self.twin else "")

    def config(self) -> RunConfig:
        """Return the preset's settings.

        Raises:
            UsageError: there is no such model or preset, or the model has no circuits that a twin could replace.
        """
        try:
            config = preset(self.model, self.preset)
        except UsageError as error:
            raise UsageError(f"--models '{self}': {str(error).partition(': ')[2]}") from None
        if not self.twin:
            return config
        if "twin" not in type(config.model).model_fields:
            raise UsageError(f"--models '{self}': {self.model} has no circuits to replace; leave +twin out")
        return config.updated({"model": {"twin": True}})


def parse_entries(text: str) -> tuple[Entry, ...]:
    """Return the models of a list such as ``hybridq,hybridq+twin,hybridq:paper,dcgan``.

    Raises:
        UsageError: the text is not such a list, names a model twice, or one that there is not.
    """
    entries = []
    for part in text.split(","):
        match = _FORM.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"--models '{text}': '{part.strip()}' is not of the form NAME, NAME:PRESET or NAME+twin")
        entry = Entry(match["model"], match["preset"] or "default", match["twin"] is not None)
        if entry in entries:
            raise UsageError(f"--models '{text}' names {entry} twice; name each once")
        entry.config()
        entries.append(entry)
    return tuple(entries)
