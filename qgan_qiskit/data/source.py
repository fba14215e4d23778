"""What a run says of its images before it trains.

From ``DataConfig`` to images: the one place that knows all kinds of sources.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.base import expanded
from qgan_qiskit.data import duplicates
from qgan_qiskit.data.cache import cached, default_folder, remembered
from qgan_qiskit.data.dataset import ImageSet, class_index, means_all, unit_of
from qgan_qiskit.data.decoding import decode_all, to_grayscale
from qgan_qiskit.data.file_filter import ChosenFiles
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, FolderFiles, ZipFiles, shown
from qgan_qiskit.data.layouts import cifar10 as cifar
from qgan_qiskit.data.layouts import digits, isic, odir, pad_ufes
from qgan_qiskit.data.layouts import fitzpatrick17k as fitzpatrick
from qgan_qiskit.data.layouts import ham10000 as ham
from qgan_qiskit.data.layouts import isic as isic2020
from qgan_qiskit.data.layouts import metadata_files as huggingface
from qgan_qiskit.data.layouts import metadata_files as stylegan
from qgan_qiskit.data.layouts import synthetic as made_lesions
from qgan_qiskit.data.layouts.class_folders import AmbiguousError, list_flat, list_folders, list_top_folders
from qgan_qiskit.data.layouts.listing import Listing, tables_beside
from qgan_qiskit.data.layouts.npz import list_npz, read_npz
from qgan_qiskit.data.layouts.table import list_table
from qgan_qiskit.data.layouts.unlisted_tables import check_other_tables
from qgan_qiskit.data.split_names import is_challenge, is_container, is_download_part, split_of
from qgan_qiskit.data.splits import select_split
from qgan_qiskit.errors import DataError, UsageError
from qgan_qiskit.memory import check_memory_for_images


def summary_of(images: ImageSet) -> dict[str, Any]:
    """Return, for JSON: the layout, images per class and per split, groups, and images without a group."""
    return _facts(images.layout or "made or built in", images.counts(), images.splits, images.groups)


def summary_lines(images: ImageSet) -> list[str]:
    """Return the same in lines for a person; what was left out and why follows in ``images.notes``."""
    return [_line(summary_of(images))]


def listed_lines(listing: Listing) -> list[str]:
    """Return the lines for images that are listed and not decoded, with all notes: of all classes and parts together."""
    counts = Counter(listing.labels)
    facts = _facts(listing.layout, {name: counts[name] for name in listing.classes}, listing.splits, listing.groups)
    return [*(f"note: {note}" for note in listing.notes), _line(facts)]


def _facts(layout: str, counts: dict[str, int], splits: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    return {
        "layout": layout,
        "counts": counts,
        "splits": {split: number for split, number in Counter(splits).items() if split},
        "groups": len(set(groups) - {""}),
        "without_group": Counter(groups)[""],
    }


def _line(facts: dict[str, Any]) -> str:
    counts = ", ".join(f"{shown(name)} {number:,}" for name, number in facts["counts"].items())
    splits = ", ".join(f"{name} {number:,}" for name, number in facts["splits"].items())
    groups = f"{facts['groups']:,}" if facts["groups"] else "unknown"
    alone = f" ({facts['without_group']:,} images without one)" if facts["groups"] and facts["without_group"] else ""
    return (
        f"data: {facts['layout']}; {sum(facts['counts'].values()):,} images: {counts}; "
        f"splits of the source's own: {splits or 'none'}; patients or lesions: {groups}{alone}"
    )


# Tables that may lie beside the named folder: what they say decides the listing, so their state is in the cache's key.
TABLES = (
    isic.TABLE,
    isic.METADATA,
    isic.TEST_TABLE,
    isic.TEST_METADATA,
    *isic.TABLES_2018.values(),
    isic.LESIONS_2018,
    *ham.TABLES,
    fitzpatrick.TABLE,
    odir.TABLE,
)
# Settings that decide what is decoded from a file, so they are in the cache's key too.
_DECIDING = {
    "resolution",
    "fit",
    "skip_bad",
    "drop_downsampled",
    "labels",
    "limit",
    "layout",
    "table",
    "image_column",
    "label_column",
    "group_column",
    "split_column",
    "include",
    "exclude",
}
# The end of names that only count: set_1, batch (2), part b.
_COUNTED = re.compile(r"[ _.-]*\(?(\d+|(?<![a-z])[a-z])\)?$")
# What a class may be called with a number behind it.
_KINDS = {"class", "grade", "stage", "type", "level", "label", "category", "cat", "kind", "severity", "score"}
# Columns that may be named without --table, by the layouts whose own table has them.
_COLUMNS = {"Hugging Face": ("label_column", "group_column", "split_column"), "ISIC 2020": ("label_column",)}
_Lister = Callable[[Files, DataConfig], Listing | None]
# Layouts with a table of labels of their own, in the order in which they are tried.
_KNOWN: dict[str, _Lister] = {
    "isic2019": isic.list_isic,
    "isic2018": isic.list_isic2018,
    "isic2020": isic2020.list_isic2020,
    "pad-ufes-20": pad_ufes.list_pad_ufes,
    "ham10000": ham.list_ham,
    "fitzpatrick17k": fitzpatrick.list_fitzpatrick,
    "odir5k": odir.list_odir,
    "huggingface": huggingface.list_huggingface,
    "stylegan": stylegan.list_stylegan,
}


def read_images(config: DataConfig, seed: int = 0) -> ImageSet:
    """Read, or make, all images that a run needs.

    ``config.path`` may be None (synthetic lesions), ``sklearn:digits``, an .npz, a .zip, or a folder; folders and zips may
    hold ISIC 2018 to 2020, HAM10000, Fitzpatrick17k, ODIR-5k, CIFAR-10 or a folder per class. With ``config.class_name`` naming a
    class, only that one is decoded and it is the only one in the result. All parts of a class share one entry of the cache.

    Args:
        config: source, size, color and choice of the images.
        seed: seed of synthetic lesions; no other source depends on it.

    Returns:
        The images, sorted by name; a read-only memory map when they come from the cache as they are. Gray ones have three
        equal channels.

    Raises:
        DataError: nothing that fits, an inconsistent table, a hostile archive, unreadable images, no such class, or no
            image in the part.
    """
    if config.split is None:
        # Images that the source keeps for testing are never trained on unless they are asked for.
        config = config.model_copy(update={"split": resolved_split(config)})
    if config.split == "all":
        images = _whole(config, seed)
    else:
        # The limit counts images of the part, so it comes after the choice.
        unit_of_name, notes = _units(config, seed)
        images = select_split(_whole(config.model_copy(update={"limit": None}), seed), config, unit_of_name)
        images = replace(images, notes=(*images.notes, *notes))
        images = images if config.limit is None else images.limit(config.limit, config.split_seed)
    return images if config.color == "rgb" else to_grayscale(images)


def _units(config: DataConfig, seed: int) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what decides the part of each image, by its name, and notes on images that show the same picture.

    Small pictures of all classes are compared whatever the run needs, so a class, a size or a limit moves no image to another
    part.
    """
    if config.path is None:  # Every lesion is made anew.
        return {}, ()
    whole = {"class_name": None, "limit": None, "resolution": duplicates.SIDE, "fit": "stretch", "skip_bad": True}
    images = _whole(config.model_copy(update=whole), seed)
    pairs_P2 = remembered(
        cache_folder(config), ["same pictures", images.digest], lambda: duplicates.find_duplicates(images.images_NHWC)
    )
    pairs_P2, doubts = duplicates.believed(images.images_NHWC, pairs_P2)
    units = [unit_of(name, group) for name, group in zip(images.names, images.groups, strict=True)]
    decides = duplicates.joined(units, pairs_P2)
    notes = duplicates.notes_on(images, pairs_P2, units, images.splits)
    return dict(zip(images.names, decides, strict=True)), (*notes, *doubts)


def _whole(config: DataConfig, seed: int) -> ImageSet:
    """Return the images of all parts together."""
    _check_effect(config)
    if config.path is None:
        return _made(config, seed)
    if config.path == digits.NAME:
        return digits.read_digits(config)
    path = existing_path(config.path)
    deciding = _DECIDING if config.limit is None else _DECIDING | {"split_seed"}
    source = [str(path), config.class_name and config.class_name.casefold(), config.model_dump(include=deciding)]
    folder = cache_folder(config)
    if path.suffix.lower() == ".npz":
        return cached(folder, source, [_state(path), PIL.__version__], lambda: read_npz(path, config))
    with _opened(path) as files:
        # Another Pillow may decode or filter a little differently.
        state = [PIL.__version__, files.stamp(), [_state(files.outer_folder / table) for table in TABLES]]
        state.append([[name, _state(Path(name))] for name in tables_beside(files)])
        state.append(None if config.table is None else _state(Path(config.table).expanduser()))
        return cached(folder, source, state, lambda: _decoded(files, config))


def _check_effect(config: DataConfig) -> None:
    """Refuse settings that say how files are listed where nothing is listed.

    Raises:
        UsageError: naming the option.
    """
    if config.path is not None and config.path != digits.NAME and not config.path.lower().endswith(".npz"):
        return
    listed = ("table", "image_column", "label_column", "group_column", "split_column", "include", "exclude")
    named = [name for name in listed if getattr(config, name)] + ["layout"] * (config.layout != "auto")
    if named:
        what = "made images" if config.path is None else shown(config.path)
        raise UsageError(
            f"--{named[0].replace('_', '-')} has no effect on {what}: leave it out, or name a folder or zip"
        )


def class_names(config: DataConfig) -> tuple[str, ...]:
    """Return the names of all classes of the source without decoding an image.

    Raises:
        DataError: nothing that fits, an inconsistent table or a hostile archive.
    """
    _check_effect(config)
    if config.path is None:
        return made_lesions.CLASSES
    if config.path == digits.NAME:
        return digits.CLASSES
    return _listed(config).classes


def resolved_split(config: DataConfig) -> str:
    """Return ``config.split``, or where it is None ``train`` for a source with splits of its own and ``all`` for others.

    Raises:
        DataError: as :func:`class_names`.
    """
    if config.split is not None:
        return config.split
    if config.path is None or config.path == digits.NAME:
        return "all"
    return "train" if any(_listed(config).splits) else "all"


def listed_summary(config: DataConfig) -> list[str]:
    """Return what is known of a source before an image is decoded, in lines for a person; none for images without files.

    Raises:
        DataError: as :func:`class_names`; also that there is no such class.
    """
    if config.path is None or config.path == digits.NAME:
        return []
    listing = _listed(config)
    if config.class_name is not None and "," not in config.class_name and config.class_list():
        class_index(listing.classes, config.class_name)
    return listed_lines(listing)


def _listed(config: DataConfig) -> Listing:
    """List all images of a source with files."""
    path = existing_path(str(config.path))
    if path.suffix.lower() == ".npz":
        return list_npz(path)
    with _opened(path) as files:
        return list_images(files, config)


def list_images(files: Files, config: DataConfig) -> Listing:
    """Find out what ``files`` holds and list all its labeled images.

    Raises:
        DataError: no layout fits, or the one that fits is inconsistent.
        UsageError: a column is named, and no table that has it is read.
    """
    chosen = ChosenFiles(files, config)
    listing = _list(chosen, config)
    if config.table is None:
        for column in ("label_column", "group_column", "split_column"):
            named = getattr(config, column)
            if named is not None and column not in _COLUMNS.get(listing.layout, ()):
                raise UsageError(
                    f"--{column.replace('_', '-')} {shown(named)} names a column of a table, and the images were listed "
                    f"otherwise ({listing.layout}): name the table with --table too"
                )
    return listing.settled(*chosen.left_out)


def _decoded(files: Files, config: DataConfig) -> ImageSet:
    """Return the images of :func:`list_images` that settings ask for."""
    listing = list_images(files, config)
    if listing.layout == cifar.LAYOUT:
        return cifar.read_cifar(files, config)  # Its images are no files of their own.
    listing = listing.narrowed(config.class_name, config.limit, config.split_seed)
    return decode_all(files, listing, config.resolution, config.skip_bad, config.fit)


def _list(files: ChosenFiles, config: DataConfig) -> Listing:
    """List by what settings say the source is, or by what it looks like."""
    if config.table is not None:
        return list_table(files, config)
    if config.layout == "folders":
        return list_top_folders(files, config)
    if config.layout == "flat":
        return list_flat(files, config)
    if config.layout == "cifar10" and cifar.has_batches(files):
        return cifar.list_cifar(files)
    if config.layout in _KNOWN:
        listing = _KNOWN[config.layout](files, config)
        if listing is not None:
            return listing
    if config.layout != "auto":
        raise DataError(
            f"{shown(str(files.root))} is not of --layout {config.layout}: its tables or files are not there"
        )
    return _recognized(files, config)


def _recognized(files: ChosenFiles, config: DataConfig) -> Listing:
    """List by what the source looks like; the user's own folders of classes win over a table that was not asked for."""
    plain: Listing | None = None
    refusal: DataError | None = None
    try:
        plain = list_folders(files, config)
    except DataError as error:
        refusal = error
    own = plain is not None and _own_folders(plain)
    # Beside the source a table may lie that belongs to other folders: it decides only where folders say nothing.
    beside = plain is None or (len(plain.classes) == 1 and not own)
    files.tables_beside = beside
    if not own:
        for lister in _KNOWN.values():
            listing = lister(files, config)
            if listing is not None:
                return listing
        if cifar.has_batches(files):
            return cifar.list_cifar(files)
    files.tables_beside = True
    layout_of = functools.partial(_known_layout, files, config)
    if plain is not None:
        notes = check_other_tables(files, plain, own=own, beside=beside, layout_of=layout_of)
        if len(plain.classes) == 1 and is_challenge(plain.classes[0]):
            raise DataError(
                f"{shown(str(files.root))}: the folder {shown(plain.classes[0])} is named as a challenge's archive unpacks, and "
                "its table of labels is not there: fetch that, name it with --table, or take all as one class with --layout flat"
            )
        return replace(plain, notes=(*plain.notes, *notes))
    assert refusal is not None
    if isinstance(refusal, AmbiguousError):
        # What lies there may be explained by a table that must be named.
        check_other_tables(files, list_flat(files, config), own=False, beside=True, layout_of=layout_of)
    raise refusal


def _known_layout(files: ChosenFiles, config: DataConfig) -> str | None:
    """Return the layout with a table of its own that would list the source, None if none would."""
    for name, lister in _KNOWN.items():
        try:
            if lister(files, config) is not None:
                return name
        except DataError:
            continue
    return None


def _own_folders(listing: Listing) -> bool:
    """Whether folders are evidently classes that somebody made, not just places where images were put."""
    classes = listing.classes
    if any(is_container(name) or is_download_part(name) for name in classes):
        return False
    if len(classes) == 1:
        # Folders of one class within those of several splits were made by hand.
        return len(set(listing.splits)) > 1 and all(
            any(split_of(part) and classes[0] in parts[level + 1 :] for level, part in enumerate(parts))
            for parts in (name.split("/")[:-1] for name in listing.names)
        )
    stems = {_COUNTED.sub("", name.casefold()).strip(" _.-") for name in classes}
    return len(stems) > 1 or stems <= _KINDS


def absolute_table(text: str) -> str:
    """Return ``config.table`` such that it names the same file from any working folder; a name inside the source stays."""
    path = Path(text).expanduser()
    return str(path.absolute()) if path.is_file() else text


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
    if not means_all(config.class_name, classes):
        classes = (classes[class_index(classes, str(config.class_name))],)
    count = min(config.synthetic_per_class, config.limit or config.synthetic_per_class)
    check_memory_for_images(count * len(classes), config.resolution)
    # The formulas' own text is the state: whoever edits them meets no images of the old ones.
    formulas = Path(str(made_lesions.__file__)).read_text(encoding="utf-8")
    return cached(
        cache_folder(config),
        ["synthetic lesions", count, config.resolution, seed, classes],
        [formulas, np.__version__],
        lambda: made_lesions.make_synthetic_lesions(count, config.resolution, seed, classes),
    )


def cache_folder(config: DataConfig) -> Path:
    """Return the folder of the cache that settings name, or the user's own."""
    return expanded(config.cache_dir) if config.cache_dir is not None else default_folder()
