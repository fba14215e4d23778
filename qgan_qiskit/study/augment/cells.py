"""The work of an augmentation study: generate images, train and score classifiers, choose alpha, train on top of it.

Shape letters: N images · C classes.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.data import ImageSet
from qgan_qiskit.device import check_device, to_device
from qgan_qiskit.errors import CheckpointError, DataError, UsageError
from qgan_qiskit.runs.load import load_generator, select_classes
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.runs.sample import sample_uint8
from qgan_qiskit.storage import sha256
from qgan_qiskit.study import engine
from qgan_qiskit.study.augment.classifier import build_classifier, predict, to_tensor, train_classifier
from qgan_qiskit.study.augment.plan import SPLITS_FILE, AugmentStudy, Cell, GeneratedImages, Plan, make_study
from qgan_qiskit.study.augment.report import PREDICTIONS, write_report
from qgan_qiskit.study.augment.sources import open_sources, parse_generators
from qgan_qiskit.study.augment.summary import CHOSEN_BY, by_condition, choose_alphas, confusion, scores
from qgan_qiskit.study.augment.training_sets import (
    SPLITS,
    Condition,
    count_shared_pixels,
    lesions_of,
    match_classes,
    read_split,
    sample_real,
    training_images,
)
from qgan_qiskit.study.executors import Executor
from qgan_qiskit.study.report import check_matplotlib
from qgan_qiskit.study.study_file import Row, write_output

_PIXELS = "images.npy"
logger = logging.getLogger(__name__)


def prepare(
    data: DataConfig, settings: AugmentConfig, classes: str | None, generators: Sequence[str], outdir: Path
) -> Plan:
    """Check everything and return the study with its cells; images and weights are read, nothing is written.

    Args:
        data: source and splits of the real images.
        settings: of the classifier, alphas and seeds.
        classes: a list such as ``MEL,NV,BCC``; None for all.
        generators: texts such as ``hybridq=RUN,RUN,RUN``.
        outdir: folder of the study, new or with a study that shares the same.

    Raises:
        QganError: in one line that names the culprit and the remedy.
    """
    check_device(settings.device)
    names = match_classes(data, classes)
    build_classifier(settings, len(names), 0)
    sources = {name: open_sources(name, runs, data, names) for name, runs in parse_generators(generators).items()}
    present = AugmentStudy.read(outdir)
    if not sources and (present is None or not present.generators):
        raise UsageError("nothing to study: name a generator with --generator NAME=RUN,RUN,…")
    return Plan(make_study(outdir, data, names, settings, sources).preview())


def run(plan: Plan, executor: Executor) -> list[Path]:
    """Run the cells that are left, write the report and return its files.

    Raises:
        Interrupted: a signal arrived; finished cells are kept.
        QganError: cells failed; the others are finished and in the report.
    """
    check_matplotlib()
    with engine.resumable(plan.first_cells()):
        study = plan.study.join()
        # A process that started at the same moment may have given the study its identity, and extended it.
        plan = Plan(study)
        _write_splits(study)
        images = list(plan.images.values())
        _, failures = engine.run_cells(images, make_images, executor, lambda row: f"from step {row['step']}")
        engine.raise_failures(failures, len(images))
        cells = plan.first_cells()
        rows, failures = engine.run_cells(cells, train_cell, executor, _describe)
        chosen = choose_alphas(by_condition(study.rows(rows).values()), study.generators, *study.settings.grid())
        for name, alpha in chosen.items():
            logger.info(f"{name}: alpha {alpha:g} is chosen on the validation split")
        on_top = plan.cells(Condition("traditional+generated", name, alpha) for name, alpha in chosen.items())
        more, failed = engine.run_cells(on_top, train_cell, executor, _describe)
        finished = study.rows(rows | more)
        files = write_report(study, finished) if finished else []
        engine.raise_failures(failures + failed, len(cells) + len(on_top))
    return files


def report(outdir: Path) -> list[Path]:
    """Write the report on the finished cells alone; see :func:`engine.rewrite_report`."""
    return engine.rewrite_report(AugmentStudy, outdir, write_report)


def _describe(row: Row) -> str:
    return f"validation {CHOSEN_BY.replace('_', ' ')} {row['validation'][CHOSEN_BY]:.4f}, {row['seconds']:.0f} s"


def _write_splits(study: AugmentStudy) -> None:
    """Write class and lesion of the images that cells are scored on: the report needs nothing else of them."""
    images = {split: read_split(study.data, split, study.classes) for split in SPLITS}
    content: dict[str, Any] = {}
    for split, found in images.items():
        lesions = lesions_of(found)
        content[split] = {"counts": found.counts(), "number_of_lesions": len(set(lesions)), "notes": found.notes}
        if split != "train":
            content[split] |= {
                "pixels_in_train": count_shared_pixels(images["train"], found),
                "labels": found.labels_N.tolist(),
                "lesions": lesions,
            }
    write_output(study.folder / SPLITS_FILE, (json.dumps(content) + "\n").encode())


def make_images(images: GeneratedImages, *, wait: bool) -> Row:
    """Return what is known of a checkpoint's images, generating them unless that is done; see :func:`engine.run_once`."""
    return engine.run_once(images.folder, functools.partial(_generate, images), wait)


def train_cell(cell: Cell, *, wait: bool) -> Row:
    """Return a cell's result, training and scoring unless that is done; see :func:`engine.run_once`."""
    study = cell.open_study(AugmentStudy)
    return engine.run_once(cell.folder, functools.partial(_train, study, cell), wait)


def _generate(images: GeneratedImages, folder: Path) -> Row:
    source = images.source
    checkpoint = Path(source.checkpoint)
    if _checkpoint_digest(checkpoint / "ema.safetensors") != source.digest:
        raise CheckpointError(
            f"{checkpoint}: is not the one this study began with; restore it, or choose another --outdir"
        )
    generator, config = load_generator(checkpoint)
    if generator.num_classes:
        select_classes(generator, config, source.class_name)
    pixels_NHWC = sample_uint8(generator, images.number)
    # A gray generator makes one channel, and gray real images have three equal ones.
    pixels_NHWC = np.ascontiguousarray(np.broadcast_to(pixels_NHWC, (*pixels_NHWC.shape[:3], 3)))
    buffer = BytesIO()
    np.save(buffer, pixels_NHWC, allow_pickle=False)
    write_output(folder / _PIXELS, buffer.getvalue())
    return {
        "generator": images.generator,
        "class": source.class_name,
        "checkpoint": source.checkpoint,
        "step": source.step,
        "weights_digest": source.digest,
        "number": images.number,
        "digest": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }


def _train(study: AugmentStudy, cell: Cell, folder: Path) -> Row:
    began = time.monotonic()
    settings = study.settings
    device = check_device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    splits = {split: _read_split(study, split) for split in SPLITS}
    train = splits["train"]
    rows = sample_real(train, settings.real_share, cell.seed)
    real = train.take(rows)
    generated_images = [_load_images(images, count) for images, count in zip(cell.images, cell.counts, strict=True)]
    images_NHWC, labels_N = training_images(cell.condition, real, generated_images, cell.seed)
    network, start = build_classifier(settings, len(study.classes), cell.seed)
    if start.digest != study.weights_digest:
        raise DataError(f"{settings.weights}: is not the file this study began with; restore it")
    to_device(network, device)
    losses = train_classifier(
        network,
        to_tensor(images_NHWC, device),
        torch.from_numpy(labels_N).to(device),
        settings,
        cell.seed,
        traditional=cell.condition.traditional,
        folded=start.folded,
    )
    found = {split: predict(network, to_tensor(splits[split].images_NHWC, device), settings) for split in SPLITS[1:]}
    buffer = BytesIO()
    np.savez(buffer, validation=found["validation"], test=found["test"])
    write_output(folder / PREDICTIONS, buffer.getvalue())
    quarter = max(1, len(losses) // 4)
    return {
        "condition": cell.condition.kind,
        "generator": cell.condition.generator,
        "alpha": cell.condition.alpha,
        "seed": cell.seed,
        "cell": folder.name,
        "real": real.counts(),
        "real_lesions": len(set(lesions_of(real))),
        "generated": dict(zip(study.classes, cell.counts or [0] * len(study.classes), strict=True)),
        "checkpoints": [images.source.checkpoint for images in cell.images],
        "trained_on": dict(zip(study.classes, np.bincount(labels_N).tolist(), strict=True)),
        "start": start.as_dict(),
        "loss": {"first_quarter": float(np.mean(losses[:quarter])), "last_quarter": float(np.mean(losses[-quarter:]))},
        "validation": scores(splits["validation"].labels_N, found["validation"]),
        "test": scores(splits["test"].labels_N, found["test"]),
        "confusion": confusion(splits["test"].labels_N, found["test"]),
        "predictions_digest": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "seconds": round(time.monotonic() - began, 2),
        "device": settings.device,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _read_split(study: AugmentStudy, split: str) -> ImageSet:
    images = read_split(study.data, split, study.classes)
    if images.digest != study.digests[split]:
        raise DataError(f"the {split} split holds other images than when this study began; restore them")
    return images


def _load_images(images: GeneratedImages, count: int) -> np.ndarray:
    """Return the first generated images of a class, after checking all of them against their digest."""
    path = images.folder / _PIXELS
    row = make_images(images, wait=True)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["digest"]:
            raise ValueError("not the images that were generated")
        pixels_NHWC: np.ndarray = np.load(BytesIO(content), allow_pickle=False)[:count]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be used ({error}); remove the folder to generate them again") from None
    return pixels_NHWC


def _checkpoint_digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); restore the checkpoint") from None
