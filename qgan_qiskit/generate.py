"""Writing generated images: a folder of PNGs, a zip of them, or one npz; grids and interpolations.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qgan_qiskit.data import to_uint8
from qgan_qiskit.errors import StorageError, UsageError
from qgan_qiskit.experiment import generate, interpolate, open_generator
from qgan_qiskit.training.pictures import grid_picture

Say = Callable[[str], None]


def write_images(source: Path, seeds: list[int], output: Path, say: Say) -> None:
    """Generate images and write them to a new folder, ``.zip`` or ``.npz``; nothing is left of a write that fails.

    Args:
        source: run or checkpoint folder.
        seeds: one image each; file ``seed00000007.png``, or row in the order given with the seeds beside it (npz).
        output: must not exist yet (an empty folder may).
        say: receives lines for a person.

    Raises:
        UsageError: the output exists.
        CheckpointError: the source cannot be used.
        StorageError: the disk refused.
    """
    output = output.absolute()
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UsageError(f"--output {output}: exists already; name a new one")
    generator, _ = open_generator(source, say)
    images = ((seed, to_uint8(image[None])[0]) for seed, image in generate(generator, seeds))
    staging = output.with_name(f".{output.name}.staging")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove(staging)
        if output.suffix == ".npz":
            pixels = np.stack([image for _, image in images])
            with staging.open("wb") as file:
                np.savez(file, images=pixels, seeds=np.array(seeds, dtype=np.int64))
        elif output.suffix == ".zip":
            _write_zip(staging, images)
        else:
            staging.mkdir()
            for seed, image in images:
                (staging / _name(seed)).write_bytes(_png(image))
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
    say(f"{len(seeds)} images: {output}")


def write_pictures(
    source: Path, seeds: list[int], grid: Path | None, interpolation: Path | None, frames: int, say: Say
) -> None:
    """Write a grid of images, and the ways between their latents: a row per pair (PNG) or an animation (GIF).

    Raises:
        CheckpointError: the source cannot be used.
        StorageError: the disk refused.
    """
    generator, _ = open_generator(source, say)
    if grid is not None:
        images = torch.stack([image for _, image in generate(generator, seeds)])
        _save(grid, lambda path: grid_picture(images).save(path, format="PNG"), say)
    if interpolation is not None:
        steps = interpolate(generator, seeds, frames)
        if interpolation.suffix.lower() == ".gif":
            stills = [Image.fromarray(still) for still in to_uint8(steps)]
            _save(
                interpolation,
                lambda path: stills[0].save(
                    path, format="GIF", save_all=True, append_images=stills[1:], duration=60, loop=0
                ),
                say,
            )
        else:
            # Each row runs from one seed to the next, both ends included.
            rows = [steps[i * frames : (i + 1) * frames + 1] for i in range(len(seeds) - 1)]
            _save(interpolation, lambda path: grid_picture(torch.cat(rows), frames + 1).save(path, format="PNG"), say)


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


def _name(seed: int) -> str:
    return f"seed{seed:08d}.png"


def _png(image_HWC: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image_HWC).save(buffer, format="PNG")
    return buffer.getvalue()


def _write_zip(path: Path, images: Iterable[tuple[int, np.ndarray]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for seed, image in images:
            # A ZipInfo made from a name carries 1980-01-01, not the time of day: same images, same archive.
            archive.writestr(zipfile.ZipInfo(_name(seed)), _png(image))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
