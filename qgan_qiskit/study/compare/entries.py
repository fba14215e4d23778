"""The models of a comparison: ``NAME[:PRESET][+baseline][@SHARE]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qgan_qiskit.config import RunConfig, preset
from qgan_qiskit.errors import UsageError

_FORM = re.compile(
    r"(?P<model>[a-z0-9_]+)(:(?P<preset>[a-z0-9_]+))?(?P<classical_baseline>\+baseline)?(@(?P<share>0?\.\d+|1))?"
)


@dataclass(frozen=True)
class Entry:
    """A model as it takes part in a comparison.

    Attributes:
        model: its name.
        preset: which of its presets.
        classical_baseline: whether its circuits are replaced.
        share: of the class's images that it is trained on, as often as it takes to see as many; measured against all of them.
    """

    model: str
    preset: str = "default"
    classical_baseline: bool = False
    share: float = 1.0

    def __str__(self) -> str:
        """Return what a user writes for it."""
        parts = [self.model]
        if self.preset != "default":
            parts.append(f":{self.preset}")
        if self.classical_baseline:
            parts.append("+baseline")
        if self.share < 1:
            parts.append(f"@{self.share:g}")
        return "".join(parts)

    @property
    def slug(self) -> str:
        """The name in folders."""
        share = f"-of{self.share:g}" if self.share < 1 else ""
        return f"{self.model}-{self.preset}" + ("-baseline" if self.classical_baseline else "") + share

    def config(self) -> RunConfig:
        """Return the preset's settings.

        Raises:
            UsageError: there is no such model or preset, or the model has no circuits that a classical baseline could replace.
        """
        try:
            config = preset(self.model, self.preset)
        except UsageError as error:
            raise UsageError(f"--models '{self}': {str(error).partition(': ')[2]}") from None
        if self.share < 1 and config.model.conditional:
            raise UsageError(
                f"--models '{self}': a share of the images is for models of one class; leave @{self.share:g} out"
            )
        if not self.classical_baseline:
            return config
        if not config.model.has_classical_baseline():
            raise UsageError(f"--models '{self}': {self.model} has no circuits to replace; leave +baseline out")
        return config.updated({"model": {"classical_baseline": True}})


def model_of(entry: str) -> str:
    """Return the model of an entry as it is written, whether or not its preset is still there."""
    match = _FORM.fullmatch(entry)
    return match["model"] if match is not None else entry


def parse_entries(text: str) -> tuple[Entry, ...]:
    """Return the models of a list such as ``hybridq,hybridq+baseline,hybridq:paper,dcgan``.

    Raises:
        UsageError: the text is not such a list, names a model twice, or one that there is not.
    """
    entries = []
    for part in text.split(","):
        match = _FORM.fullmatch(part.strip())
        if match is None:
            raise UsageError(
                f"--models '{text}': '{part.strip()}' is not of the form NAME, NAME:PRESET, NAME+baseline or NAME@0.5"
            )
        share = float(match["share"] or 1)
        if not share:
            raise UsageError(f"--models '{text}': {part.strip()} would train on no images; name a share above 0")
        entry = Entry(match["model"], match["preset"] or "default", match["classical_baseline"] is not None, share)
        if entry in entries:
            raise UsageError(f"--models '{text}' names {entry} twice; name each once")
        entry.config()
        entries.append(entry)
    return tuple(entries)
