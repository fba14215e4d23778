"""From ``DataConfig`` to images: the only module that knows all kinds of sources.

A source is opened and scanned once for each call, whatever splits, near-duplicates and cache need from it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.base import expanded
from qgan_qiskit.data import duplicates
from qgan_qiskit.data.cache import cache_images, cache_pairs, default_folder
from qgan_qiskit.data.dataset import ImageSet, class_index, means_all, split_unit
from qgan_qiskit.data.decoding import decode_listing
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, FolderFiles, ZipFiles, file_state, printable
from qgan_qiskit.data.layouts import COLUMN_SETTINGS, LAYOUTS, list_images, synthetic
from qgan_qiskit.data.layouts.arrays import DIGIT_CLASSES, DIGITS, list_digits, list_npz
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.data.layouts.tables import sibling_tables
from qgan_qiskit.data.splits import select_split
from qgan_qiskit.errors import DataError, UsageError
from qgan_qiskit.memory import check_memory_for_images

# Settings that determine how the files of a source are listed, and with the others what an image set contains.
_FILE_SETTINGS = ("table", "image_column", *COLUMN_SETTINGS, "include", "exclude", "layout")
_LISTING_SETTINGS = {*_FILE_SETTINGS, "drop_downsampled", "labels"}
_IMAGE_SETTINGS = {*_LISTING_SETTINGS, "resolution", "fit", "skip_bad", "limit"}


def read_images(config: DataConfig, seed: int = 0) -> ImageSet:
    """Read, or generate, all images that a run needs.

    ``config.path`` may be None (synthetic lesions), ``sklearn:digits``, an .npz, a .zip or a folder. If ``config.class_name``
    names a class, only that one is decoded and it is the only one in the result. All splits of a class share one entry of the
    cache.

    Args:
        config: source, size, color and selection of the images.
        seed: of synthetic lesions; no other source depends on it.

    Returns:
        The images, sorted by name; a read-only memory map when they come from the cache unchanged. Grayscale images have three
        equal channels.

    Raises:
        DataError: no layout fits, an inconsistent table, a hostile archive, unreadable images, no such class, or no image in
            the split.
    """
    with _open(config, seed) as source:
        # Images that the source keeps for testing are never trained on unless they are asked for.
        config = config.model_copy(update={"split": source.resolve_split()})
        if config.split == "all":
            images = source.images(config)
        else:
            unit_of, notes = _merge_duplicates(source, config)
            # The limit applies to the split, so it comes afterwards.
            images = select_split(source.images(config.model_copy(update={"limit": None})), config, unit_of)
            images = replace(images, notes=(*images.notes, *notes))
            images = images if config.limit is None else images.limit(config.limit, config.split_seed)
    return images if config.color == "rgb" else images.to_grayscale()


def class_names(config: DataConfig) -> tuple[str, ...]:
    """Return the names of all classes of the source without decoding an image; raises DataError as :func:`read_images`."""
    with _open(config) as source:
        return source.class_names()


def resolve_split(config: DataConfig) -> str:
    """Return ``config.split``, or where it is None ``train`` for a source with splits of its own and ``all`` for others."""
    if config.split is not None:
        return config.split
    with _open(config) as source:
        return source.resolve_split()


def summarize_listing(config: DataConfig) -> list[str]:
    """Return lines about a source before an image is decoded, notes first; none for images that are not listed.

    Raises:
        DataError: as :func:`read_images`, except about the images themselves.
    """
    if config.path is None or config.path == DIGITS:
        return []
    with _open(config) as source:
        listing = source.listing
    if config.class_name is not None and "," not in config.class_name and config.class_list():
        class_index(listing.classes, config.class_name)
    counts = Counter(listing.labels)
    counts_in_order = {name: counts[name] for name in listing.classes}
    summary = _summary(listing.layout, counts_in_order, listing.splits, listing.groups)
    return [*(f"note: {note}" for note in listing.notes), _summary_line(summary)]


def summarize_images(images: ImageSet) -> dict[str, Any]:
    """Return, for JSON: the layout, images per class and per split, number of groups, and of images without a group."""
    return _summary(images.layout or "synthetic or built in", images.counts(), images.splits, images.groups)


def summary_line(images: ImageSet) -> str:
    """Return the same as one line for a person."""
    return _summary_line(summarize_images(images))


def _summary(layout: str, counts: dict[str, int], splits: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    return {
        "layout": layout,
        "counts": counts,
        "splits": {split: number for split, number in Counter(splits).items() if split},
        "groups": len(set(groups) - {""}),
        "without_group": Counter(groups)[""],
    }


def _summary_line(summary: dict[str, Any]) -> str:
    counts = ", ".join(f"{printable(name)} {number:,}" for name, number in summary["counts"].items())
    splits = ", ".join(f"{name} {number:,}" for name, number in summary["splits"].items()) or "none"
    groups, alone = summary["groups"], summary["without_group"]
    unknown = f" ({alone:,} images without one)" if groups and alone else ""
    return (
        f"data: {summary['layout']}; {sum(summary['counts'].values()):,} images: {counts}; the source's own splits: {splits}; "
        f"patients or lesions: {f'{groups:,}' if groups else 'unknown'}{unknown}"
    )


def _merge_duplicates(source: _Source, config: DataConfig) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the unit that decides the split of each image, by its name, and notes on images that show the same picture.

    Small versions of the images of all classes are compared whatever the run needs, so class, size or limit never move an
    image to another split.
    """
    if config.path is None:  # Synthetic lesions are all different.
        return {}, ()
    small = {"class_name": None, "limit": None, "resolution": duplicates.SIDE, "fit": "stretch", "skip_bad": True}
    images = source.images(config.model_copy(update=small))
    pairs_P2 = cache_pairs(
        cache_folder(config), ["duplicates", images.digest], lambda: duplicates.find_duplicates(images.images_NHWC)
    )
    pairs_P2, doubts = duplicates.discard_doubtful(images.images_NHWC, pairs_P2)
    units = [split_unit(name, group) for name, group in zip(images.names, images.groups, strict=True)]
    notes = duplicates.describe_duplicates(images, pairs_P2, units, images.splits)
    return dict(zip(images.names, duplicates.merge_units(units, pairs_P2), strict=True)), (*notes, *doubts)


class _Source:
    """A source that settings name, opened: its files are scanned once and listed once.

    ``path`` is None for synthetic lesions and the digits, ``files`` also for an npz.
    """

    def __init__(self, config: DataConfig, seed: int, path: Path | None, files: Files | None) -> None:
        self._config, self._seed, self._path, self._files = config, seed, path, files

    def class_names(self) -> tuple[str, ...]:
        """Return the names of all classes."""
        if self._path is None:
            return synthetic.SYNTHETIC_CLASSES if self._config.path is None else DIGIT_CLASSES
        return self.listing.classes

    def resolve_split(self) -> str:
        """Return the split that settings name, see :func:`resolve_split`."""
        if self._config.split is not None:
            return self._config.split
        return "train" if self._path is not None and any(self.listing.splits) else "all"

    @cached_property
    def listing(self) -> Listing:
        """All images of the source, of all splits and classes."""
        if self._config.path == DIGITS:
            return list_digits()
        key = _digest([str(self._path), self._config.model_dump(include=_LISTING_SETTINGS), self._state])
        listing = _recent.get(key)
        if listing is None:
            assert self._path is not None
            listing = list_npz(self._path) if self._files is None else list_images(self._files, self._config)
            if listing.load_pixels is None:
                _recent.clear()
                _recent[key] = listing
        return listing

    def images(self, config: DataConfig) -> ImageSet:
        """Return the images that other settings of the same source ask for, of all splits together."""
        folder = cache_folder(config)
        if config.path is None:
            return _generate_lesions(config, self._seed, folder)

        def decode() -> ImageSet:
            listing = self.listing.select(config.class_name, config.limit, config.split_seed)
            return decode_listing(self._files, listing, config)

        if self._path is None:
            return decode()
        settings = _IMAGE_SETTINGS if config.limit is None else _IMAGE_SETTINGS | {"split_seed"}
        class_name = config.class_name and config.class_name.casefold()
        source = [str(self._path), class_name, config.model_dump(include=settings)]
        # Another version of Pillow may decode or filter slightly differently.
        return cache_images(folder, source, [PIL.__version__, self._state], decode)

    @cached_property
    def _state(self) -> Any:
        """JSON data that changes with the source's files and with all tables that may decide their labels."""
        assert self._path is not None
        if self._files is None:
            return file_state(self._path)
        parent = self._files.parent_folder
        tables = [str(parent / table) for layout in LAYOUTS for table in layout.tables] + sibling_tables(self._files)
        tables += [] if self._config.table is None else [str(Path(self._config.table).expanduser())]
        return [self._files.fingerprint(), [[table, file_state(Path(table))] for table in tables]]


# The latest listing by a digest of settings and files: a run asks for classes, splits and images of the same source.
_recent: dict[str, Listing] = {}


def _digest(key: Any) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


@contextmanager
def _open(config: DataConfig, seed: int = 0) -> Iterator[_Source]:
    """Open the source that settings name, and close it in the end."""
    _check_settings(config)
    if config.path is None or config.path == DIGITS:
        yield _Source(config, seed, None, None)
        return
    path = _existing_path(config.path)
    if path.suffix.lower() == ".npz":
        yield _Source(config, seed, path, None)
        return
    if not path.is_dir() and path.suffix.lower() != ".zip":
        remedy = "unpack it and name the folder" if path.suffix.lower() in PACKED_SUFFIXES else "name one of these"
        raise DataError(f"{printable(str(path))} is neither a folder nor a .zip or .npz file: {remedy}")
    files = FolderFiles(path) if path.is_dir() else ZipFiles(path)
    try:
        yield _Source(config, seed, path, files)
    finally:
        files.close()


def _check_settings(config: DataConfig) -> None:
    """Reject settings that say how files are listed where no files are listed."""
    if config.path is not None and config.path != DIGITS and not config.path.lower().endswith(".npz"):
        return
    given = [name for name in _FILE_SETTINGS if getattr(config, name) not in (None, (), "auto")]
    if given:
        what = "synthetic images" if config.path is None else printable(config.path)
        option = given[0].replace("_", "-")
        raise UsageError(f"--{option} has no effect on {what}: leave it out, or name a folder or zip")


def _existing_path(text: str) -> Path:
    """Return the absolute path of a source, or raise DataError if there is nothing of that name."""
    path = expanded(text)
    try:
        if not path.exists():
            raise DataError(f"no data at {printable(str(path))}: name a folder, .zip or .npz of images, or {DIGITS}")
        return path.resolve()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot look at {printable(text)}: {error}") from error


def _generate_lesions(config: DataConfig, seed: int, folder: Path) -> ImageSet:
    """Generate synthetic lesions: of all classes or of the one that is asked for."""
    classes: tuple[str, ...] = synthetic.SYNTHETIC_CLASSES
    if not means_all(config.class_name, classes):
        classes = (classes[class_index(classes, str(config.class_name))],)
    count = min(config.synthetic_per_class, config.limit or config.synthetic_per_class)
    check_memory_for_images(count * len(classes), config.resolution)
    return cache_images(
        folder,
        ["synthetic lesions", count, config.resolution, seed, classes],
        # The formulas' own text: whoever edits them never meets images of the old ones.
        [Path(synthetic.__file__).read_text(encoding="utf-8"), np.__version__],
        lambda: synthetic.make_synthetic_lesions(count, config.resolution, seed, classes),
    )


def absolute_table(text: str) -> str:
    """Return ``config.table`` such that it names the same file from any working folder; a name inside the source stays."""
    path = Path(text).expanduser()
    return str(path.absolute()) if path.is_file() else text


def absolute_source(text: str) -> str:
    """Return ``config.path`` such that it names the same images from any working folder; the digits are no path."""
    return text if text == DIGITS else str(expanded(text).absolute())


def cache_folder(config: DataConfig) -> Path:
    """Return the folder of the cache that settings name, or the user's own."""
    return expanded(config.cache_dir) if config.cache_dir is not None else default_folder()
