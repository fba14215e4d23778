"""Writing generated images: a folder of PNGs, a zip of them, one npz or one PNG; grids and interpolations.

Images of several classes lie in a folder per class, with a table beside them. Every file says that it is synthetic.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.data import to_uint8
from qgan_qiskit.data.grids import class_sheet, grid_picture
from qgan_qiskit.errors import StorageError, UsageError
from qgan_qiskit.runs import sample as synthetic
from qgan_qiskit.runs.sample import Sample, Source, class_folders, interpolate

if TYPE_CHECKING:
    from qgan_qiskit.workflows.inference import BackendImages


logger = logging.getLogger(__name__)


LABELS = "labels.csv"
# What somebody who names such a file does not expect to be a folder.
_OTHER_PICTURES = (".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".dcm", ".svg", ".pdf")
_OTHER_FILES = (".npy", ".h5", ".hdf5", ".mat", ".pt", ".pth", ".pkl", ".csv", ".json", ".parquet", ".tfrecord")
_PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_MOST_IN_A_LINE = 1000


@dataclass(frozen=True)
class Wanted:
    """What is to be written.

    Attributes:
        output: new folder, ``.zip`` or ``.npz``: file ``seed00000007.png``, or row in the order given with the seeds beside it
            (npz); for one image also a ``.png``. An empty folder may be there.
        grid: PNG of all images side by side, ordered by class.
        interpolation: the ways from each seed to the next: a row per pair (PNG) or an animation (GIF).
        frames: images from one seed to the next.
        per_class: make all seeds of each class.
    """

    output: Path | None = None
    grid: Path | None = None
    interpolation: Path | None = None
    frames: int = 8
    per_class: bool = False


def make(
    source: Path,
    seeds: Sequence[int],
    wanted: Wanted,
    hardware: HardwareConfig | None = None,
    class_name: str | None = None,
    execution: str | None = None,
) -> None:
    """Generate images and write them; nothing is left of a write that fails.

    Args:
        source: run or checkpoint folder.
        seeds: one image each.
        wanted: files.
        hardware: where the circuits run; None for the exact simulator. What a device said is written beside the images:
            ``readings.npz`` and ``hardware.json`` in a folder or zip, arrays of their names in an npz.
        class_name: the classes to make, of a conditional model, with commas between them; None for all.
        execution: how circuits are simulated, ``fused`` or ``connectors``; None as the run was trained.

    Raises:
        UsageError: the output exists, or the device cannot run the circuits.
        CheckpointError: the source cannot be used.
        StorageError: the disk refused.
    """
    exact = hardware is None or hardware.backend == "exact"
    if execution is not None and not exact:
        raise UsageError("--execution says how the exact simulator works: leave it or --backend out")
    if wanted.interpolation is not None and not exact:
        raise UsageError("--interpolation is drawn from the exact simulator: leave --backend out")
    remote = hardware is not None and hardware.backend.startswith("ibm:")
    if remote and (class_name is not None or wanted.per_class):
        option = "--per-class" if wanted.per_class else "--class"
        raise UsageError(f"{option} cannot be told to a submission yet: leave it out, or take a simulated device")
    _check_pictures(wanted)
    output = None if wanted.output is None else wanted.output.absolute()
    if output is not None:
        check_output(output, len(seeds))
    opened = Source.open(source, class_name, "exact" if hardware is None else hardware.backend, execution)
    if wanted.per_class and not opened.generator.num_classes:
        raise UsageError(f"--per-class: this run makes images of class {opened.classes[0]} alone; take -n")
    count = len(seeds) * (len(opened.chosen) if wanted.per_class else 1)
    if output is not None:
        check_output(output, count)
    samples, beside = opened.samples(seeds, wanted.per_class), None
    if hardware is not None and not exact:
        beside, labels = _on_device(source, opened, seeds, wanted.per_class, hardware)
        samples = _samples(beside, [*seeds] * (count // len(seeds)), labels)
    if wanted.grid is not None:
        # Both are made of the same images.
        kept = list(samples)
        samples = iter(kept)
    if output is not None:
        _write(output, samples, opened, beside)
        logger.info(f"{count} image{'' if count == 1 else 's'}: {output}")
    if wanted.grid is not None:
        sheet, about = _sheet(kept, opened)
        _save(wanted.grid, lambda path: sheet.save(path, format="PNG", pnginfo=synthetic.png_info(about)))
    if wanted.interpolation is not None:
        _interpolation(opened, seeds, wanted.interpolation, wanted.frames)


def _on_device(
    path: Path, source: Source, seeds: Sequence[int], per_class: bool, hardware: HardwareConfig
) -> tuple[BackendImages, list[int]]:
    """Return the images that a backend's expectation values decode to, and their classes."""
    if not hardware.backend.startswith("ibm:"):
        from qgan_qiskit.workflows.inference import BackendImages, generate_on_simulator

        done, labels = [], []
        for part in source.parts(seeds, per_class):
            labels += source.labels(part)
            done.append(generate_on_simulator(source.generator, part, hardware))
        return BackendImages.concatenate(done), labels
    from qgan_qiskit.workflows import hardware as remote

    folder = remote.submit(path, seeds, hardware)
    submission, result = remote.collect(folder)
    assert result is not None
    return remote.decode_images(submission, result), source.labels(seeds)


def _samples(beside: BackendImages, seeds: Sequence[int], labels: Sequence[int]) -> Iterator[Sample]:
    return itertools.starmap(Sample, zip(seeds, labels, beside.images_NCHW, strict=True))


def write_collected(beside: BackendImages, run: Path, seeds: Sequence[int], output: Path) -> None:
    """Write the images of a submission that is back, with what the device said.

    Args:
        beside: images and expectation values.
        run: folder of the run or checkpoint that was submitted.
        seeds: of the images.
        output: new folder, ``.zip`` or ``.npz``; for one image also a ``.png``.

    Raises:
        CheckpointError: the run is gone.
        StorageError: the disk refused.
    """
    source = Source.open(run, backend=beside.settings.backend)
    _write(output.absolute(), _samples(beside, seeds, source.labels(seeds)), source, beside)
    logger.info(f"{len(seeds)} image{'' if len(seeds) == 1 else 's'}: {output}")


def check_output(output: Path, count: int) -> None:
    """Refuse to write over something, and a file of a kind that is not written.

    Args:
        output: as asked for.
        count: images that are to be written.

    Raises:
        UsageError: the output exists and is no empty folder, or its ending means another kind of file.
        StorageError: its folder cannot be made or written to.
    """
    suffix = output.suffix.lower()
    if suffix in _OTHER_PICTURES:
        raise UsageError(
            f"--output {output}: images are written as PNG; name a folder, .zip or .npz, or for one a .png"
        )
    if suffix in _OTHER_FILES + _PACKED:
        raise UsageError(f"--output {output}: name a folder, .zip or .npz, or for one image a .png")
    if suffix == ".png" and count > 1:
        raise UsageError(
            f"--output {output}: one PNG for {count} images; take --grid for a sheet of them, or name a folder, .zip or .npz"
        )
    empty = _is_folder(output) and output.is_dir() and not output.is_symlink() and not any(output.iterdir())
    if os.path.lexists(output) and not empty:
        raise UsageError(f"--output {output}: exists already; name a new one")
    _check_place(output, "--output")


def _check_pictures(wanted: Wanted) -> None:
    """Refuse pictures that would replace something, or one another."""
    named = {"--output": wanted.output, "--grid": wanted.grid, "--interpolation": wanted.interpolation}
    seen: dict[Path, str] = {}
    for option, path in named.items():
        if path is None:
            continue
        where = path.absolute()
        if where in seen:
            raise UsageError(f"{seen[where]} and {option} name the same file {path}; give each a name of its own")
        seen[where] = option
        if option != "--output":
            if os.path.lexists(path):
                raise UsageError(f"{option} {path}: exists already; name a new one")
            _check_place(path.absolute(), option)


def _check_place(path: Path, option: str) -> None:
    """Refuse a place that cannot be written to before minutes are spent on images."""
    folder = next(parent for parent in path.parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise StorageError(f"{option} {path}: not written ({folder} is no folder); name another place")
    if not os.access(folder, os.W_OK):
        raise StorageError(f"{option} {path}: not written (no permission to write to {folder}); name another place")


def _is_folder(output: Path) -> bool:
    return output.suffix.lower() not in (".png", ".zip", ".npz")


def _write(output: Path, samples: Iterable[Sample], source: Source, beside: BackendImages | None) -> None:
    staging = output.with_name(f".{output.name}.staging")
    suffix = output.suffix.lower()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove(staging)
        if suffix == ".npz":
            with staging.open("wb") as file:
                _write_npz(file, list(samples), source, beside)
        elif suffix == ".png":
            (sample,) = samples
            staging.write_bytes(_one(sample, source, beside))
        elif suffix == ".zip":
            _write_zip(staging, itertools.chain(_pngs(samples, source), _files(beside)))
        else:
            staging.mkdir()
            for name, content in itertools.chain(_pngs(samples, source), _files(beside)):
                (staging / name).parent.mkdir(exist_ok=True)
                (staging / name).write_bytes(content)
            if output.exists():
                output.rmdir()
        if os.path.lexists(output):
            raise UsageError(f"--output {output}: exists by now; name a new one")
        staging.rename(output)
    except OSError as error:
        _remove(staging)
        raise StorageError(
            f"--output {output}: not written ({error.strerror or error}); free space or name another place"
        ) from None
    except BaseException:
        _remove(staging)
        raise


def _write_npz(file: Any, samples: list[Sample], source: Source, beside: BackendImages | None) -> None:
    arrays: dict[str, Any] = {} if beside is None else {**beside.arrays(), "hardware": np.array(beside.to_json())}
    np.savez(
        file,
        images=np.concatenate([to_uint8(sample.image_CHW[None]) for sample in samples]),
        seeds=np.array([sample.seed for sample in samples], dtype=np.int64),
        labels=np.array([sample.label for sample in samples], dtype=np.int64),
        classes=np.array(source.classes),
        synthetic=np.array(synthetic.as_json(source.about())),
        **arrays,
    )


def _pngs(samples: Iterable[Sample], source: Source) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents: all in one place of one class, a folder for each and a table of several."""
    several = len(source.chosen) > 1
    folders = class_folders(source.classes)
    rows = [("file", "class", "seed")]
    for sample in samples:
        name = f"seed{sample.seed:08d}.png"
        if several:
            name = f"{folders[sample.label]}/{name}"
            rows.append((name, source.classes[sample.label], str(sample.seed)))
        yield name, _one(sample, source)
    if several:
        table = StringIO()
        csv.writer(table, lineterminator="\n").writerows(rows)
        yield LABELS, table.getvalue().encode("utf-8", "backslashreplace")


def _one(sample: Sample, source: Source, beside: BackendImages | None = None) -> bytes:
    """Return an image as PNG; one that lies alone also holds what the device said."""
    about = source.about(**{"class": source.classes[sample.label], "seed": sample.seed})
    if beside is not None:
        about["hardware"] = json.loads(beside.to_json())
        about["readings"] = {name: values.tolist() for name, values in beside.arrays().items()}
    return _png(to_uint8(sample.image_CHW[None])[0], about)


def _files(beside: BackendImages | None) -> Iterator[tuple[str, bytes]]:
    if beside is not None:
        buffer = BytesIO()
        arrays: dict[str, Any] = beside.arrays()
        np.savez(buffer, **arrays)
        yield "readings.npz", buffer.getvalue()
        yield "hardware.json", beside.to_json().encode()


def _sheet(samples: list[Sample], source: Source) -> tuple[Image.Image, synthetic.About]:
    """Return a picture of all images, in the order given of one class, class by class of several, and its metadata."""
    if len(source.chosen) == 1:
        stack = torch.stack([sample.image_CHW for sample in samples])
        return grid_picture(stack), source.about(
            **{"class": source.classes[source.chosen[0]], "seeds": _seeds(samples)}
        )
    groups = {
        label: sorted((sample for sample in samples if sample.label == label), key=lambda sample: sample.seed)
        for label in source.chosen
    }
    shown = {source.classes[label]: group for label, group in groups.items() if group}
    sheet = class_sheet([(name, torch.stack([one.image_CHW for one in group])) for name, group in shown.items()])
    return sheet, source.about(classes=list(shown), seeds={name: _seeds(group) for name, group in shown.items()})


def _seeds(samples: list[Sample]) -> list[int] | str:
    seeds = [sample.seed for sample in samples]
    return seeds if len(seeds) <= _MOST_IN_A_LINE else f"{len(seeds)} seeds"


def _interpolation(source: Source, seeds: Sequence[int], path: Path, frames: int) -> None:
    steps = interpolate(source.generator, seeds, frames)
    classes = [source.classes[label] for label in source.chosen]
    about = source.about(classes=classes, seeds=list(seeds[:_MOST_IN_A_LINE]), frames=frames)
    if path.suffix.lower() == ".gif":
        stills = [Image.fromarray(still) for still in to_uint8(steps)]
        _save(
            path,
            lambda place: stills[0].save(
                place,
                format="GIF",
                save_all=True,
                append_images=stills[1:],
                duration=60,
                loop=0,
                comment=synthetic.as_json(about).encode(),
            ),
        )
        return
    # Each row runs from one seed to the next, both ends included.
    rows = [steps[i * frames : (i + 1) * frames + 1] for i in range(len(seeds) - 1)]
    picture = grid_picture(torch.cat(rows), frames + 1)
    _save(path, lambda place: picture.save(place, format="PNG", pnginfo=synthetic.png_info(about)))


def _save(path: Path, write: Callable[[Path], object]) -> None:
    staging = path.with_name(f".{path.name}.staging")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(staging)
        staging.replace(path)
    except BaseException as error:
        _remove(staging)
        if not isinstance(error, OSError):
            raise
        raise StorageError(
            f"{path}: not written ({error.strerror or error}); free space or name another place"
        ) from None
    logger.info(f"picture: {path}")


def _png(image_HWC: np.ndarray, about: synthetic.About) -> bytes:
    return synthetic.png(Image.fromarray(image_HWC), about)


def _write_zip(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            # A ZipInfo made from a name carries 1980-01-01, not the time of day: same images, same archive.
            archive.writestr(zipfile.ZipInfo(name), content)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
