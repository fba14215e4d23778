"""``study``: whole experiments, one command each."""

from __future__ import annotations

from typing import ClassVar

import click

from qgan_qiskit.cli import LazyGroup


class StudyGroup(LazyGroup):
    """The studies, each in ``study_<name>.py``."""

    lines: ClassVar[dict[str, str]] = {
        "compare": "Compare models: models x classes x seeds at an equal budget.",
        "noise": "Find out what shots, noise and mitigation do to a generator's images.",
        "augment": "Find out whether generated images help a classifier that has few real ones.",
        "geometry": "Look into trained generators: how many directions their images and features vary in.",
        "circuits": "Measure circuits before training: expressibility, entanglement, gradient variance.",
    }
    prefix = "study_"


@click.group(cls=StudyGroup)
def command() -> None:
    """Whole experiments: many runs, and what they say together."""
