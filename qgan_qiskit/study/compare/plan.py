"""The plan of a comparison: what its cells share, and the cells, each with the same number of images seen.

Files in the study's folder: ``study.json``, ``cells/<model>-<preset>[-baseline]-<class>-s<seed>/`` with ``run/``,
``cell.json`` and two strips of images, ``joint/`` with the runs of conditional models, and the report.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationError

from qgan_qiskit.config import DataConfig, EvaluationConfig, RunConfig, weight_files
from qgan_qiskit.config.base import expanded, first_problem
from qgan_qiskit.config.studies import CompareConfig
from qgan_qiskit.data import ImageSet, class_names, means_all, read_images, resolve_split
from qgan_qiskit.errors import CheckpointError, DataError, UsageError
from qgan_qiskit.storage import sha256
from qgan_qiskit.study import engine
from qgan_qiskit.study.compare.variants import Variant, model_name
from qgan_qiskit.study.study_file import RESULT, Row, Study, absolute_paths, flatten, union

# Files may move while their content stays: images are compared cell by cell, weights by their digest.
_MOVABLE = ("data.path", "data.cache_dir", "evaluation.fid_weights")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class CompareStudy(Study):
    """A comparison.

    Attributes:
        settings: shared by all cells.
        weights_digest: SHA-256 of the Inception weights, None without any.
        models: as the user writes them, in the order they were asked for; likewise classes and seeds.
        classes: as the data spell them.
        seeds: of the runs.
        model_digests: SHA-256 of the files that models' settings name, by ``transfer.weights``.
    """

    kind: ClassVar[str] = "compare"
    settings: CompareConfig
    weights_digest: str | None = None
    models: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    model_digests: dict[str, str] = Field(default_factory=dict)

    def shared(self) -> dict[str, Any]:
        """Return the settings without the paths of files, and the digest of the weights."""
        return flatten(self.settings, skip=_MOVABLE) | {"the digest of the Inception weights": self.weights_digest}

    def extend(self, wanted: Self) -> Self:
        """Return this study with the models, classes, seeds and settings of new models that another one adds.

        Raises:
            UsageError: the two share other settings, or a file of a model has changed.
        """
        known = {model_name(variant) for variant in self.models}
        models = dict(self.settings.model_settings)
        for model, own in wanted.settings.model_settings.items():
            if model not in known:
                models[model] = own
            elif model in models:
                moved = {
                    name: value for name, value in own.items() if name in weight_files(model) and name in models[model]
                }
                models[model] = models[model] | moved
        joined = self.model_copy(update={"settings": self.settings.model_copy(update={"model_settings": models})})
        joined.refuse_other(wanted)
        # Files of a model that takes no part may still change.
        fixed = {name: digest for name, digest in self.model_digests.items() if name.partition(".")[0] in known}
        digests = self.model_digests | wanted.model_digests | fixed
        for name, digest in wanted.model_digests.items():
            if digests[name] != digest:
                raise UsageError(
                    f"--model-setting {name}: the file is not the one this study began with ({self.folder}); restore it, or "
                    "choose another --outdir"
                )
        return wanted.model_copy(
            update={
                "identity": self.identity,
                "versions": self.versions,
                "settings": wanted.settings.model_copy(update={"model_settings": models}),
                "model_digests": digests,
                **{
                    name: union(getattr(self, name), getattr(wanted, name))
                    for name in ("models", "classes", "seeds", "commands", "cells")
                },
            }
        )

    def sort(self, rows: dict[str, Row]) -> dict[str, Row]:
        """Return results by class, model and seed, each in the order they were asked for."""
        orders = [
            (key, {value: number for number, value in enumerate(values)})
            for key, values in (("class", self.classes), ("model", self.models), ("seed", self.seeds))
        ]
        return dict(sorted(rows.items(), key=lambda item: [order.get(item[1][key], -1) for key, order in orders]))


@dataclass(frozen=True)
class Cell(engine.Cell):
    """One training run with its measurement.

    Attributes:
        variant: which model.
        class_name: as the data spell it.
        seed: of the run.
        images: number of real images of the class.
        data_digest: of these images.
        config: settings of the run, with its length and its curve.
        evaluation: what is measured at the end.
        joint: number of images of each class that the run trains on, for a conditional model: one run serves several cells.
        limit: images of a class that the study uses, None for all.
    """

    variant: Variant
    class_name: str
    seed: int
    images: int
    data_digest: str
    config: RunConfig
    evaluation: EvaluationConfig
    joint: tuple[tuple[str, int], ...] = ()
    limit: int | None = None

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        return f"{self.variant.slug}-{_folder_name(self.class_name)}-s{self.seed}"

    @property
    def run_folder(self) -> Path:
        """Where its run is; cells of a conditional model's classes share one."""
        if not self.joint:
            return self.folder
        classes = _folder_name("+".join(name for name, _ in self.joint))
        return self.study / "joint" / f"{self.variant.slug}-{classes}-s{self.seed}"

    @property
    def class_fraction(self) -> float:
        """Fraction of the run's images that are of the class."""
        return self.images / sum(number for _, number in self.joint) if self.joint else 1.0

    @property
    def steps(self) -> int:
        """Steps of the run."""
        steps = self.config.training.steps
        assert steps is not None
        return steps

    @property
    def images_seen(self) -> int:
        """Images of the class that the run sees; for several classes together, on average."""
        return round(self.steps * self.config.training.images_per_step * self.class_fraction)

    @property
    def left_out(self) -> int:
        """Images of the budget that no step sees: less than a batch, as steps are whole."""
        return max(self.config.training.epochs * self.images - self.images_seen, 0)

    @property
    def detail(self) -> str:
        """Its budget."""
        rest = f", {self.left_out} left out" if self.left_out else ""
        return f"{self.steps} steps of {self.config.training.batch_size}, {self.images_seen:,} images seen{rest}"

    def __str__(self) -> str:
        return f"{self.variant}, class {self.class_name}, seed {self.seed}"

    def check(self, row: Row) -> None:
        """Refuse a result of another cell, of other images, or of a run with other settings.

        Raises:
            CheckpointError: naming what differs.
        """
        if (row.get("model"), row.get("class"), row.get("seed")) != (str(self.variant), self.class_name, self.seed):
            raise CheckpointError(f"{self.folder}: holds another cell than its name says; choose another --outdir")
        if row.get("data_digest") != self.data_digest:
            raise CheckpointError(
                f"{self.folder}: the images of class {self.class_name} are not those that this cell was made with; "
                "restore them, or choose another --outdir"
            )
        before, now = row.get("together", []), [name for name, _ in self.joint]
        if before != now:
            raise CheckpointError(
                f"{self.folder}: its run was trained on classes {', '.join(before)} together, not on {', '.join(now)}; give "
                "--class as before, or choose another --outdir"
            )
        try:
            # With defaults for settings that came later.
            trained = comparable_settings(RunConfig.model_validate(row.get("settings")))
        except ValidationError as error:
            file = self.folder / RESULT
            raise CheckpointError(f"{first_problem(error).at(file)}; choose another --outdir") from None
        for section, settings in comparable_settings(self.config).items():
            for key, value in settings.items():
                if value != trained[section].get(key):
                    raise CheckpointError(
                        f"{self.folder}: was made with {section}.{key} {trained[section].get(key)!r}, which is {value!r} now (a "
                        "changed preset?); choose another --outdir"
                    )


def comparable_settings(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Return the settings that decide a run, by section, for JSON; files by their names alone, as they may move."""
    sections = {section: getattr(config, section).model_dump(mode="json") for section in ("model", "data", "training")}
    for name in ("path", "cache_dir"):
        del sections["data"][name]
    for file in config.model.weight_files:
        if sections["model"].get(file) is not None:
            sections["model"][file] = Path(sections["model"][file]).name
    return sections


def prepare(
    settings: CompareConfig,
    variants: Sequence[Variant],
    classes: Sequence[str] | None,
    seeds: Sequence[int],
    outdir: Path,
    command: str,
) -> tuple[CompareStudy, list[Cell]]:
    """Check everything and return the study with the cells asked for; images are read, nothing is written.

    Args:
        settings: shared by all cells.
        variants: models.
        classes: names in any case; None for all classes of the data.
        seeds: of the runs.
        outdir: folder of the study, new or with a study of the same settings.
        command: the command line, for the report.

    Raises:
        QganError: in one line that names the culprit and the remedy.
    """
    _check_weights(settings.evaluation)
    settings = with_absolute_paths(settings)
    names = match_classes(settings, classes)
    study = make_study(outdir, settings, [str(variant) for variant in variants], names, seeds, command).preview()
    cells = plan_cells(study, variants, names, seeds)
    return study.model_copy(update={"cells": union(study.cells, [cell.name for cell in cells])}), cells


def make_study(
    folder: Path,
    settings: CompareConfig,
    models: Iterable[str],
    classes: Iterable[str],
    seeds: Iterable[int],
    command: str,
) -> CompareStudy:
    """Return a new study, which is not written, with the digests of all files that its settings name.

    Raises:
        UsageError: a file cannot be read.
    """
    weights = settings.evaluation.fid_weights
    return CompareStudy(
        folder=folder.absolute(),
        settings=settings,
        weights_digest=None if weights is None else _digest(weights, "--fid-weights "),
        models=tuple(models),
        classes=tuple(classes),
        seeds=tuple(seeds),
        model_digests={
            f"{model}.{name}": _digest(value, f"--model-setting {model}.{name}=")
            for model, own in settings.model_settings.items()
            for name, value in own.items()
            if name in weight_files(model)
        },
        commands=(command,),
    )


def _digest(path: str, option: str) -> str:
    try:
        return sha256(Path(path))
    except OSError as error:
        raise UsageError(f"{option}{path}: cannot be read ({error.strerror}); name a file of weights") from None


def _check_weights(evaluation: EvaluationConfig) -> None:
    """Refuse metrics that lack weights, in terms of the options."""
    if not evaluation.names():
        raise UsageError("--metrics none leaves nothing to compare: name a metric")
    needing = [name for name in evaluation.names() if name not in ("ssim", "ms-ssim")]
    if needing and evaluation.fid_weights is None:
        raise UsageError(
            f"--metrics {','.join(needing)} needs --fid-weights, a file of Inception weights; --metrics ssim needs none"
        )


def with_absolute_paths(settings: CompareConfig) -> CompareConfig:
    """Return the settings with absolute paths and a resolved split: cells may run in other folders and on other machines."""
    data: dict[str, Any] = {"split": resolve_split(settings.data)} | absolute_paths(settings.data)
    models = {
        model: {n: str(expanded(v).absolute()) if n in weight_files(model) else v for n, v in own.items()}
        for model, own in settings.model_settings.items()
    }
    return settings.model_copy(
        update={
            "data": settings.data.model_copy(update=data),
            "evaluation": settings.evaluation.with_absolute_weights(),
            "model_settings": models,
        }
    )


def match_classes(settings: CompareConfig, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return class names as the data spell them; all of them if none are asked for.

    Raises:
        DataError: there is no such class, or no data.
        UsageError: a class is named twice.
    """
    names = class_names(settings.data)
    if wanted is None or (len(wanted) == 1 and means_all(wanted[0], names)):
        return names
    folded = {name.casefold(): name for name in names}
    missing = [name for name in wanted if name.casefold() not in folded]
    if missing:
        raise DataError(f"--class {missing[0]}: the data have {', '.join(names)}")
    found = tuple(folded[name.casefold()] for name in wanted)
    if len(set(found)) < len(found):
        raise UsageError(f"--class {','.join(wanted)} names a class twice; name each once")
    return found


def plan_cells(
    study: CompareStudy, variants: Sequence[Variant], classes: Sequence[str], seeds: Sequence[int]
) -> list[Cell]:
    """Return the cells by class, seed and model; images are read, nothing is written.

    Raises:
        QganError: a model cannot be trained on these images.
    """
    settings = study.settings
    images = {
        (class_name, seed): (len(found), found.digest)
        for class_name in classes
        for seed, found in _images_by_seed(settings, class_name, seeds)
    }
    cells = []
    for class_name in classes:
        for seed in seeds:
            number, digest = images[class_name, seed]
            for variant in variants:
                joint: tuple[tuple[str, int], ...] = ()
                if variant.config().model.conditional:
                    joint = tuple((name, images[name, seed][0]) for name in classes)
                names = ",".join(name for name, _ in joint) or class_name
                config = run_config(variant, settings, names, seed, sum(n for _, n in joint) or number)
                budget = (number, digest, config, settings.evaluation, joint, settings.data.limit)
                cells.append(Cell(study.folder, study.identity, variant, class_name, seed, *budget))
    return cells


def _images_by_seed(settings: CompareConfig, class_name: str, seeds: Sequence[int]) -> Iterator[tuple[int, ImageSet]]:
    """Yield the images of a class for each seed: the same ones, unless they are synthetic lesions."""
    data = settings.data.model_copy(update={"class_name": class_name})
    images = None
    for seed in seeds:
        if images is None or data.path is None:
            images = images_of(data, seed)
        yield seed, images


def images_of(data: DataConfig, seed: int) -> ImageSet:
    """Return the real images of a run; the seed matters for synthetic lesions."""
    return read_images(data, seed).select(str(data.class_name))


def run_config(variant: Variant, settings: CompareConfig, class_name: str, seed: int, images: int) -> RunConfig:
    """Return the settings of a run: the preset's, on the study's images, for the study's budget.

    Raises:
        UsageError: the model cannot make such images.
        DataError: there are fewer images than the preset has in a batch.
    """
    base = _base_config(variant, settings)
    batch_size, own = base.training.images_per_step, round(variant.fraction * images)
    if batch_size > own:
        raise DataError(
            f"{variant}: a batch of {batch_size} does not fit {own} images of class {class_name}: leave the model or the "
            "class out, or give more images"
        )
    # Not in epochs: an epoch of a run drops its last, partial batch, and batch sizes differ between models.
    steps = settings.epochs * images // batch_size
    data = settings.data.model_dump() | {"class_name": class_name, "augment": settings.augment or base.data.augment}
    if variant.fraction < 1:
        data["limit"] = own
    curve = settings.curve(images / batch_size)
    if base.model.conditional:
        # Its curves would be of all classes together.
        curve = curve.model_copy(update={"metrics": "none"})
    training: dict[str, Any] = {"epochs": settings.epochs, "steps": steps, "seed": seed}
    training |= {"threads": settings.threads, "device": settings.device}
    try:
        return base.updated({"data": data, "training": training, "evaluation": curve.model_dump()})
    except ValidationError as error:
        raise UsageError(f"--models '{variant}': {first_problem(error).message}") from None


def _base_config(variant: Variant, settings: CompareConfig) -> RunConfig:
    """Return the preset's settings, changed by ``--model-setting``."""
    base, own = variant.config(), settings.model_settings.get(variant.model, {})
    unknown = [name for name in own if name not in type(base.model).model_fields or name == "name"]
    if unknown:
        raise UsageError(f"--model-setting {variant.model}.{unknown[0]}: {variant.model} has no such setting")
    try:
        return base.updated({"model": own})
    except ValidationError as error:
        problem = first_problem(error)
        # A rule between several settings belongs to none of them.
        name = problem.place[-1] if problem.place else ", ".join(own)
        raise UsageError(f"--model-setting {variant.model}.{name}: {problem.message}") from None


def _folder_name(class_name: str) -> str:
    """Return a class name for use in a folder's name; a changed one gets a checksum, so that none collide."""
    if _PLAIN.fullmatch(class_name):
        return class_name
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', class_name)[:60]}~{zlib.crc32(class_name.encode()):08x}"
