"""Write generated images: a folder or zip of PNGs, an npz, one PNG; a grid, or an interpolation.

Images of several classes go to a folder per class, with a table of labels beside them. Every file says that it is synthetic.
Nothing is left of a write that fails.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import csv
import itertools
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from PIL import Image

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.data import to_uint8
from qgan_qiskit.data.grids import class_sheet, grid_picture
from qgan_qiskit.errors import StorageError, UsageError
from qgan_qiskit.runs.sample import (
    Provenance,
    Sample,
    TrainedGenerator,
    class_folders,
    encode_png,
    interpolate,
    png_metadata,
    provenance_json,
)
from qgan_qiskit.storage import atomic_folder, atomic_write

if TYPE_CHECKING:
    from qgan_qiskit.workflows.inference import BackendImages

logger = logging.getLogger(__name__)

LABELS = "labels.csv"
_FILE_SUFFIXES = (".png", ".zip", ".npz")
# Nobody who names such a file expects a folder.
_OTHER_PICTURES = (".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".dcm", ".svg", ".pdf")
_OTHER_FILES = (
    *(".npy", ".h5", ".hdf5", ".mat", ".pt", ".pth", ".pkl", ".csv", ".json", ".parquet", ".tfrecord"),
    *(".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"),
)
_MAX_SEEDS_IN_METADATA = 1000
_GIF_MILLISECONDS = 60


@dataclass(frozen=True)
class Outputs:
    """The files to write.

    Attributes:
        images: new or empty folder, ``.zip`` or ``.npz``: files such as ``seed00000007.png``, or rows in the order of the
            seeds; for one image also a ``.png``.
        grid: PNG of all images side by side, ordered by class.
        interpolation: the path from each seed to the next: a row per pair (PNG) or an animation (GIF).
        frames: images from one seed to the next.
        per_class: make all seeds of each class.
    """

    images: Path | None = None
    grid: Path | None = None
    interpolation: Path | None = None
    frames: int = 8
    per_class: bool = False


def generate(
    source: Path,
    seeds: Sequence[int],
    outputs: Outputs,
    hardware: HardwareConfig | None = None,
    class_names: str | None = None,
    execution: str | None = None,
) -> None:
    """Generate images and write them.

    Args:
        source: run or checkpoint folder.
        seeds: one image each.
        outputs: files to write.
        hardware: where the circuits run; None for the exact simulator. A device's results are written beside the images:
            ``readings.npz`` and ``hardware.json`` in a folder or zip, arrays of their names in an npz.
        class_names: the classes to make, of a conditional model, separated by commas; None for all.
        execution: how circuits are simulated, ``fused`` or ``connectors``; None as in training.

    Raises:
        UsageError: an output exists, options exclude each other, or the device cannot run the circuits.
        CheckpointError: the source cannot be used.
        StorageError: the disk refused a write.
    """
    backend = "exact" if hardware is None else hardware.backend
    _check_options(outputs, backend, class_names, execution)
    _check_pictures(outputs)
    if outputs.images is not None:
        check_output(outputs.images.absolute(), len(seeds))
    trained = TrainedGenerator.load(source, class_names, backend, execution)
    if outputs.per_class and not trained.generator.num_classes:
        raise UsageError(f"--per-class: this run makes images of class {trained.classes[0]} alone; use -n")
    count = len(seeds) * (len(trained.labels) if outputs.per_class else 1)
    if outputs.images is not None:
        check_output(outputs.images.absolute(), count)
    samples, results = trained.sample(seeds, outputs.per_class), None
    if hardware is not None and backend != "exact":
        results, labels = _run_on_backend(source, trained, seeds, outputs.per_class, hardware)
        samples = _backend_samples(results, [*seeds] * (count // len(seeds)), labels)
    if outputs.grid is not None:
        # The images and the grid need the same samples.
        kept = list(samples)
        samples = iter(kept)
    if outputs.images is not None:
        _write_images(outputs.images.absolute(), samples, trained, results, count)
    if outputs.grid is not None:
        _write_picture(outputs.grid, *_make_sheet(kept, trained))
    if outputs.interpolation is not None:
        _write_interpolation(trained, seeds, outputs.interpolation, outputs.frames)


def write_collected(results: BackendImages, run: Path, seeds: Sequence[int], output: Path) -> None:
    """Write the images of a finished submission, with the device's results.

    Args:
        results: images and results.
        run: folder of the run or checkpoint that was submitted.
        seeds: of the images.
        output: new folder, ``.zip`` or ``.npz``; for one image also a ``.png``.

    Raises:
        CheckpointError: the run is gone.
        StorageError: the disk refused a write.
    """
    trained = TrainedGenerator.load(run, backend=results.settings.backend)
    samples = _backend_samples(results, seeds, trained.labels_of(seeds))
    _write_images(output.absolute(), samples, trained, results, len(seeds))


def check_output(output: Path, count: int) -> None:
    """Refuse to replace something, and a kind of file that is not written.

    Args:
        output: path of the images.
        count: images to write.

    Raises:
        UsageError: the output exists and is not an empty folder, or its suffix belongs to another kind of file.
        StorageError: its folder cannot be made or written to.
    """
    suffix = output.suffix.lower()
    if suffix in _OTHER_PICTURES:
        raise UsageError(
            f"--output {output}: images are written as PNG; name a folder, .zip or .npz, or for one a .png"
        )
    if suffix in _OTHER_FILES:
        raise UsageError(f"--output {output}: name a folder, .zip or .npz, or for one image a .png")
    if suffix == ".png" and count > 1:
        raise UsageError(
            f"--output {output}: one PNG for {count} images; use --grid for a sheet of them, or name a folder, .zip or .npz"
        )
    is_folder = suffix not in _FILE_SUFFIXES and output.is_dir() and not output.is_symlink()
    if not (is_folder and not any(output.iterdir())):
        _refuse_existing(output, "--output")
    _check_writable(output, "--output")


def _check_options(outputs: Outputs, backend: str, class_names: str | None, execution: str | None) -> None:
    """Refuse options that a backend cannot follow."""
    if backend == "exact":
        return
    if execution is not None:
        raise UsageError("--execution is for the exact simulator: leave it or --backend out")
    if outputs.interpolation is not None:
        raise UsageError("--interpolation is for the exact simulator: leave --backend out")
    if backend.startswith("ibm:") and (class_names is not None or outputs.per_class):
        option = "--per-class" if outputs.per_class else "--class"
        raise UsageError(f"{option} cannot be used with a submission yet: leave it out, or use a simulated device")


def _check_pictures(outputs: Outputs) -> None:
    """Refuse pictures that would replace something, or one another."""
    options = {"--output": outputs.images, "--grid": outputs.grid, "--interpolation": outputs.interpolation}
    seen: dict[Path, str] = {}
    for option, path in options.items():
        if path is None:
            continue
        if path.absolute() in seen:
            raise UsageError(f"{seen[path.absolute()]} and {option} name the same file {path}; use different names")
        seen[path.absolute()] = option
        if option != "--output":
            _refuse_existing(path, option)
            _check_writable(path.absolute(), option)


def _refuse_existing(path: Path, option: str) -> None:
    if os.path.lexists(path):
        raise UsageError(f"{option} {path}: exists already; name a new one")


def _check_writable(path: Path, option: str) -> None:
    """Refuse a folder that cannot be written to before minutes are spent on images."""
    folder = next(parent for parent in path.parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise StorageError(f"{option} {path}: not written ({folder} is not a folder); name another place")
    if not os.access(folder, os.W_OK):
        raise StorageError(f"{option} {path}: not written (no permission to write to {folder}); name another place")


def _run_on_backend(
    path: Path, trained: TrainedGenerator, seeds: Sequence[int], per_class: bool, hardware: HardwareConfig
) -> tuple[BackendImages, list[int]]:
    """Return the images computed on a device, with its results, and their classes."""
    if not hardware.backend.startswith("ibm:"):
        from qgan_qiskit.workflows.inference import BackendImages, generate_on_simulator

        done, labels = [], []
        for chosen in trained.iterate_classes(seeds, per_class):
            labels += trained.labels_of(chosen)
            done.append(generate_on_simulator(trained.generator, chosen, hardware))
        return BackendImages.concatenate(done), labels
    from qgan_qiskit.workflows import hardware as remote

    folder = remote.submit(path, seeds, hardware)
    submission, result = remote.collect(folder)
    assert result is not None
    return remote.decode_images(submission, result), trained.labels_of(seeds)


def _backend_samples(results: BackendImages, seeds: Sequence[int], labels: Sequence[int]) -> Iterator[Sample]:
    return itertools.starmap(Sample, zip(seeds, labels, results.images_NCHW, strict=True))


def _write_images(
    output: Path, samples: Iterable[Sample], trained: TrainedGenerator, results: BackendImages | None, count: int
) -> None:
    suffix = output.suffix.lower()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if suffix in _FILE_SUFFIXES:
            write = {".npz": _write_npz, ".png": _write_one_png, ".zip": _write_zip}[suffix]
            atomic_write(output, lambda file: write(file, samples, trained, results))
        else:
            # Not synced: there may be a million files, and they can be generated again.
            with atomic_folder(output, sync=False) as folder:
                for name, content in _iterate_files(samples, trained, results):
                    (folder / name).parent.mkdir(exist_ok=True)
                    (folder / name).write_bytes(content)
    except OSError as error:
        raise StorageError(
            f"--output {output}: not written ({error.strerror or error}); free space or name another place"
        ) from None
    logger.info(f"{count} image{'' if count == 1 else 's'}: {output}")


def _write_npz(
    file: BinaryIO, samples: Iterable[Sample], trained: TrainedGenerator, results: BackendImages | None
) -> None:
    samples = list(samples)
    arrays: dict[str, Any] = {}
    if results is not None:
        arrays = {**results.arrays(), "hardware": np.array(results.to_json())}
    np.savez(
        file,
        images=np.concatenate([to_uint8(sample.image_CHW[None]) for sample in samples]),
        seeds=np.array([sample.seed for sample in samples], dtype=np.int64),
        labels=np.array([sample.label for sample in samples], dtype=np.int64),
        classes=np.array(trained.classes),
        synthetic=np.array(provenance_json(trained.provenance())),
        **arrays,
    )


def _write_one_png(
    file: BinaryIO, samples: Iterable[Sample], trained: TrainedGenerator, results: BackendImages | None
) -> None:
    (sample,) = samples
    file.write(_encode_sample(sample, trained, results))


def _write_zip(
    file: BinaryIO, samples: Iterable[Sample], trained: TrainedGenerator, results: BackendImages | None
) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in _iterate_files(samples, trained, results):
            # A ZipInfo made from a name is dated 1980-01-01, so the same images give the same archive.
            archive.writestr(zipfile.ZipInfo(name), content)


def _iterate_files(
    samples: Iterable[Sample], trained: TrainedGenerator, results: BackendImages | None
) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents: PNGs, for several classes in folders and with a table, and a device's results."""
    several = len(trained.labels) > 1
    folders = class_folders(trained.classes)
    rows = [("file", "class", "seed")]
    for sample in samples:
        name = f"seed{sample.seed:08d}.png"
        if several:
            name = f"{folders[sample.label]}/{name}"
            rows.append((name, trained.classes[sample.label], str(sample.seed)))
        yield name, _encode_sample(sample, trained)
    if several:
        table = StringIO()
        csv.writer(table, lineterminator="\n").writerows(rows)
        yield LABELS, table.getvalue().encode("utf-8", "backslashreplace")
    if results is not None:
        buffer = BytesIO()
        arrays: dict[str, Any] = results.arrays()
        np.savez(buffer, **arrays)
        yield "readings.npz", buffer.getvalue()
        yield "hardware.json", results.to_json().encode()


def _encode_sample(sample: Sample, trained: TrainedGenerator, results: BackendImages | None = None) -> bytes:
    """Return an image as PNG; with a device's results in its metadata, if there is no file beside it for them."""
    provenance = trained.provenance(**{"class": trained.classes[sample.label], "seed": sample.seed})
    if results is not None:
        provenance["hardware"] = json.loads(results.to_json())
        provenance["readings"] = {name: values.tolist() for name, values in results.arrays().items()}
    return encode_png(Image.fromarray(to_uint8(sample.image_CHW[None])[0]), provenance)


def _make_sheet(samples: list[Sample], trained: TrainedGenerator) -> tuple[Image.Image, Provenance]:
    """Return a picture of all images, of several classes class by class and then by seed, and its provenance."""
    if len(trained.labels) == 1:
        images_NCHW = torch.stack([sample.image_CHW for sample in samples])
        provenance = {"class": trained.classes[trained.labels[0]], "seeds": _describe_seeds(samples)}
        return grid_picture(images_NCHW), trained.provenance(**provenance)
    by_class: dict[str, list[Sample]] = {}
    for label in trained.labels:
        members = [sample for sample in samples if sample.label == label]
        if members:
            by_class[trained.classes[label]] = sorted(members, key=lambda sample: sample.seed)
    sheet = class_sheet(
        [(name, torch.stack([sample.image_CHW for sample in members])) for name, members in by_class.items()]
    )
    seeds = {name: _describe_seeds(members) for name, members in by_class.items()}
    return sheet, trained.provenance(classes=list(by_class), seeds=seeds)


def _describe_seeds(samples: list[Sample]) -> list[int] | str:
    seeds = [sample.seed for sample in samples]
    return seeds if len(seeds) <= _MAX_SEEDS_IN_METADATA else f"{len(seeds)} seeds"


def _write_interpolation(trained: TrainedGenerator, seeds: Sequence[int], path: Path, frames: int) -> None:
    images_NCHW = interpolate(trained.generator, seeds, frames)
    classes = [trained.classes[label] for label in trained.labels]
    provenance = trained.provenance(classes=classes, seeds=list(seeds[:_MAX_SEEDS_IN_METADATA]), frames=frames)
    if path.suffix.lower() != ".gif":
        # Each row runs from one seed to the next, both ends included.
        rows = [images_NCHW[i * frames : (i + 1) * frames + 1] for i in range(len(seeds) - 1)]
        _write_picture(path, grid_picture(torch.cat(rows), frames + 1), provenance)
        return
    first, *others = [Image.fromarray(image) for image in to_uint8(images_NCHW)]
    comment = provenance_json(provenance).encode()
    options = {"save_all": True, "append_images": others, "duration": _GIF_MILLISECONDS, "loop": 0, "comment": comment}
    _save_picture(path, lambda file: first.save(file, format="GIF", **options))


def _write_picture(path: Path, picture: Image.Image, provenance: Provenance) -> None:
    _save_picture(path, lambda file: picture.save(file, format="PNG", pnginfo=png_metadata(provenance)))


def _save_picture(path: Path, write: Callable[[BinaryIO], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, write)
    except OSError as error:
        raise StorageError(
            f"{path}: not written ({error.strerror or error}); free space or name another place"
        ) from None
    logger.info(f"picture: {path}")
