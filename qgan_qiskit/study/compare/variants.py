"""The models of a comparison: ``NAME[:PRESET][+baseline][@FRACTION]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qgan_qiskit.config import RunConfig, preset
from qgan_qiskit.errors import UsageError

_FORM = re.compile(
    r"(?P<model>[a-z0-9_]+)(:(?P<preset>[a-z0-9_]+))?(?P<baseline>\+baseline)?(@(?P<fraction>0?\.\d+|1))?"
)


@dataclass(frozen=True)
class Variant:
    """A model as it takes part in a comparison.

    Attributes:
        model: its name.
        preset: which of its presets.
        classical_baseline: whether classical layers replace its circuits.
        fraction: of the class's images to train on, for as many images seen; measured against all of them.
    """

    model: str
    preset: str = "default"
    classical_baseline: bool = False
    fraction: float = 1.0

    def __str__(self) -> str:
        """Return the text that :func:`parse_variants` reads."""
        preset = "" if self.preset == "default" else f":{self.preset}"
        fraction = f"@{self.fraction:g}" if self.fraction < 1 else ""
        return self.model + preset + "+baseline" * self.classical_baseline + fraction

    @property
    def slug(self) -> str:
        """Its name in folders."""
        fraction = f"-of{self.fraction:g}" if self.fraction < 1 else ""
        return f"{self.model}-{self.preset}" + "-baseline" * self.classical_baseline + fraction

    def config(self) -> RunConfig:
        """Return the preset's settings.

        Raises:
            UsageError: there is no such model or preset, it has no circuits to replace, or a fraction does not apply to it.
        """
        try:
            config = preset(self.model, self.preset)
        except UsageError as error:
            raise UsageError(f"--models '{self}': {str(error).partition(': ')[2]}") from None
        if self.fraction < 1 and config.model.conditional:
            raise UsageError(
                f"--models '{self}': a fraction of the images is for models of one class; leave @{self.fraction:g} out"
            )
        if not self.classical_baseline:
            return config
        if not config.model.has_classical_baseline():
            raise UsageError(f"--models '{self}': {self.model} has no circuits to replace; leave +baseline out")
        return config.updated({"model": {"classical_baseline": True}})


def model_name(variant: str) -> str:
    """Return the model of a variant's text, whether or not its preset still exists."""
    match = _FORM.fullmatch(variant)
    return match["model"] if match is not None else variant


def parse_variants(text: str) -> tuple[Variant, ...]:
    """Return the models of a list such as ``hybridq,hybridq+baseline,hybridq:paper,dcgan``.

    Raises:
        UsageError: the text is not such a list, names a model twice, or one that does not exist.
    """
    variants: list[Variant] = []
    for part in text.split(","):
        match = _FORM.fullmatch(part.strip())
        if match is None:
            raise UsageError(
                f"--models '{text}': '{part.strip()}' is not of the form NAME, NAME:PRESET, NAME+baseline or NAME@0.5"
            )
        fraction = float(match["fraction"] or 1)
        if not fraction:
            raise UsageError(f"--models '{text}': {part.strip()} would train on no images; name a fraction above 0")
        variant = Variant(match["model"], match["preset"] or "default", match["baseline"] is not None, fraction)
        if variant in variants:
            raise UsageError(f"--models '{text}' names {variant} twice; name each once")
        variant.config()
        variants.append(variant)
    return tuple(variants)
