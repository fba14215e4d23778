"""From ``DataConfig`` to images: the one place that knows all kinds of sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.paths import expanded
from qgan_qiskit.data import cifar, digits, fitzpatrick, ham, isic, made_lesions, odir, skin
from qgan_qiskit.data.archive import ZipFiles
from qgan_qiskit.data.cache import cached, default_folder
from qgan_qiskit.data.decode_all import decode_all
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, FolderFiles, shown
from qgan_qiskit.data.folders import list_folders
from qgan_qiskit.data.grey import to_grey
from qgan_qiskit.data.image_set import ImageSet, class_index
from qgan_qiskit.data.listing import Listing
from qgan_qiskit.data.npz import list_npz, read_npz
from qgan_qiskit.data.parts import select_part
from qgan_qiskit.errors import DataError

# Tables that may lie beside the named folder: what they say decides the listing, so their state is in the cache's key.
TABLES = (isic.TABLE, isic.METADATA, *ham.TABLES, fitzpatrick.TABLE, odir.TABLE)
# Settings that decide what is decoded from a file, so they are in the cache's key too.
_DECIDING = {"resolution", "skip_bad", "drop_downsampled", "labels", "limit"}


def read_images(config: DataConfig, seed: int = 0) -> ImageSet:
    """Read, or make, all images that a run needs.

    ``config.path`` may be None (made lesions), ``sklearn:digits``, an .npz, a .zip, or a folder; folders and zips may
    hold ISIC 2019, HAM10000, Fitzpatrick17k, ODIR-5k, CIFAR-10 or a folder per class. With ``config.class_name`` naming a
    class, only that one is decoded and it is the only one in the result. All parts of a class share one entry of the cache.

    Args:
        config: source, size, colour and choice of the images.
        seed: seed of made lesions; no other source depends on it.

    Returns:
        The images, sorted by name; a read-only memory map when they come from the cache as they are. Grey ones have three
        equal channels.

    Raises:
        DataError: nothing that fits, an inconsistent table, a hostile archive, unreadable images, no such class, or no
            image in the part.
    """
    if config.part == "all":
        images = _whole(config, seed)
    else:
        # The limit counts images of the part, so it comes after the choice.
        images = select_part(_whole(config.model_copy(update={"limit": None}), seed), config)
        images = images if config.limit is None else images.limit(config.limit)
    return images if config.colour == "rgb" else to_grey(images)


def _whole(config: DataConfig, seed: int) -> ImageSet:
    """Return the images of all parts together."""
    if config.path is None:
        return _made(config, seed)
    if config.path == digits.NAME:
        return digits.read_digits(config)
    path = existing_path(config.path)
    source = [str(path), (config.class_name or "all").casefold(), config.model_dump(include=_DECIDING)]
    folder = cache_folder(config)
    if path.suffix.lower() == ".npz":
        return cached(folder, source, [_state(path), PIL.__version__], lambda: read_npz(path, config))
    with _opened(path) as files:
        # Another Pillow may decode or filter a little differently.
        state = [PIL.__version__, files.stamp(), [_state(files.outer_folder / table) for table in TABLES]]
        return cached(folder, source, state, lambda: _decoded(files, config))


def class_names(config: DataConfig) -> tuple[str, ...]:
    """Return the names of all classes of the source without decoding an image.

    Raises:
        DataError: nothing that fits, an inconsistent table or a hostile archive.
    """
    if config.path is None:
        return made_lesions.CLASSES
    if config.path == digits.NAME:
        return digits.CLASSES
    path = existing_path(config.path)
    if path.suffix.lower() == ".npz":
        return list_npz(path).classes
    with _opened(path) as files:
        return list_images(files, config).classes


def list_images(files: Files, config: DataConfig) -> Listing:
    """Find out what ``files`` holds and list all its labelled images.

    Raises:
        DataError: no layout fits, or the one that fits is inconsistent.
    """
    listing = _list_table(files, config)
    if listing is None:
        listing = cifar.list_cifar(files) if cifar.has_batches(files) else list_folders(files, config)
    return listing


def _decoded(files: Files, config: DataConfig) -> ImageSet:
    """Return the images of :func:`list_images` that settings ask for."""
    listing = _list_table(files, config)
    if listing is None:
        if cifar.has_batches(files):  # Its images are no files of their own.
            return cifar.read_cifar(files, config)
        listing = list_folders(files, config)
    return decode_all(files, listing.narrowed(config.class_name, config.limit), config.resolution, config.skip_bad)


def _list_table(files: Files, config: DataConfig) -> Listing | None:
    """List the images of a data set that has a table of labels, or return None when there is no such table."""
    for layout in (isic.list_isic, ham.list_ham, fitzpatrick.list_fitzpatrick, odir.list_odir):
        listing = layout(files, config)
        if listing is not None:
            return listing
    return None


def absolute_source(text: str) -> str:
    """Return ``config.path`` such that it names the same images from any working folder; the digits are no path."""
    return text if text == digits.NAME else str(expanded(text).absolute())


def existing_path(text: str) -> Path:
    """Return the absolute path of a source.

    Raises:
        DataError: there is nothing of that name.
    """
    path = expanded(text)
    try:
        if not path.exists():
            raise DataError(f"no data at {shown(str(path))}: name a folder, .zip or .npz of images, or {digits.NAME}")
        return path.resolve()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot look at {shown(text)}: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[Files]:
    """Open a folder or zip, and close it in the end."""
    files: Files
    if path.is_dir():
        files = FolderFiles(path)
    elif path.suffix.lower() == ".zip":
        files = ZipFiles(path)
    else:
        remedy = "unpack it and name the folder" if path.suffix.lower() in PACKED_SUFFIXES else "name one of these"
        raise DataError(f"{shown(str(path))} is neither a folder nor a .zip or .npz file: {remedy}")
    try:
        yield files
    finally:
        files.close()


def _state(path: Path) -> Any:
    """Return size and time of a file, None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _made(config: DataConfig, seed: int) -> ImageSet:
    """Make lesions: of all classes or of the one that is asked for."""
    classes: tuple[str, ...] = made_lesions.CLASSES
    if config.class_name is not None and config.class_name.casefold() != "all":
        classes = (classes[class_index(classes, config.class_name)],)
    count = min(config.made_per_class, config.limit or config.made_per_class)
    # The formulas' own text is the state: whoever edits them meets no images of the old ones.
    formulas = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in (made_lesions, skin)]
    return cached(
        cache_folder(config),
        ["made lesions", count, config.resolution, seed, classes],
        [formulas, np.__version__],
        lambda: made_lesions.make_lesions(count, config.resolution, seed, classes),
    )


def cache_folder(config: DataConfig) -> Path:
    """Return the folder of the cache that settings name, or the user's own."""
    return expanded(config.cache_dir) if config.cache_dir is not None else default_folder()
