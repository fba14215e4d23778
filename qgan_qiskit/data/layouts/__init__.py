"""Data-set layouts: which file or array row has which class, found from names and label tables without decoding images.

To add a data set: one file in this folder with a function ``list_images(files, config) -> Listing | None`` and a
:class:`Layout` that names it, and one line in ``LAYOUTS`` below. Automatic detection, ``--layout``, the cache's key and error
messages follow from that line.
"""

from __future__ import annotations

import functools
import re

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, exclude_images, printable
from qgan_qiskit.data.layouts import arrays, clinical, isic, label_table
from qgan_qiskit.data.layouts.class_folders import (
    AmbiguousError,
    is_challenge,
    is_container,
    is_download_part,
    list_class_folders,
    list_flat,
    list_top_folders,
    parse_split,
)
from qgan_qiskit.data.layouts.label_table import list_table
from qgan_qiskit.data.layouts.listing import Layout, Listing
from qgan_qiskit.data.layouts.unlisted_tables import check_unlisted_tables
from qgan_qiskit.errors import DataError, UsageError

# Known data sets, in the order in which they are tried.
LAYOUTS: tuple[Layout, ...] = (
    isic.ISIC_2019,
    isic.ISIC_2018,
    clinical.ISIC_2020,
    clinical.PAD_UFES_20,
    clinical.HAM10000,
    clinical.FITZPATRICK17K,
    clinical.ODIR_5K,
    label_table.HUGGINGFACE,
    label_table.STYLEGAN,
    arrays.CIFAR_10,
)
COLUMN_SETTINGS = ("label_column", "group_column", "split_column")
# The end of names that differ only by a count: set_1, batch (2), part b.
_COUNTED = re.compile(r"[ _.-]*\(?(\d+|(?<![a-z])[a-z])\)?$")
# What a class may be called with a number after it.
_NUMBERED_CLASSES = {
    "class",
    "grade",
    "stage",
    "type",
    "level",
    "label",
    "category",
    "cat",
    "kind",
    "severity",
    "score",
}


def list_images(files: Files, config: DataConfig) -> Listing:
    """List all labeled images of ``files``, by the layout that settings name or by the one that fits.

    Raises:
        DataError: no layout fits, or the one that fits is inconsistent.
        UsageError: an unknown layout, or a column of a table that is not read.
    """
    files, notes = exclude_images(files, config)
    layout, listing = _list_named(files, config) or _detect(files, config)
    usable = COLUMN_SETTINGS if config.table is not None else layout.columns if layout is not None else ()
    for column in COLUMN_SETTINGS:
        if getattr(config, column) is not None and column not in usable:
            raise UsageError(
                f"--{column.replace('_', '-')} {printable(getattr(config, column))} names a column of a table, but the images "
                f"were listed without it ({listing.layout}): name the table with --table too"
            )
    return listing.drop_trivial_splits().with_notes(*notes)


def _list_named(files: Files, config: DataConfig) -> tuple[Layout | None, Listing] | None:
    """List by the layout that settings name, None where they leave it open."""
    if config.table is not None:
        return None, list_table(files, config)
    if config.layout == "auto":
        return None
    if config.layout in ("folders", "flat"):
        return None, (list_top_folders if config.layout == "folders" else list_flat)(files, config)
    layout = next((layout for layout in LAYOUTS if layout.name == config.layout), None)
    if layout is None:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise UsageError(f"--layout {printable(config.layout)} is not one of auto, folders, flat, table, {known}")
    listing = layout.list_images(files, config)
    if listing is None:
        root = printable(str(files.root))
        raise DataError(f"{root} is not of --layout {layout.name}: its tables or files are not there")
    return layout, listing


def _detect(files: Files, config: DataConfig) -> tuple[Layout | None, Listing]:
    """List by what the source looks like; class folders that a user made take precedence over a table not asked for."""
    folders: Listing | None = None
    refusal: DataError | None = None
    try:
        folders = list_class_folders(files, config)
    except DataError as error:
        refusal = error
    own = folders is not None and _are_own_folders(folders)
    # A table next to the source may belong to other folders: it counts only where this source's folders say nothing.
    files.use_parent_tables = siblings_count = folders is None or (len(folders.classes) == 1 and not own)
    for layout in () if own else LAYOUTS:
        listing = layout.list_images(files, config)
        if listing is not None:
            return layout, listing
    files.use_parent_tables = True
    find_layout = functools.partial(_find_layout, files, config)
    if folders is not None:
        notes = check_unlisted_tables(files, folders, own=own, siblings_count=siblings_count, find_layout=find_layout)
        if len(folders.classes) == 1 and is_challenge(folders.classes[0]):
            raise DataError(
                f"{printable(str(files.root))}: the folder {printable(folders.classes[0])} is named as a challenge's archive "
                "unpacks, but its label table is not there: download it, name it with --table, or use --layout flat for one class"
            )
        return None, folders.with_notes(*notes)
    assert refusal is not None
    if isinstance(refusal, AmbiguousError):
        # A table that must be named may explain these folders.
        flat = list_flat(files, config)
        check_unlisted_tables(files, flat, own=False, siblings_count=True, find_layout=find_layout)
    raise refusal


def _find_layout(files: Files, config: DataConfig) -> str | None:
    """Return the name of the known data set that would list the source, None if none would."""
    for layout in LAYOUTS:
        try:
            if layout.list_images(files, config) is not None:
                return layout.name
        except DataError:
            continue
    return None


def _are_own_folders(listing: Listing) -> bool:
    """Whether folders are evidently classes that a user made, not just places where images were put."""
    classes = listing.classes
    if any(is_container(name) or is_download_part(name) for name in classes):
        return False
    if len(classes) == 1:
        # Folders of one class below those of several splits were made by hand.
        return len(set(listing.splits)) > 1 and all(
            any(parse_split(part) and classes[0] in parts[level + 1 :] for level, part in enumerate(parts))
            for parts in (name.split("/")[:-1] for name in listing.names)
        )
    stems = {_COUNTED.sub("", name.casefold()).strip(" _.-") for name in classes}
    return len(stems) > 1 or stems <= _NUMBERED_CLASSES
