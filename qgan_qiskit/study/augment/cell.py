"""The work of one cell: draw, train, score; and of one checkpoint: generate.

Shape letters: N images · C classes.
"""

from __future__ import annotations

import hashlib
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from qgan_qiskit.data import ImageSet
from qgan_qiskit.device import check_device, to_device
from qgan_qiskit.errors import CheckpointError, DataError, StorageError
from qgan_qiskit.runs.load import load_generator, select_classes
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.runs.sample import sample_uint8
from qgan_qiskit.study.augment import spec
from qgan_qiskit.study.augment.backbones import build_classifier
from qgan_qiskit.study.augment.classifier import predict, to_tensor, train_classifier
from qgan_qiskit.study.augment.conditions import training_images
from qgan_qiskit.study.augment.draw import draw_real, lesions_of
from qgan_qiskit.study.augment.parts import PARTS, read_part
from qgan_qiskit.study.augment.plan import Cell, Images
from qgan_qiskit.study.augment.scores import confusion, scores
from qgan_qiskit.study.augment.spec import Study
from qgan_qiskit.study.cells import Row, atomic_write, run_once

PREDICTIONS = "predictions.npz"
_PIXELS = "images.npy"


def make_images(images: Images, *, wait: bool) -> Row:
    """Return what is known of a checkpoint's images, generating them if that is not done yet.

    Args:
        images: which.
        wait: what to do while another process makes them: wait for it, or raise ``CellLocked``.

    Raises:
        CheckpointError: the checkpoint cannot be used, or is another than when the study began.
        StorageError: the folder cannot be written.
    """
    return run_once(images.folder, lambda folder: _generate(images, folder), wait)


def train_cell(cell: Cell, *, wait: bool) -> Row:
    """Return a cell's row, training and scoring if that is not done yet.

    Args:
        cell: what to do.
        wait: what to do while another process works on the cell: wait for it, or raise ``CellLocked``.

    Raises:
        QganError: the cell cannot be done.
    """
    study = spec.read(cell.study)
    if study is None or study.identity != cell.identity:
        raise StorageError(
            f"{cell.study}: this machine does not see the study of that name; all machines of a study must see its folder, "
            "the images and the weights under the same paths"
        )
    return run_once(cell.folder, lambda folder: _train(study, cell, folder), wait)


def predictions_of(folder: Path, row: Row) -> dict[str, np.ndarray]:
    """Return probabilities (N, C) on the validation and the test part of a finished cell.

    Raises:
        CheckpointError: they are missing or not those that its row was made with.
    """
    path = folder / PREDICTIONS
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["predictions_digest"]:
            raise ValueError("not those that cell.json was made with")
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return {part: arrays[part] for part in ("validation", "test")}
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be used ({error}); remove the folder to do the cell again") from None


def _generate(images: Images, folder: Path) -> Row:
    source = images.source
    checkpoint = Path(source.checkpoint)
    if _digest(checkpoint / "ema.safetensors") != source.digest:
        raise CheckpointError(
            f"{checkpoint}: is another than when the study began; bring it back, or take another --outdir"
        )
    generator, config = load_generator(checkpoint)
    if generator.num_classes:
        select_classes(generator, config, source.class_name)
    pixels_NHWC = sample_uint8(generator, images.number)
    # A gray generator makes one channel, and gray real images have three equal ones.
    pixels_NHWC = np.ascontiguousarray(np.broadcast_to(pixels_NHWC, (*pixels_NHWC.shape[:3], 3)))
    buffer = BytesIO()
    np.save(buffer, pixels_NHWC, allow_pickle=False)
    _write(folder / _PIXELS, buffer.getvalue())
    return {
        "generator": images.generator,
        "class": source.class_name,
        "checkpoint": source.checkpoint,
        "step": source.step,
        "weights_digest": source.digest,
        "number": images.number,
        "digest": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }


def _train(study: Study, cell: Cell, folder: Path) -> Row:
    began = time.monotonic()
    settings = study.settings
    device = check_device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    parts = {part: _read(study, part) for part in PARTS}
    train = parts["train"]
    rows = draw_real(train, settings.real_share, cell.seed)
    real = train.take(rows)
    generated_images = [_load(images, count) for images, count in zip(cell.images, cell.counts, strict=True)]
    images_NHWC, labels_N = training_images(cell.condition, real, generated_images, cell.seed)
    network, start = build_classifier(settings, len(study.classes), cell.seed)
    if start.digest != study.weights_digest:
        raise DataError(f"{settings.weights}: is another file than when the study began; bring it back")
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
    found = {part: predict(network, to_tensor(parts[part].images_NHWC, device), settings) for part in PARTS[1:]}
    buffer = BytesIO()
    np.savez(buffer, validation=found["validation"], test=found["test"])
    _write(folder / PREDICTIONS, buffer.getvalue())
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
        "validation": scores(parts["validation"].labels_N, found["validation"]),
        "test": scores(parts["test"].labels_N, found["test"]),
        "confusion": confusion(parts["test"].labels_N, found["test"]),
        "predictions_digest": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "seconds": round(time.monotonic() - began, 2),
        "device": settings.device,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _read(study: Study, part: str) -> ImageSet:
    images = read_part(study.data, part, study.classes)
    if images.digest != study.digests[part]:
        raise DataError(f"the {part} part holds other images than when the study began; bring them back")
    return images


def _load(images: Images, count: int) -> np.ndarray:
    """Return the first generated images of a class, after checking all of them against their digest."""
    path = images.folder / _PIXELS
    row = make_images(images, wait=True)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["digest"]:
            raise ValueError("not the images that were made")
        pixels_NHWC: np.ndarray = np.load(BytesIO(content), allow_pickle=False)[:count]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be used ({error}); remove the folder to make them again") from None
    return pixels_NHWC


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); bring the checkpoint back") from None


def _write(path: Path, content: bytes) -> None:
    try:
        atomic_write(path, content)
    except OSError as error:
        raise StorageError(f"{path}: not written ({error.strerror}); free space and repeat the command") from None
