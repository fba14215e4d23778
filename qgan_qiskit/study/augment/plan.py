"""The plan of an augmentation study: what its cells share, and the cells.

Files in the study's folder: ``study.json``; ``splits.json`` with class and lesion of every validation and test image;
``generated/…`` with the images of each run; ``cells/<condition>-s<seed>/`` with ``cell.json`` and ``predictions.npz``; and the
report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import ValidationError

from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.base import expanded, first_problem
from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.storage import sha256
from qgan_qiskit.study import engine
from qgan_qiskit.study.augment.sources import Source
from qgan_qiskit.study.augment.training_sets import (
    BASELINES,
    SPLITS,
    Condition,
    generated_counts,
    read_split,
    sample_real,
)
from qgan_qiskit.study.study_file import Study, absolute_paths, flatten

SPLITS_FILE = "splits.json"
# May differ when a study resumes: where files lie (their content is compared), what only adds cells, what changes no number.
_FREE = (
    *(f"data.{name}" for name in ("path", "cache_dir", "class_name", "split", "augment")),
    *(f"augment.{name}" for name in ("weights", "alphas", "seeds", "bootstrap", "device", "threads")),
)
Generators = dict[str, dict[str, tuple[Source, ...]]]


class AugmentStudy(Study):
    """An augmentation study.

    Attributes:
        data: source and splits of the real images.
        classes: to tell apart, as the data spell them.
        settings: of the classifier; its alphas and seeds are all that have been asked for.
        weights_digest: SHA-256 of the weights file, None without one.
        digests: of the images of each split.
        generators: name -> class -> checkpoints.
    """

    kind: ClassVar[str] = "augment"
    data: DataConfig
    classes: tuple[str, ...]
    settings: AugmentConfig
    weights_digest: str | None
    digests: dict[str, str]
    generators: Generators

    def shared(self) -> dict[str, Any]:
        """Return settings, images and weights without their paths."""
        found: dict[str, Any] = {"classes": list(self.classes)}
        found |= flatten(self.data, "data.", _FREE) | flatten(self.settings, "augment.", _FREE)
        found |= {f"the digest of the {split} split": digest for split, digest in self.digests.items()}
        return found | {"the digest of the weights file": self.weights_digest}

    def extend(self, wanted: Self) -> Self:
        """Return this study with the alphas, seeds and generators that another one adds.

        Raises:
            UsageError: the two share other settings, or have other checkpoints for one name.
        """
        self.refuse_other(wanted)
        for name, sources in wanted.generators.items():
            before, now = (_short_digests(one) for one in (self.generators.get(name, sources), sources))
            if before != now:
                raise UsageError(
                    f"{self.folder}: --generator {name} is {now} and was {before} when this study began; restore it, or choose "
                    "another --outdir"
                )
        alphas = sorted({*self.settings.alpha_values(), *wanted.settings.alpha_values()})
        seeds = sorted({*self.settings.seed_values(), *wanted.settings.seed_values()})
        lists = {"alphas": ",".join(f"{alpha:g}" for alpha in alphas), "seeds": ",".join(map(str, seeds))}
        try:
            settings = AugmentConfig.model_validate({**wanted.settings.model_dump(), **lists})
        except ValidationError as error:
            raise UsageError(f"{self.folder}: extended, --seeds: {first_problem(error).message}") from None
        # Images and checkpoints may have moved; a generator that was there keeps its position.
        generators = {**self.generators, **wanted.generators}
        return self.model_copy(update={"data": wanted.data, "settings": settings, "generators": generators})

    def cell_names(self) -> Iterable[str]:
        """Return baselines first, then by generator and alpha, each with its seeds rising."""
        seeds = self.settings.seed_values()
        return [f"{condition.slug}-s{seed}" for condition in self.conditions() for seed in seeds]

    def conditions(self) -> list[Condition]:
        """Return all conditions that there may be, whichever alphas are chosen."""
        return self.first_conditions() + [
            Condition("traditional+generated", name, alpha)
            for name in self.generators
            for alpha in self.settings.alpha_values()
        ]

    def first_conditions(self) -> list[Condition]:
        """Return the conditions that come before alphas are chosen."""
        return [Condition(kind) for kind in BASELINES] + [
            Condition("generated", name, alpha) for name in self.generators for alpha in self.settings.alpha_values()
        ]


def _short_digests(sources: Mapping[str, tuple[Source, ...]]) -> dict[str, list[str]]:
    return {name: [source.digest[:12] for source in found] for name, found in sources.items()}


def make_study(
    folder: Path, data: DataConfig, classes: tuple[str, ...], settings: AugmentConfig, generators: Generators
) -> AugmentStudy:
    """Return a new study, which is not written; the images are read.

    Raises:
        DataError: the images cannot be read, or a class has none in a split.
        UsageError: the weights file cannot be read.
    """
    data = data.model_copy(update={**absolute_paths(data), "class_name": None, "split": "all"})
    digest = None
    if settings.weights is not None:
        path = expanded(settings.weights).absolute()
        settings = settings.model_copy(update={"weights": str(path)})
        try:
            digest = sha256(path)
        except OSError as error:
            raise UsageError(f"--weights {path}: cannot be read ({error.strerror}); name another file") from None
    return AugmentStudy(
        folder=folder.absolute(),
        data=data,
        classes=classes,
        settings=settings,
        weights_digest=digest,
        digests={split: read_split(data, split, classes).digest for split in SPLITS},
        generators=generators,
    )


@dataclass(frozen=True)
class GeneratedImages(engine.Cell):
    """Generated images of one checkpoint: those of the seeds 0 to number - 1.

    Attributes:
        generator: name.
        source: the checkpoint.
        number: how many.
    """

    generator: str
    source: Source
    number: int

    @property
    def name(self) -> str:
        """Name of the folder."""
        return f"{self.generator}-{self.source.digest[:12]}-{self.number}"

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return self.study / "generated" / self.name

    def __str__(self) -> str:
        return f"{self.number} images of {self.generator}, class {self.source.class_name}"


@dataclass(frozen=True)
class Cell(engine.Cell):
    """One classifier.

    Attributes:
        condition: what it trains on.
        seed: of the study.
        real: number of real images to train on.
        images: generated images of each class; empty without a generator.
        counts: how many of them are used.
    """

    condition: Condition
    seed: int
    real: int
    images: tuple[GeneratedImages, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        return f"{self.condition.slug}-s{self.seed}"

    @property
    def detail(self) -> str:
        """How many images it trains on."""
        return f"{self.real:,} real images, {sum(self.counts):,} generated"

    def __str__(self) -> str:
        return f"{self.condition}, seed {self.seed}"


class Plan:
    """A study with the numbers of its images, from which cells are made."""

    def __init__(self, study: AugmentStudy) -> None:
        """Count the real images of every seed.

        Args:
            study: what is studied.
        """
        self.study = study
        train = read_split(study.data, "train", study.classes)
        # Seed -> real training images of each class.
        self.real: dict[int, list[int]] = {
            seed: np.bincount(
                train.labels_N[sample_real(train, study.settings.real_share, seed)], minlength=len(study.classes)
            ).tolist()
            for seed in study.settings.seed_values()
        }
        self.images = {(one.generator, one.source): one for one in self._generated_images()}

    def first_cells(self) -> list[Cell]:
        """Return the cells that come before alphas are chosen."""
        return self.cells(self.study.first_conditions())

    def cells(self, conditions: Iterable[Condition]) -> list[Cell]:
        """Return the cells of some conditions, seed by seed."""
        conditions = list(conditions)
        return [self._cell(condition, seed) for seed in self.real for condition in conditions]

    def counts(self, alpha: float, seed: int) -> list[int]:
        """Return the generated images of each class at an alpha, beside the real ones of a seed."""
        return generated_counts(self.real[seed], alpha, self.study.settings.generated_classes)

    def _cell(self, condition: Condition, seed: int) -> Cell:
        study = self.study
        cell = (study.folder, study.identity, condition, seed, sum(self.real[seed]))
        if condition.generator is None or condition.alpha is None:
            return Cell(*cell)
        images = tuple(self.images[condition.generator, source] for source in self._sources(condition.generator, seed))
        return Cell(*cell, images, tuple(self.counts(condition.alpha, seed)))

    def _sources(self, generator: str, seed: int) -> Iterator[Source]:
        """Yield the checkpoint of each class for a seed: several runs of a class take turns over the seeds."""
        for name in self.study.classes:
            runs = self.study.generators[generator][name]
            yield runs[seed % len(runs)]

    def _generated_images(self) -> Iterator[GeneratedImages]:
        """Yield every checkpoint with the most images that any cell takes of it."""
        study = self.study
        most: dict[tuple[str, Source], int] = {}
        for generator in study.generators:
            for seed in self.real:
                for label, source in enumerate(self._sources(generator, seed)):
                    number = max(self.counts(alpha, seed)[label] for alpha in study.settings.alpha_values())
                    most[generator, source] = max(number, most.get((generator, source), 1))
        for (generator, source), number in most.items():
            yield GeneratedImages(study.folder, study.identity, generator, source, number)
