"""From models, classes and seeds to cells with an equal budget."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qgan_qiskit.config import DataConfig, EvaluationConfig, RunConfig, weight_files
from qgan_qiskit.config.base import expanded, first_problem
from qgan_qiskit.config.studies import CompareConfig
from qgan_qiskit.data import (
    ImageSet,
    absolute_source,
    absolute_table,
    class_names,
    means_all,
    read_images,
    resolve_split,
)
from qgan_qiskit.errors import CheckpointError, DataError, UsageError
from qgan_qiskit.runs.run_folder import read_config
from qgan_qiskit.study.cells import RESULT, Row, result_of
from qgan_qiskit.study.compare.entries import Entry
from qgan_qiskit.study.compare.folder import Study

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True)
class Cell:
    """One training run with its measurement; everything that a worker on another machine needs.

    Attributes:
        study: folder of the study, absolute.
        identity: of the study.
        entry: which model.
        class_name: as the data spell it.
        seed: of the run.
        images: real images of the class.
        data_digest: of these images.
        config: settings of the run, its length and its curve included.
        evaluation: what is measured at the end.
        joint: images of each class that the run is trained on, for a conditional model; one run serves the cells of all.
        limit: images of a class that the study looks at, None for all.
    """

    study: Path
    identity: str
    entry: Entry
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
        """The name of the cell's folder."""
        return f"{self.entry.slug}-{_safe(self.class_name)}-s{self.seed}"

    @property
    def folder(self) -> Path:
        """The cell's folder."""
        return self.study / "cells" / self.name

    @property
    def run_folder(self) -> Path:
        """Where its run is; the cells of a conditional model's classes share one."""
        if not self.joint:
            return self.folder
        classes = _safe("+".join(name for name, _ in self.joint))
        return self.study / "joint" / f"{self.entry.slug}-{classes}-s{self.seed}"

    @property
    def share(self) -> float:
        """The class's share of what the run sees."""
        return self.images / sum(number for _, number in self.joint) if self.joint else 1.0

    def __str__(self) -> str:
        """Return the cell for a person."""
        return f"{self.entry}, class {self.class_name}, seed {self.seed}"

    @property
    def steps(self) -> int:
        """Steps of the run."""
        steps = self.config.training.steps
        assert steps is not None
        return steps

    @property
    def images_seen(self) -> int:
        """Images of the class that the run sees; of several classes together, on average."""
        return round(self.steps * self.config.training.images_per_step * self.share)

    @property
    def left_out(self) -> int:
        """Images that the budget has beyond those: less than a batch, as there are no half steps."""
        return max(self.config.training.epochs * self.images - self.images_seen, 0)

    def result(self) -> Row | None:
        """Return the cell's result, None while it is not finished.

        Raises:
            CheckpointError: the file is damaged, of another cell, of other images or of a run with other settings.
        """
        row = result_of(self.folder)
        if row is None:
            return None
        if (row.get("model"), row.get("class"), row.get("seed")) != (str(self.entry), self.class_name, self.seed):
            raise CheckpointError(f"{self.folder}: holds another cell than its name says; take another --outdir")
        if row.get("data_digest") != self.data_digest:
            raise CheckpointError(
                f"{self.folder}: the images of class {self.class_name} are not those that this cell was made with; "
                "bring them back, or take another --outdir"
            )
        together = [name for name, _ in self.joint]
        if row.get("together", []) != together:
            raise CheckpointError(
                f"{self.folder}: its run was trained on classes {', '.join(row.get('together', []))} together, not on "
                f"{', '.join(together)}; give --class as before, or take another --outdir"
            )
        before = _settings_before(self, row)
        if before is not None:
            _check_settings(self, before)
        return row


def classes_of(settings: CompareConfig, wanted: Sequence[str] | None) -> tuple[str, ...]:
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


def plan(study: Study, entries: Sequence[Entry], classes: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """Return the cells, by class, seed and model; images are read, nothing is written.

    Raises:
        QganError: a model cannot be trained on these images.
    """
    cells = []
    found = {
        (class_name, seed): (len(images), images.digest)
        for class_name in classes
        for seed, images in _images(study.settings, class_name, seeds)
    }
    for class_name in classes:
        for seed in seeds:
            number, digest = found[class_name, seed]
            for entry in entries:
                joint: tuple[tuple[str, int], ...] = ()
                if entry.config().model.conditional:
                    joint = tuple((name, found[name, seed][0]) for name in classes)
                names = ",".join(name for name, _ in joint) or class_name
                config = run_config(entry, study.settings, names, seed, sum(n for _, n in joint) or number)
                cells.append(
                    Cell(
                        study.folder,
                        study.identity,
                        entry,
                        class_name,
                        seed,
                        number,
                        digest,
                        config,
                        study.settings.evaluation,
                        joint,
                        study.settings.data.limit,
                    )
                )
    return cells


def run_config(entry: Entry, settings: CompareConfig, class_name: str, seed: int, images: int) -> RunConfig:
    """Return the settings of a run: the preset's recipe, on the study's images, for the study's budget.

    Raises:
        UsageError: the model cannot make such images.
        DataError: there are fewer images than the preset has in a batch.
    """
    base = _base(entry, settings)
    batch_size, own = base.training.images_per_step, round(entry.share * images)
    if batch_size > own:
        raise DataError(
            f"{entry}: a batch of {batch_size} does not fit {own} images of class {class_name}: leave the model or the "
            "class out, or give more images"
        )
    # Not a number of epochs: a run's epoch leaves out the last, partial batch, and models differ in their batches.
    steps = settings.epochs * images // batch_size
    data = settings.data.model_dump() | {"class_name": class_name, "augment": settings.augment or base.data.augment}
    if entry.share < 1:
        data["limit"] = own
    curve = settings.curve(images / batch_size)
    if base.model.conditional:
        # Curves would be of all classes together.
        curve = curve.model_copy(update={"metrics": "none"})
    training: dict[str, Any] = {"epochs": settings.epochs, "steps": steps, "seed": seed}
    training |= {"threads": settings.threads, "device": settings.device}
    try:
        return base.updated({"data": data, "training": training, "evaluation": curve.model_dump()})
    except ValidationError as error:
        raise UsageError(f"--models '{entry}': {first_problem(error).message}") from None


def _base(entry: Entry, settings: CompareConfig) -> RunConfig:
    """Return the preset's settings with what the study sets of the model."""
    base, own = entry.config(), settings.model_settings.get(entry.model, {})
    unknown = [name for name in own if name not in type(base.model).model_fields or name == "name"]
    if unknown:
        raise UsageError(f"--model-setting {entry.model}.{unknown[0]}: {entry.model} has no such setting")
    try:
        return base.updated({"model": own})
    except ValidationError as error:
        problem = first_problem(error)
        # A rule between several settings has no place of its own.
        name = problem.place[-1] if problem.place else ", ".join(own)
        raise UsageError(f"--model-setting {entry.model}.{name}: {problem.message}") from None


def absolute(settings: CompareConfig) -> CompareConfig:
    """Return the settings with absolute paths: cells may run in other folders and on other machines."""
    data, evaluation = settings.data, settings.evaluation.with_absolute_weights()
    if data.path is not None:
        data = data.model_copy(update={"path": absolute_source(data.path)})
    if data.table is not None:
        data = data.model_copy(update={"table": absolute_table(data.table)})
    # A study says which part it is of, whatever a later version takes without being told.
    data = data.model_copy(update={"split": resolve_split(data)})
    if data.cache_dir is not None:
        data = data.model_copy(update={"cache_dir": str(expanded(data.cache_dir).absolute())})
    models = {
        model: {n: str(expanded(v).absolute()) if n in weight_files(model) else v for n, v in own.items()}
        for model, own in settings.model_settings.items()
    }
    return settings.model_copy(update={"data": data, "evaluation": evaluation, "model_settings": models})


def images_of(data: DataConfig, seed: int) -> ImageSet:
    """Return the real images of a run; the seed matters for made ones."""
    return read_images(data, seed).select(str(data.class_name))


def _images(settings: CompareConfig, class_name: str, seeds: Sequence[int]) -> Iterator[tuple[int, ImageSet]]:
    """Yield the images of a class for each seed: the same ones, unless they are made."""
    data = settings.data.model_copy(update={"class_name": class_name})
    images = None
    for seed in seeds:
        if images is None or data.path is None:
            images = images_of(data, seed)
        yield seed, images


def settings_of(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Return what decides a run, by section, for JSON; files are named without their folders, as those may move."""
    found = {section: getattr(config, section).model_dump(mode="json") for section in ("model", "data", "training")}
    for place in ("path", "cache_dir"):
        del found["data"][place]
    for file in config.model.weight_files:
        if found["model"].get(file) is not None:
            found["model"][file] = Path(found["model"][file]).name
    return found


def _settings_before(cell: Cell, row: Row) -> RunConfig | None:
    """Return the settings of a finished cell's run, with defaults for what came later; None if nobody knows them any more."""
    if "settings" in row:
        try:
            return RunConfig.model_validate(row["settings"])
        except ValidationError as error:
            file = cell.folder / RESULT
            raise CheckpointError(
                f"{first_problem(error).at(file)}: another version's? Take another --outdir"
            ) from None
    # Cells of earlier versions do not say it themselves.
    run = cell.run_folder / "run" / "config.json"
    return read_config(run) if run.is_file() else None


def _check_settings(cell: Cell, before: RunConfig) -> None:
    """Refuse a finished cell whose run had other settings: the preset of this version is another one."""
    now, then = settings_of(cell.config), settings_of(before)
    for section in now:
        for key, value in now[section].items():
            if value != then[section].get(key):
                raise CheckpointError(
                    f"{cell.folder}: was made with {section}.{key} {then[section].get(key)!r}, which is {value!r} now: another "
                    "version's preset? Take another --outdir"
                )


def _safe(class_name: str) -> str:
    """Return a class name for use in a folder's; one that has to be changed gets a checksum, so that none collide."""
    if _PLAIN.fullmatch(class_name):
        return class_name
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', class_name)[:60]}~{zlib.crc32(class_name.encode()):08x}"
