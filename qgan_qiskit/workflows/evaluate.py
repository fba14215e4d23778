"""Measuring trained runs: samples against real images, in one table, with a JSON file and a picture of the closest pairs."""

from __future__ import annotations

import contextlib
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
from qgan_qiskit.data import ImageSet, cache_folder, read_images
from qgan_qiskit.data.dataset import means_all
from qgan_qiskit.device import check_device
from qgan_qiskit.errors import DataError, StorageError, UsageError
from qgan_qiskit.metrics import Evaluator, MetricResult, open_network
from qgan_qiskit.metrics.results import table_text
from qgan_qiskit.models import Generator
from qgan_qiskit.runs.load import find_run, load_generator, select_classes
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.runs.sample import sample_uint8
from qgan_qiskit.workflows.fit import read_selected_images

logger = logging.getLogger(__name__)


_NAME = "evaluation.json"
# Settings that say where images lie, not which they are.
_PLACE = ("path", "cache_dir")


@dataclass(frozen=True)
class _Run:
    """A run, or one class of a run of several, with the settings of its real images."""

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
        output: JSON file for all runs; None for ``evaluation.json`` in each run's folder. What is there is replaced.
        device: where the Inception network runs.

    Returns:
        What the JSON file holds: settings, versions, and per set of real images a table of runs with their figures.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    if not config.names():
        raise UsageError("--metrics none measures nothing: name some, or leave it out")
    torch_device = check_device(device)
    # Before images are decoded: what the weights cannot give, and what cannot be written.
    open_network(config)
    runs = _opened(sources, changes)
    _check_targets(runs, output)
    groups: dict[tuple[DataConfig, DataConfig, int], list[_Run]] = {}
    for run in runs:
        groups.setdefault((run.real, run.config.data, run.config.training.seed), []).append(run)
    tables: dict[Path, list[dict[str, Any]]] = {}
    result: dict[str, Any] = {"format": 1, "settings": config.model_dump(), "versions": versions(), "tables": []}
    for members in groups.values():
        evaluator, table = _begun(members[0], changes, config, torch_device)
        result["tables"].append(table)
        for run in members:
            logger.info(f"measuring {evaluator.number:,} images of {run.label}")
            figures = evaluator.measure(sample_uint8(run.generator, evaluator.number))
            row: dict[str, Any] = {"run": run.label, "figures": [figure.as_dict() for figure in figures]}
            table["runs"].append(row)
            target = output or run.folder / _NAME
            if "memorization" in evaluator.names:
                label = f"-{run.label.replace('/', '-')}" if output else f"-{run.class_name}" if run.class_name else ""
                row["picture"] = f"{target.stem}{label}-pairs.png"
                _write_picture(target.with_name(row["picture"]), evaluator)
            # After each run: what has been measured is kept, whatever happens to the next.
            own = [*tables.setdefault(target, []), {**table, "runs": [row]}]
            tables[target] = own
            content = result if output else {**result, "tables": own}
            _write(target, (json.dumps(content, indent=1) + "\n").encode())
            logger.info(f"figures: {target}")
    return result


def _begun(
    run: _Run, changes: dict[str, Any], config: EvaluationConfig, device: torch.device
) -> tuple[Evaluator, dict[str, Any]]:
    """Return what measures a run and all others on the same images, and their table without rows."""
    real = real_images(run.real, run.config.training.seed)
    for note in real.notes:
        logger.warning(f"{note}")
    training, held_out = _trained_on(run, real, changes, config)
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


def report(result: dict[str, Any]) -> str:
    """Return what :func:`evaluate` returned as text, a table per set of real images."""
    texts = []
    for table in result["tables"]:
        rows = {row["run"]: [MetricResult(**figure) for figure in row["figures"]] for row in table["runs"]}
        data = table["data"]
        source = "synthetic lesions" if data["path"] is None else data["path"]
        texts.append(f"{data['class_name']}, {data['part']} part of {source}\n\n{table_text(rows)}\n")
    return "\n".join(texts)


def _opened(sources: Sequence[Path], changes: dict[str, Any]) -> list[_Run]:
    runs = []
    for source in sources:
        generator, config = load_generator(source)
        try:
            real = config.updated({"data": changes}).data
        except ValidationError as error:
            raise UsageError(first_problem(error).message) from None
        folder = find_run(source)
        label = folder.name if folder == source else f"{folder.name}/{source.name}"
        label = label or str(folder)
        if not generator.num_classes:
            runs.append(_Run(source, label, generator, config, real))
            continue
        for name in config.data.class_list():
            # Each has a generator of its own, which makes this class alone.
            of_class, _ = load_generator(source)
            select_classes(of_class, config, name)
            data = real.model_copy(update={"class_name": name})
            runs.append(_Run(source, f"{label}/{name}", of_class, config, data, name))
    if len({(run.source.resolve(), run.class_name) for run in runs}) < len(runs):
        raise UsageError("a run is named twice: name each once")
    if len({run.label for run in runs}) < len(runs):
        # Runs of one name from several folders.
        runs = [replace(run, label=str(run.source) + (f"/{run.class_name}" if run.class_name else "")) for run in runs]
    return runs


def _check_targets(runs: list[_Run], output: Path | None) -> None:
    """Refuse an output that cannot be written before minutes are spent on measuring."""
    # The classes of a run are measured into one file.
    sources = dict.fromkeys((run.folder.resolve(), run.source.resolve()) for run in runs)
    folders = [folder for folder, _ in sources]
    if output is None and len(set(folders)) < len(folders):
        raise UsageError("several checkpoints of one run: name a file for all figures with --output")
    for folder in [output.absolute().parent] if output else folders:
        if not folder.is_dir():
            raise UsageError(f"--output {output}: there is no folder {folder}")
        if not os.access(folder, os.W_OK):
            raise StorageError(f"{folder}: cannot be written to; name another place with --output")


def real_images(data: DataConfig, seed: int) -> ImageSet:
    """Return the images of a class of a data source, as a run of that seed reads them."""
    images = read_images(data, seed)
    everything = means_all(data.class_name, images.classes)
    return images if everything else images.select(str(data.class_name))


def _trained_on(
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
    place = {name: value for name, value in changes.items() if name in _PLACE}
    same = run.real.model_copy(update={"class_name": own.class_name})
    for data in dict.fromkeys((same, own, own.model_copy(update=place))):
        images = real if data == run.real else _read_if_there(run.config, data, seed)
        if images is not None and images.digest == digest:
            if run.class_name is not None:
                images = images.select(run.class_name)
            data = data.model_copy(update={"class_name": run.class_name or data.class_name})
            return (None if images is real else images.images_NHWC), _held_out(run.config, data, seed)
    logger.warning(
        f"the images that {run.label} was trained on are not found: neither {own.path} nor --data gives them"
    )
    return real.images_NHWC[:0], None


def _read_if_there(config: RunConfig, data: DataConfig, seed: int) -> ImageSet | None:
    try:
        return read_selected_images(config, data, seed) if data.class_list() else real_images(data, seed)
    except DataError:
        return None


def _held_out(config: RunConfig, data: DataConfig, seed: int) -> np.ndarray | None:
    """Return the images of the other parts, None where there are none."""
    if data.split != "train":
        logger.warning(
            f"no held-out images, as the run was trained on part '{data.split}' of its images, not on 'train'"
        )
        return None
    parts = [
        _read_if_there(config, data.model_copy(update={"split": part, "limit": None}), seed)
        for part in ("validation", "test")
    ]
    images = [part.images_NHWC for part in parts if part is not None]
    if not images:
        logger.warning("no held-out images: neither the validation nor the test part has any")
        return None
    return np.concatenate(images)


def _write_picture(path: Path, evaluator: Evaluator) -> None:
    buffer = BytesIO()
    evaluator.pairs_picture().save(buffer, format="PNG")
    _write(path, buffer.getvalue())
    logger.info(f"closest pairs: {path}")


def _write(path: Path, data: bytes) -> None:
    staging = path.with_name(f".{path.name}.staging")
    try:
        staging.write_bytes(data)
        staging.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            staging.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StorageError(f"{path}: not written ({error.strerror}); free space or name another --output") from None
