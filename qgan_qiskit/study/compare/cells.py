"""The work of a comparison's cell: train, measure, keep a few images.

Shape letters: N images · H held-out images, then H W C of an image.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from qgan_qiskit.config import DataConfig, EvaluationConfig, RunConfig
from qgan_qiskit.data import ImageSet, cache_folder
from qgan_qiskit.errors import DataError, DivergedError, StorageError
from qgan_qiskit.metrics import Evaluator
from qgan_qiskit.models import build, parameter_count, quantum_counts
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs import sample as synthetic
from qgan_qiskit.runs.load import load_generator, select_classes
from qgan_qiskit.runs.run_folder import METRICS, RunFolder, versions
from qgan_qiskit.runs.sample import sample_uint8
from qgan_qiskit.study import engine
from qgan_qiskit.study.compare.plan import Cell, CompareStudy, comparable_settings, images_of
from qgan_qiskit.study.compare.report import REALS, SAMPLES, write_report
from qgan_qiskit.study.executors import Executor
from qgan_qiskit.study.study_file import Row, write_output
from qgan_qiskit.workflows.fit import check_run, fit_into

# Images shown in the report: the first seeds, unselected.
SHOWN = 8
_TIMES = "seconds.jsonl"
logger = logging.getLogger(__name__)


def run(study: CompareStudy, cells: Sequence[Cell], executor: Executor) -> list[Path]:
    """Train and measure the cells that are left, write the report and return its files; see :func:`engine.run_study`."""
    return engine.run_study(study, cells, run_cell, executor, _describe, write_report, check_cells)


def report(outdir: Path) -> list[Path]:
    """Write the report on the finished cells alone; see :func:`engine.rewrite_report`."""
    return engine.rewrite_report(CompareStudy, outdir, write_report)


def check_cells(cells: Sequence[Cell]) -> None:
    """Refuse models that cannot be trained, and metrics that cannot be measured, on the images of a class.

    Raises:
        QganError: naming the model and the class, of the class that the run would end with.
    """
    # Seeds do not matter here.
    for cell in {(str(cell.variant), cell.class_name): cell for cell in cells}.values():
        try:
            check_run(cell.config)
        except DataError as error:
            raise DataError(f"{cell.variant}, class {cell.class_name}: {error}") from None
    # In reverse, so that the evaluator that stays cached is the one needed first.
    first_cells = {cell.class_name: cell for cell in reversed(cells)}
    for note in dict.fromkeys(note for cell in first_cells.values() for note in make_evaluator(cell).notes):
        logger.warning(note)


def run_cell(cell: Cell, *, wait: bool) -> Row:
    """Return a cell's result, training and measuring unless that is done; see :func:`engine.run_once`.

    A run that diverges is no error but a result without metrics.
    """
    cell.open_study(CompareStudy)
    return engine.run_once(cell.folder, functools.partial(_train_and_measure, cell, wait), wait)


def _describe(row: Row) -> str:
    if row["diverged"] is not None:
        return f"diverged ({row['diverged']})"
    return ", ".join(f"{result['name']} {result['value']:.4g}" for result in row["figures"])


def make_evaluator(cell: Cell) -> Evaluator:
    """Return what measures a cell: against the images it was trained on and, for memorization, held-out ones.

    Consecutive cells of one class share it, and so the features of the real images.

    Raises:
        DataError: weights that cannot be used, or too few images for a metric.
    """
    data, training = _data(cell).model_copy(update={"augment": "none"}), cell.config.training
    seed = training.seed if data.path is None else 0
    try:
        return _make_evaluator(data, seed, cell.evaluation, training.device, cell.data_digest)
    except DataError as error:
        raise DataError(f"class {cell.class_name}: {error}") from None


@functools.lru_cache(maxsize=1)
def _make_evaluator(data: DataConfig, seed: int, evaluation: EvaluationConfig, device: str, digest: str) -> Evaluator:
    images = images_of(data, seed)
    if images.digest != digest:
        raise DataError("this machine reads other images than the one that planned the study; restore them")
    held_out_HHWC = None
    if "memorization" in evaluation.names() and data.split == "train" and data.test_fraction:
        held_out_HHWC = images_of(data.model_copy(update={"split": "test", "limit": None}), seed).images_NHWC
    return Evaluator(
        evaluation,
        images.images_NHWC,
        held_out_HHWC,
        device=torch.device(device),
        cache_dir=cache_folder(data),
    )


def _data(cell: Cell) -> DataConfig:
    """Return the settings of the images of the cell's class: all of them, also for a model that trains on a fraction."""
    limit = cell.limit if cell.variant.fraction < 1 else cell.config.data.limit
    return cell.config.data.model_copy(update={"class_name": cell.class_name, "limit": limit})


def _train(cell: Cell, folder: Path) -> Row:
    """Train a cell's run in a folder and return how it ended."""
    diverged = None
    try:
        with _log_attempt(folder / _TIMES):
            fit_into(cell.config, folder / "run")
    except DivergedError as error:
        diverged = str(error)
    return {"diverged": diverged}


def _train_and_measure(cell: Cell, wait: bool, folder: Path) -> Row:
    images = images_of(_data(cell), cell.config.training.seed)
    # Before training, so that it refuses early.
    evaluator = make_evaluator(cell)
    results: list[dict[str, Any]] = []
    # For several classes together, the first cell trains the run of all.
    train = functools.partial(_train, cell)
    trained = engine.run_once(cell.run_folder, train, wait) if cell.joint else train(folder)
    run, diverged = cell.run_folder / "run", trained["diverged"]
    if diverged is None:
        generator, config = load_generator(run)
        if cell.joint:
            select_classes(generator, config, cell.class_name)
        fake_NHWC = sample_uint8(generator, max(evaluator.sample_size, SHOWN))
        _write_strip(folder / SAMPLES, fake_NHWC[:SHOWN], {"model": config.model.name, "class": cell.class_name})
        logger.info(f"{cell}: measuring {evaluator.sample_size} generated images")
        results = [result.as_dict() for result in evaluator.measure(fake_NHWC[: evaluator.sample_size])]
    _write_strip(folder / REALS, _select_evenly(images))
    seconds, complete = _total_seconds(cell.run_folder / _TIMES)
    return _make_row(cell, images, diverged, results, (seconds * cell.class_fraction, complete))


def _make_row(
    cell: Cell, images: ImageSet, diverged: str | None, results: list[dict[str, Any]], seconds: tuple[float, bool]
) -> Row:
    run = RunFolder.open(cell.run_folder / "run")
    return {
        "model": str(cell.variant),
        "name": cell.variant.model,
        "preset": cell.variant.preset,
        "classical_baseline": cell.variant.classical_baseline,
        "class": cell.class_name,
        "seed": cell.seed,
        "together": [name for name, _ in cell.joint],
        "diverged": diverged,
        "figures": results,
        "curve": [row | {"epochs": row["images_seen"] / len(images)} for row in run.rows(METRICS)],
        "parameters": _count_parameters(cell.config),
        "fraction": cell.variant.fraction,
        "epochs": cell.config.training.epochs,
        "batch_size": cell.config.training.batch_size,
        "steps": cell.steps,
        "images_seen": cell.images_seen,
        "left_out": cell.left_out,
        "images": len(images),
        "seconds": round(seconds[0], 1),
        "seconds_complete": seconds[1],
        "device": cell.config.training.device,
        "threads": cell.config.training.threads or torch.get_num_threads(),
        "data_digest": images.digest,
        "data_notes": list(images.notes),
        "settings": comparable_settings(run.config()),
        "config_digest": hashlib.sha256(run.config().model_dump_json().encode()).hexdigest(),
        "versions": versions(),
    }


def _count_parameters(config: RunConfig) -> dict[str, int]:
    weights = seeded_generator(config.training.seed, "weights")
    classes = config.data.class_list() if config.model.conditional else ()
    generator, discriminator = build(
        config.model, config.data.resolution, weights, channels=config.data.channels, classes=classes
    )
    quantum, in_place = quantum_counts(generator, discriminator)
    return {
        "generator": parameter_count(generator),
        "discriminator": parameter_count(discriminator),
        "quantum": quantum,
        "in_place_of_quantum": in_place,
    }


def _select_evenly(images: ImageSet) -> np.ndarray:
    """Return a few real images, evenly spaced in their order by name."""
    rows = np.linspace(0, len(images) - 1, min(SHOWN, len(images))).round().astype(int)
    return images.images_NHWC[rows]


def _write_strip(path: Path, images_NHWC: np.ndarray, about: synthetic.Provenance | None = None) -> None:
    """Write images side by side as PNG, without gaps; ``about`` marks synthetic ones."""
    buffer = BytesIO()
    info = None if about is None else synthetic.png_metadata(about)
    Image.fromarray(np.concatenate(list(images_NHWC), axis=1)).save(buffer, format="PNG", pnginfo=info)
    write_output(path, buffer.getvalue())


@contextmanager
def _log_attempt(path: Path) -> Iterator[None]:
    """Log the seconds of one attempt, however it ends; a killed one logs its beginning alone.

    Raises:
        StorageError: the log cannot be written.
    """
    began = time.monotonic()
    _append(path, {"began": time.time()})
    try:
        yield
    finally:
        _append(path, {"seconds": time.monotonic() - began})


def _total_seconds(path: Path) -> tuple[float, bool]:
    """Return the seconds of all attempts, and whether they are complete: False when one was killed."""
    begun, seconds = 0, []
    for line in path.read_text().split():
        # A kill may have cut a line short.
        with suppress(ValueError):
            entry = json.loads(line)
            begun += "began" in entry
            seconds += [entry["seconds"]] if "seconds" in entry else []
    return sum(seconds), begun == len(seconds)


def _append(path: Path, entry: dict[str, float]) -> None:
    try:
        with path.open("a") as file:
            # The newline first: the line before may have been cut short.
            file.write("\n" + json.dumps(entry, separators=(",", ":")))
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); free some space and repeat the command"
        ) from None
