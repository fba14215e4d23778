"""The cells of a study: which classifiers are trained, on how many images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qgan_qiskit.study.augment.amounts import generated_counts
from qgan_qiskit.study.augment.conditions import BASELINES, Condition
from qgan_qiskit.study.augment.draw import draw_real
from qgan_qiskit.study.augment.parts import read_part
from qgan_qiskit.study.augment.sources import Source
from qgan_qiskit.study.augment.spec import Study


@dataclass(frozen=True)
class Images:
    """Generated images of one checkpoint: those of the seeds 0 to number - 1.

    Attributes:
        study: folder of the study.
        generator: name.
        source: the checkpoint.
        number: how many.
    """

    study: Path
    generator: str
    source: Source
    number: int

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return self.study / "generated" / f"{self.generator}-{self.source.digest[:12]}-{self.number}"

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.number} images of {self.generator}, class {self.source.class_name}"


@dataclass(frozen=True)
class Cell:
    """One classifier: everything that a worker on another machine needs.

    Attributes:
        study: folder of the study, absolute.
        identity: of the study.
        condition: what it trains on.
        seed: of the study.
        images: generated images of each class; empty without a generator.
        counts: how many of them are used.
    """

    study: Path
    identity: str
    condition: Condition
    seed: int
    images: tuple[Images, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def folder(self) -> Path:
        """The cell's folder."""
        return self.study / "cells" / f"{self.condition.slug}-s{self.seed}"

    def __str__(self) -> str:
        """Return the cell for a person."""
        return f"{self.condition}, seed {self.seed}"


def conditions(study: Study) -> list[Condition]:
    """Return the conditions that do not depend on which alpha is chosen."""
    alphas = study.settings.alpha_values()
    generated = [Condition("generated", name, alpha) for name in study.generators for alpha in alphas]
    return [Condition(kind) for kind in BASELINES] + generated


def real_counts(study: Study) -> dict[int, list[int]]:
    """Return the real training images of each class, for every seed."""
    train = read_part(study.data, "train", study.classes)
    return {
        seed: np.bincount(
            train.labels_N[draw_real(train, study.settings.real_share, seed)], minlength=len(study.classes)
        ).tolist()
        for seed in study.settings.seed_values()
    }


class Plan:
    """A study with the numbers of its images, from which cells are made."""

    def __init__(self, study: Study) -> None:
        """Count the real images of every seed.

        Args:
            study: what is studied.
        """
        self.study = study
        self.real = real_counts(study)
        self.images = {(one.generator, one.source): one for one in self._images()}

    def cells(self, wanted: list[Condition]) -> list[Cell]:
        """Return the cells of some conditions, seed by seed."""
        return [self._cell(condition, seed) for seed in self.real for condition in wanted]

    def counts(self, alpha: float, seed: int) -> list[int]:
        """Return the generated images of each class at an alpha, beside the real ones of a seed."""
        return generated_counts(self.real[seed], alpha, self.study.settings.generated_classes)

    def _cell(self, condition: Condition, seed: int) -> Cell:
        study = self.study
        if condition.generator is None or condition.alpha is None:
            return Cell(study.folder, study.identity, condition, seed)
        sources = [source for _, source in self._sources(condition.generator, seed)]
        images = tuple(self.images[condition.generator, source] for source in sources)
        return Cell(study.folder, study.identity, condition, seed, images, tuple(self.counts(condition.alpha, seed)))

    def _sources(self, generator: str, seed: int) -> Iterator[tuple[int, Source]]:
        """Yield label and checkpoint of each class for a seed: several runs of a class take turns over the seeds."""
        for label, name in enumerate(self.study.classes):
            runs = self.study.generators[generator][name]
            yield label, runs[seed % len(runs)]

    def _images(self) -> Iterator[Images]:
        """Yield every checkpoint with the most images that any cell takes of it."""
        most: dict[tuple[str, Source], int] = {}
        for generator in self.study.generators:
            for seed in self.real:
                for label, source in self._sources(generator, seed):
                    number = max(self.counts(alpha, seed)[label] for alpha in self.study.settings.alpha_values())
                    most[generator, source] = max(number, most.get((generator, source), 1))
        for (generator, source), number in most.items():
            yield Images(self.study.folder, generator, source, number)
