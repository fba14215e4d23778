"""Measure trained runs against real images: a table, a JSON file, and a picture of the samples nearest to training images."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from qgan_qiskit.config import DataConfig, EvaluationConfig, RunConfig
from qgan_qiskit.config.base import first_problem
from qgan_qiskit.data import ImageSet, cache_folder, means_all, read_images
from qgan_qiskit.device import check_device
from qgan_qiskit.errors import DataError, StorageError, UsageError
from qgan_qiskit.metrics import Evaluator, MetricResult, load_inception
from qgan_qiskit.metrics.results import format_table
from qgan_qiskit.models import Generator
from qgan_qiskit.runs.load import find_run, load_generator, select_classes
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.runs.sample import sample_uint8
from qgan_qiskit.storage import atomic_write
from qgan_qiskit.workflows.fit import read_selected_images

_NAME, _FORMAT = "evaluation.json", 2
# Settings of where images are stored, not which images they are.
logger = logging.getLogger(__name__)


_LOCATION = ("path", "cache_dir")


@dataclass(frozen=True)
class _Run:
    """A run, or one class of a class-conditional run, with the settings of its real images."""

    source: Path
    label: str
    generator: Generator
    config: RunConfig
    real: DataConfig
    class_name: str | None = None

    @property
    def folder(self) -> Path:
        return find_run(self.source)


def evaluate(
    sources: Sequence[Path],
    changes: dict[str, Any],
    config: EvaluationConfig,
    output: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure runs against real images; runs on the same images share their features and a table.

    Args:
        sources: run folders, or checkpoints in them.
        changes: settings of the real images that differ from the run's own, ``{field: value}``.
        config: what to measure, and how.
        output: JSON file for all runs; None for ``evaluation.json`` in each run folder. An existing file is replaced.
        device: where the Inception network runs.

    Returns:
        The content of the JSON file: settings, versions, and per set of real images a table of runs with their results.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    if not config.names():
        raise UsageError("--metrics none measures nothing: name some, or leave it out")
    torch_device = check_device(device)
    # Before images are decoded: weights that cannot be used, and files that cannot be written.
    load_inception(config)
    runs = _open_runs(sources, changes)
    _check_outputs(runs, output)
    groups: dict[tuple[DataConfig, DataConfig, int], list[_Run]] = {}
    for run in runs:
        groups.setdefault((run.real, run.config.data, run.config.training.seed), []).append(run)
    content: dict[str, Any] = {"format": _FORMAT, "settings": config.model_dump(), "versions": versions(), "tables": []}
    tables_of_file: dict[Path, list[dict[str, Any]]] = {}
    for members in groups.values():
        evaluator, table = _make_evaluator(members[0], changes, config, torch_device)
        content["tables"].append(table)
        for run in members:
            target = output or run.folder / _NAME
            row = _measure(run, evaluator, target, output is not None)
            table["runs"].append(row)
            tables = tables_of_file.setdefault(target, [])
            tables.append({**table, "runs": [row]})
            # After each run, so that finished measurements survive a later failure.
            _write(target, (json.dumps(content if output else {**content, "tables": tables}, indent=1) + "\n").encode())
            logger.info(f"results: {target}")
    return content


def format_report(content: dict[str, Any]) -> str:
    """Return what :func:`evaluate` returned as text, one table per set of real images."""
    texts = []
    for table in content["tables"]:
        rows = {row["run"]: [MetricResult(**result) for result in row["results"]] for row in table["runs"]}
        data = table["data"]
        split = "all images" if data["split"] == "all" else f"{data['split']} split"
        source = "synthetic lesions" if data["path"] is None else data["path"]
        texts.append(f"{data['class_name']}, {split} of {source}\n\n{format_table(rows)}\n")
    return "\n".join(texts)


def read_real_images(data: DataConfig, seed: int) -> ImageSet:
    """Return the images of one class of a data source, as a run with this seed reads them."""
    images = read_images(data, seed)
    return images if means_all(data.class_name, images.classes) else images.select(str(data.class_name))


def _open_runs(sources: Sequence[Path], changes: dict[str, Any]) -> list[_Run]:
    runs = []
    for source in sources:
        generator, config = load_generator(source)
        try:
            real = config.updated({"data": changes}).data
        except ValidationError as error:
            raise UsageError(first_problem(error).message) from None
        folder = find_run(source)
        label = (folder.name if folder == source else f"{folder.name}/{source.name}") or str(folder)
        if not generator.num_classes:
            runs.append(_Run(source, label, generator, config, real))
            continue
        for name in config.data.class_list():
            # A generator of its own per class, fixed to that class.
            generator, _ = load_generator(source)
            select_classes(generator, config, name)
            data = real.model_copy(update={"class_name": name})
            runs.append(_Run(source, f"{label}/{name}", generator, config, data, name))
    if len({(run.source.resolve(), run.class_name) for run in runs}) < len(runs):
        raise UsageError("a run is named twice: name each once")
    if len({run.label for run in runs}) < len(runs):
        # Runs of equal names in different folders.
        runs = [replace(run, label=str(run.source) + (f"/{run.class_name}" if run.class_name else "")) for run in runs]
    return runs


def _check_outputs(runs: list[_Run], output: Path | None) -> None:
    """Refuse an output that cannot be written, before minutes are spent on measuring."""
    # The classes of one run share a file, its checkpoints do not.
    sources = dict.fromkeys((run.folder.resolve(), run.source.resolve()) for run in runs)
    folders = [folder for folder, _ in sources]
    if output is None and len(set(folders)) < len(folders):
        raise UsageError("several checkpoints of one run: name a file for all results with --output")
    for folder in [output.absolute().parent] if output else folders:
        if not folder.is_dir():
            raise UsageError(f"--output {output}: there is no folder {folder}")
        if not os.access(folder, os.W_OK):
            raise StorageError(f"{folder}: is not writable; name another place with --output")


def _make_evaluator(
    run: _Run, changes: dict[str, Any], config: EvaluationConfig, device: torch.device
) -> tuple[Evaluator, dict[str, Any]]:
    """Return the evaluator of a run and all others on the same images, and their table without rows."""
    real = read_real_images(run.real, run.config.training.seed)
    for note in real.notes:
        logger.warning(f"{note}")
    training, held_out = _find_training_images(run, real, changes, config)
    evaluator = Evaluator(
        config,
        real.images_NHWC,
        held_out,
        training_THWC=training,
        device=device,
        progress=True,
        cache_dir=cache_folder(run.real),
    )
    for note in evaluator.notes:
        logger.warning(f"{note}")
    table = {
        "data": run.real.model_dump(),
        "digest": real.digest,
        "real_images": len(real),
        "held_out_images": 0 if held_out is None else len(held_out),
        "notes": [*real.notes, *evaluator.notes],
        "runs": [],
    }
    return evaluator, table


def _measure(run: _Run, evaluator: Evaluator, target: Path, shared: bool) -> dict[str, Any]:
    """Return a run's row of the table, and write its picture beside the JSON file."""
    logger.info(f"measuring {evaluator.sample_size:,} images of {run.label}")
    results = evaluator.measure(sample_uint8(run.generator, evaluator.sample_size))
    row: dict[str, Any] = {"run": run.label, "results": [result.as_dict() for result in results]}
    if "memorization" in evaluator.metrics:
        label = f"-{run.label.replace('/', '-')}" if shared else f"-{run.class_name}" if run.class_name else ""
        row["picture"] = f"{target.stem}{label}-pairs.png"
        buffer = BytesIO()
        evaluator.draw_closest_pairs().save(buffer, format="PNG")
        _write(target.with_name(row["picture"]), buffer.getvalue())
        logger.info(f"closest pairs: {target.with_name(row['picture'])}")
    return row


def _find_training_images(
    run: _Run, real: ImageSet, changes: dict[str, Any], config: EvaluationConfig
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the images the run was trained on (None: the real ones; empty: not found), and held-out ones of their class."""
    if "memorization" not in config.names() or config.fid_weights is None:
        return None, None
    try:
        digest = json.loads((run.folder / "data.json").read_text())["digest"]
    except (OSError, ValueError, KeyError):
        digest = None
    own, seed = run.config.data, run.config.training.seed
    same_as_real = run.real.model_copy(update={"class_name": own.class_name})
    moved = own.model_copy(update={name: value for name, value in changes.items() if name in _LOCATION})
    for data in dict.fromkeys((same_as_real, own, moved)):
        images = real if data == run.real else _try_read(run.config, data, seed)
        if images is not None and images.digest == digest:
            if run.class_name is not None:
                images = images.select(run.class_name)
            data = data.model_copy(update={"class_name": run.class_name or data.class_name})
            return (None if images is real else images.images_NHWC), _read_held_out(run.config, data, seed)
    logger.warning(f"the training images of {run.label} are not found: neither {own.path} nor --data has them")
    return real.images_NHWC[:0], None


def _try_read(config: RunConfig, data: DataConfig, seed: int) -> ImageSet | None:
    try:
        return read_selected_images(config, data, seed) if data.class_list() else read_real_images(data, seed)
    except DataError:
        return None


def _read_held_out(config: RunConfig, data: DataConfig, seed: int) -> np.ndarray | None:
    """Return the images of the validation and test splits, None if there are none."""
    if data.split != "train":
        logger.warning(
            f"no held-out images, as the run was trained on split '{data.split}' of its images, not on 'train'"
        )
        return None
    splits = [data.model_copy(update={"split": split, "limit": None}) for split in ("validation", "test")]
    images = [found.images_NHWC for split in splits if (found := _try_read(config, split, seed)) is not None]
    if not images:
        logger.warning("no held-out images: neither the validation nor the test split has any")
        return None
    return np.concatenate(images)


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    try:
        atomic_write(path, data)
    except OSError as error:
        raise StorageError(f"{path}: not written ({error.strerror}); free space or name another --output") from None
