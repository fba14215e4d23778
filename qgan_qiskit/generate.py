"""Writing generated images: a folder of PNGs, a zip of them, or one npz; grids and interpolations.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.data import to_uint8
from qgan_qiskit.errors import StorageError, UsageError
from qgan_qiskit.experiment import generate, interpolate, keep_to_class, open_generator
from qgan_qiskit.models import Generator
from qgan_qiskit.training.pictures import grid_picture

if TYPE_CHECKING:
    from qgan_qiskit.inference import Inferred

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What is to be written.

    Attributes:
        output: new folder, ``.zip`` or ``.npz``: file ``seed00000007.png``, or row in the order given with the seeds beside it
            (npz). An empty folder may be there.
        grid: PNG of all images side by side.
        interpolation: the ways from each seed to the next: a row per pair (PNG) or an animation (GIF).
        frames: images from one seed to the next.
    """

    output: Path | None = None
    grid: Path | None = None
    interpolation: Path | None = None
    frames: int = 8


def make(
    source: Path,
    seeds: Sequence[int],
    wanted: Wanted,
    say: Say,
    hardware: HardwareConfig | None = None,
    class_name: str | None = None,
) -> None:
    """Generate images and write them; nothing is left of a write that fails.

    Args:
        source: run or checkpoint folder.
        seeds: one image each.
        wanted: files.
        say: receives lines for a person.
        hardware: where the circuits run; None for the exact simulator. What a device said is written beside the images:
            ``readings.npz`` and ``hardware.json`` in a folder or zip, arrays of their names in an npz.
        class_name: the only class to make, of a conditional model.

    Raises:
        UsageError: the output exists, or the device cannot run the circuits.
        CheckpointError: the source cannot be used.
        StorageError: the disk refused.
    """
    exact = hardware is None or hardware.backend == "exact"
    if wanted.interpolation is not None and not exact:
        raise UsageError("--interpolation is drawn from the exact simulator: leave --backend out")
    output = None if wanted.output is None else wanted.output.absolute()
    if output is not None:
        check_output(output)
    generator, config = open_generator(source, say)
    if class_name is not None:
        if hardware is not None and hardware.backend.startswith("ibm:"):
            raise UsageError("--class cannot be told to a submission yet: leave it out, or take a simulated device")
        keep_to_class(generator, config, class_name)
    images, beside = generate(generator, seeds), None
    if hardware is not None and not exact:
        beside = _on_device(source, generator, seeds, hardware, say)
        images = iter(zip(seeds, beside.images_NCHW, strict=True))
    if wanted.grid is not None:
        # Both are made of the same images.
        kept = list(images)
        images = iter(kept)
    if output is not None:
        _write(output, images, beside)
        say(f"{len(seeds)} images: {output}")
    if wanted.grid is not None:
        stack = torch.stack([image for _, image in kept])
        _save(wanted.grid, lambda path: grid_picture(stack).save(path, format="PNG"), say)
    if wanted.interpolation is not None:
        _interpolation(generator, seeds, wanted.interpolation, wanted.frames, say)


def _on_device(
    source: Path, generator: Generator, seeds: Sequence[int], hardware: HardwareConfig, say: Say
) -> Inferred:
    if not hardware.backend.startswith("ibm:"):
        from qgan_qiskit.inference import infer

        return infer(generator, seeds, hardware, say)
    from qgan_qiskit import remote

    folder = remote.submit(source, seeds, hardware, remote.ATTEMPTS, say)
    submission, readings = remote.collect(folder, remote.ATTEMPTS, True, say)
    assert readings is not None
    return remote.images(submission, readings, say)


def write_collected(beside: Inferred, seeds: Sequence[int], output: Path, say: Say) -> None:
    """Write the images of a submission that is back, with what the device said.

    Args:
        beside: images and readings.
        seeds: of the images.
        output: new folder, ``.zip`` or ``.npz``.
        say: receives lines for a person.

    Raises:
        StorageError: the disk refused.
    """
    _write(output.absolute(), zip(seeds, beside.images_NCHW, strict=True), beside)
    say(f"{len(seeds)} images: {output}")


def check_output(output: Path) -> None:
    """Refuse to write over something.

    Raises:
        UsageError: the output exists and is no empty folder.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UsageError(f"--output {output}: exists already; name a new one")


def _write(output: Path, images: Iterable[tuple[int, Tensor]], beside: Inferred | None) -> None:
    levels = ((seed, to_uint8(image[None])[0]) for seed, image in images)
    staging = output.with_name(f".{output.name}.staging")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove(staging)
        if output.suffix == ".npz":
            seeds, pixels = zip(*levels, strict=True)
            arrays: dict[str, Any] = (
                {} if beside is None else {**beside.arrays(), "hardware": np.array(beside.description())}
            )
            with staging.open("wb") as file:
                np.savez(file, images=np.stack(pixels), seeds=np.array(seeds, dtype=np.int64), **arrays)
        elif output.suffix == ".zip":
            _write_zip(staging, itertools.chain(_pngs(levels), _files(beside)))
        else:
            staging.mkdir()
            for name, content in itertools.chain(_pngs(levels), _files(beside)):
                (staging / name).write_bytes(content)
            if output.exists():
                output.rmdir()
        staging.rename(output)
    except OSError as error:
        _remove(staging)
        raise StorageError(
            f"--output {output}: not written ({error.strerror}); free space or name another place"
        ) from None
    except BaseException:
        _remove(staging)
        raise


def _pngs(levels: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[str, bytes]]:
    for seed, image_HWC in levels:
        yield f"seed{seed:08d}.png", _png(image_HWC)


def _files(beside: Inferred | None) -> Iterator[tuple[str, bytes]]:
    if beside is not None:
        buffer = BytesIO()
        arrays: dict[str, Any] = beside.arrays()
        np.savez(buffer, **arrays)
        yield "readings.npz", buffer.getvalue()
        yield "hardware.json", beside.description().encode()


def _interpolation(generator: Generator, seeds: Sequence[int], path: Path, frames: int, say: Say) -> None:
    steps = interpolate(generator, seeds, frames)
    if path.suffix.lower() == ".gif":
        stills = [Image.fromarray(still) for still in to_uint8(steps)]
        _save(
            path,
            lambda place: stills[0].save(
                place, format="GIF", save_all=True, append_images=stills[1:], duration=60, loop=0
            ),
            say,
        )
        return
    # Each row runs from one seed to the next, both ends included.
    rows = [steps[i * frames : (i + 1) * frames + 1] for i in range(len(seeds) - 1)]
    _save(path, lambda place: grid_picture(torch.cat(rows), frames + 1).save(place, format="PNG"), say)


def _save(path: Path, write: Callable[[Path], None], say: Say) -> None:
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
    say(f"picture: {path}")


def _png(image_HWC: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image_HWC).save(buffer, format="PNG")
    return buffer.getvalue()


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
