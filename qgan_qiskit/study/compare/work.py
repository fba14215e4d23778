"""The work of one cell: train, measure, keep a few images.

Shape letters: N images · H held-out images, then H W C of an image.
"""

from __future__ import annotations

import functools
import hashlib
import logging
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
from qgan_qiskit.study.cells import Row, atomic_write, run_once
from qgan_qiskit.study.compare import folder as study_folder
from qgan_qiskit.study.compare.plan import Cell, images_of, settings_of
from qgan_qiskit.study.compare.report import REALS, SAMPLES
from qgan_qiskit.study.compare.seconds import timed, total
from qgan_qiskit.workflows.fit import check_run, fit_into

# Images of a cell that are shown in the report: the first seeds, whatever they look like.
logger = logging.getLogger(__name__)


SHOWN = 8
_TIMES = "seconds.jsonl"


def work_on(cell: Cell, wait: bool) -> Row:
    """Return a cell's row, training and measuring if that is not done yet.

    Args:
        cell: what to do.
        wait: what to do while another process works on the cell: wait for it, or raise ``CellLocked``.

    Raises:
        QganError: the cell cannot be done; a run that diverges is no error but a row without figures.
    """
    present = study_folder.read(cell.study)
    if present is None or present.identity != cell.identity:
        raise StorageError(
            f"{cell.study}: this machine does not see the study of that name; all machines of a study must see its folder, "
            "the images and the weights under the same paths"
        )
    return run_once(cell.folder, functools.partial(_work, cell, wait), wait)


def check_training(cell: Cell) -> None:
    """Refuse a cell whose model could not be trained on the images of its class.

    Raises:
        QganError: naming the model and the class; of the kind that the run would end with.
    """
    try:
        check_run(cell.config)
    except DataError as error:
        raise DataError(f"{cell.entry}, class {cell.class_name}: {error}") from None


def evaluator_of(cell: Cell) -> Evaluator:
    """Return what measures a cell: against the images it was trained on, and for copies also against held-out ones.

    Cells of one class that follow each other share it, and so the features of the real images.

    Raises:
        DataError: weights that cannot be used, or too few images for a metric.
    """
    data, training = _data(cell).model_copy(update={"augment": "none"}), cell.config.training
    seed = training.seed if data.path is None else 0
    try:
        return _evaluator(data, seed, cell.evaluation, training.device, cell.data_digest)
    except DataError as error:
        raise DataError(f"class {cell.class_name}: {error}") from None


@functools.lru_cache(maxsize=1)
def _evaluator(data: DataConfig, seed: int, evaluation: EvaluationConfig, device: str, digest: str) -> Evaluator:
    images = images_of(data, seed)
    if images.digest != digest:
        raise DataError("this machine reads other images than the one that planned the study; bring them back")
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
    """Return the settings of the images of the cell's class; of a model that is trained on a share of them, still all."""
    limit = cell.limit if cell.entry.share < 1 else cell.config.data.limit
    return cell.config.data.model_copy(update={"class_name": cell.class_name, "limit": limit})


def _train(cell: Cell, folder: Path) -> Row:
    """Train a cell's run in a folder; return what became of it."""
    diverged = None
    try:
        with timed(folder / _TIMES):
            fit_into(cell.config, folder / "run")
    except DivergedError as error:
        diverged = str(error)
    return {"diverged": diverged}


def _work(cell: Cell, wait: bool, folder: Path) -> Row:
    images = images_of(_data(cell), cell.config.training.seed)
    # Before anything is trained: what it refuses, it refuses now.
    evaluator = evaluator_of(cell)
    figures: list[dict[str, Any]] = []
    # Of several classes together, whichever comes first trains the run of all.
    train = functools.partial(_train, cell)
    trained = run_once(cell.run_folder, train, wait) if cell.joint else train(folder)
    run, diverged = cell.run_folder / "run", trained["diverged"]
    if diverged is None:
        generator, config = load_generator(run)
        if cell.joint:
            select_classes(generator, config, cell.class_name)
        fake_NHWC = sample_uint8(generator, max(evaluator.sample_size, SHOWN))
        _write_row_of_images(
            folder / SAMPLES, fake_NHWC[:SHOWN], {"model": config.model.name, "class": cell.class_name}
        )
        logger.info(f"{cell}: measuring {evaluator.sample_size} generated images")
        figures = [figure.as_dict() for figure in evaluator.measure(fake_NHWC[: evaluator.sample_size])]
    _write_row_of_images(folder / REALS, _spread_out(images))
    seconds, complete = total(cell.run_folder / _TIMES)
    return _row(cell, images, diverged, figures, (seconds * cell.share, complete))


def _row(
    cell: Cell, images: ImageSet, diverged: str | None, figures: list[dict[str, Any]], seconds: tuple[float, bool]
) -> Row:
    run = RunFolder.open(cell.run_folder / "run")
    return {
        "model": str(cell.entry),
        "name": cell.entry.model,
        "preset": cell.entry.preset,
        "classical_baseline": cell.entry.classical_baseline,
        "class": cell.class_name,
        "seed": cell.seed,
        "together": [name for name, _ in cell.joint],
        "diverged": diverged,
        "figures": figures,
        "curve": [row | {"epochs": row["images_seen"] / len(images)} for row in run.rows(METRICS)],
        "parameters": _parameters(cell.config),
        "share": cell.entry.share,
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
        "settings": settings_of(run.config()),
        "config_digest": hashlib.sha256(run.config().model_dump_json().encode()).hexdigest(),
        "versions": versions(),
    }


def _parameters(config: RunConfig) -> dict[str, int]:
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


def _spread_out(images: ImageSet) -> np.ndarray:
    """Return a few real images, evenly spread over their order by name."""
    rows = np.linspace(0, len(images) - 1, min(SHOWN, len(images))).round().astype(int)
    return images.images_NHWC[rows]


def _write_row_of_images(path: Path, images_NHWC: np.ndarray, about: synthetic.Provenance | None = None) -> None:
    """Write images side by side as PNG, without gaps, so that they can be cut apart again; ``about`` is for synthetic ones."""
    buffer = BytesIO()
    info = None if about is None else synthetic.png_metadata(about)
    Image.fromarray(np.concatenate(list(images_NHWC), axis=1)).save(buffer, format="PNG", pnginfo=info)
    try:
        atomic_write(path, buffer.getvalue())
    except OSError as error:
        raise StorageError(f"{path}: not written ({error.strerror}); free space and repeat the command") from None
