"""Images in one folder per class, with folders of splits above or below them, or in no class folder at all.

Folders count as classes only where nothing else is possible; anything ambiguous is an error that names the options which
decide. The names that folders of splits, folds, patients and containers usually have are at the end of this file.
"""

# ruff: noqa: SIM905 - long lists of words are easier to read as one text

from __future__ import annotations

import re
from collections import Counter

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, basename, is_image, printable
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.errors import DataError

_MAX_NAMES = 6
# Path of each image below the common outer folders, as its parts.
_Paths = dict[str, list[str]]


class AmbiguousError(DataError):
    """Folders that may be classes or something else."""


def list_class_folders(files: Files, config: DataConfig) -> Listing:
    """List the images of one folder per class, where that is unambiguous.

    Outer folders around everything are skipped. Folders named like splits, above or below the class folders, are the
    source's own splits. Images without class folders form one class, named after the source.

    Raises:
        DataError: no image at all, two classes whose names differ only in case, or (AmbiguousError) folders that may not be
            classes; the message lists them and the options that decide.
    """
    images, notes = _find_images(files)
    prefix = _outer_folders(images)
    paths = {name: name[len(prefix) :].split("/") for name in images}
    folds = sorted({part for parts in paths.values() for part in parts[:-1] if is_fold(part)})
    if folds:
        raise _ambiguous(files, f"the folders {_join(folds)} look like folds, which are neither classes nor splits")
    splits, paths = _remove_split_folders(files, paths)
    unlabeled = _unlabeled_splits(splits, paths)
    if unlabeled:
        dropped = [name for name, split in zip(paths, splits, strict=True) if split in unlabeled]
        notes.append(
            f"left out {len(dropped):,} images of the {' and '.join(sorted(unlabeled))} split, which lie in no class folder, "
            f"such as {printable(dropped[0])}"
        )
        paths = {
            name: parts for (name, parts), split in zip(paths.items(), splits, strict=True) if split not in unlabeled
        }
        splits = [split for split in splits if split not in unlabeled]
    paths = _remove_containers(paths)
    labels = _labels(files, paths, _class_of_source(files, prefix))
    nested = next((parts for parts in paths.values() if len(parts) > 2), None)
    if nested is not None and len(set(labels)) > 1:
        folder = printable("/".join(nested[:2]))
        notes.append(f"the classes are the top folders; folders inside them, such as {folder}, are ignored")
    return _make_listing(files, list(paths), labels, splits, notes)


def list_top_folders(files: Files, config: DataConfig) -> Listing:
    """List the images by the top folder that they lie in, whatever its name (``--layout folders``).

    Outer folders around everything are skipped.

    Raises:
        DataError: no image lies in a folder.
    """
    images, notes = _find_images(files)
    inside = [name for name in images if "/" in name]
    if not inside:
        raise DataError(f"no image under {printable(str(files.root))} lies in a folder: use --layout flat")
    if len(inside) < len(images):
        loose = next(name for name in images if "/" not in name)
        notes.append(
            f"left out {len(images) - len(inside):,} images next to the class folders, such as {printable(loose)}"
        )
    prefix = _outer_folders(inside)
    labels = [name[len(prefix) :].partition("/")[0].strip() for name in inside]
    return _make_listing(files, inside, labels, [], notes)


def list_flat(files: Files, config: DataConfig) -> Listing:
    """List all images, in whatever folder, as one class named after the source (``--layout flat``)."""
    images, notes = _find_images(files)
    return _make_listing(files, images, [_class_of_source(files, "")] * len(images), [], notes)


def _find_images(files: Files) -> tuple[list[str], list[str]]:
    """Return the names of all images, and a note on other files."""
    images = [name for name in files.names if is_image(name)]
    others = [name for name in files.names if not is_image(name)]
    if not images:
        raise DataError(_nothing_found(files, others))
    note = f"left out {len(others):,} files without an image suffix, such as {printable(others[0])}" if others else ""
    return images, [note] if others else []


def _outer_folders(images: list[str]) -> str:
    """Return the path of the folders that contain everything and no image directly."""
    prefix = ""
    while True:
        below = [name[len(prefix) :] for name in images]
        tops = {name.partition("/")[0] for name in below}
        top = min(tops)
        # A single class with nested folders differs from an outer folder in that it has images directly in it.
        if len(tops) > 1 or any(name.count("/") < 2 for name in below) or parse_split(top) or is_fold(top):
            return prefix
        prefix = f"{prefix}{top}/"


def _remove_split_folders(files: Files, paths: _Paths) -> tuple[list[str], _Paths]:
    """Return each image's split, "" if there is none, and its path without the split's folder."""
    found = {name: [parse_split(part) for part in parts[:-1]] for name, parts in paths.items()}
    depths = {next((depth for depth, split in enumerate(splits) if split), None) for splits in found.values()}
    if depths == {None}:
        return [""] * len(paths), paths
    nested = any(len([split for split in splits if split]) > 1 for splits in found.values())
    if nested or len(depths) > 1:
        folders = sorted({part for parts in paths.values() for part in parts[:-1]})
        what = "folders inside folders" if nested else "only some of the folders"
        raise _ambiguous(files, f"{what} are named like splits, among {_join(folders)}")
    (depth,) = depths
    assert depth is not None
    splits = [str(each[depth]) for each in found.values()]
    rest = {name: parts[:depth] + parts[depth + 1 :] for name, parts in paths.items()}
    # images/ inside each split contains its images and is not a class.
    while all(len(parts) > 1 for parts in rest.values()):
        tops = {parts[0] for parts in rest.values()}
        if len(tops) > 1 or not (is_container(min(tops)) or all(len(parts) > 2 for parts in rest.values())):
            break
        rest = {name: parts[1:] for name, parts in rest.items()}
    return splits, rest


def _unlabeled_splits(splits: list[str], paths: _Paths) -> set[str]:
    """Return the splits without class folders if all training images lie in class folders: a challenge's test images."""
    folders: dict[str, set[str]] = {}
    for split, parts in zip(splits, paths.values(), strict=True):
        folders.setdefault(split, set()).add(parts[0] if len(parts) > 1 else "")
    if any(not name or is_container(name) for name in folders.get("train", {""})):
        return set()
    return {split for split, found in folders.items() if all(not name or is_container(name) for name in found)}


def _remove_containers(paths: _Paths) -> _Paths:
    """Return the paths without the folder ``images`` that each of several classes has (next to its masks)."""
    inner = {parts[1] if len(parts) > 2 else "" for parts in paths.values()}
    if len(inner) > 1 or not is_container(min(inner)) or len({parts[0] for parts in paths.values()}) < 2:
        return paths
    return {name: [parts[0], *parts[2:]] for name, parts in paths.items()}


def _labels(files: Files, paths: _Paths, only_class: str) -> list[str]:
    """Return the class of each image by its folder, or one class when there are no folders."""
    loose = [name for name, parts in paths.items() if len(parts) == 1]
    if len(loose) == len(paths):
        return [only_class] * len(paths)
    tops = sorted({parts[0] for parts in paths.values() if len(parts) > 1})
    found = f"the folders {_join(tops)}"
    if loose:
        raise _ambiguous(files, f"{len(loose):,} images such as {printable(loose[0])} lie next to {found}")
    spaced = [top for top in tops if top != top.strip() and top.strip() in tops]
    if spaced:
        raise DataError(
            f"the class folders {spaced[0]!r} and {spaced[0].strip()!r} differ only in spaces: rename or merge them"
        )
    _check_nesting(files, paths, tops, found)
    if len(tops) > 1:
        if any(map(is_download_part, tops)):
            raise _ambiguous(files, f"{found} look like parts of a download")
        containers = [top for top in tops if is_container(top)]
        if containers:
            raise _ambiguous(files, f"{_join(containers)} of {found} look like containers of images, not classes")
        if all(map(_is_patient, tops)):
            raise _ambiguous(files, f"{found} ({len(tops):,}) look like patients or running numbers, not classes")
    return [parts[0].strip() or parts[0] for parts in paths.values()]


def _check_nesting(files: Files, paths: _Paths, tops: list[str], found: str) -> None:
    """Reject folders inside the top folders that may be the classes themselves."""
    nested = {top: {parts[1] for parts in paths.values() if parts[0] == top and len(parts) > 2} for top in tops}
    direct = {parts[0] for parts in paths.values() if len(parts) == 2}
    folded = {top.casefold() for top in tops}
    for top in tops:
        repeated = sorted(name for name in nested[top] if name.casefold() in folded)
        if repeated:
            inner = f"{printable(top)}/{printable(repeated[0])}"
            raise _ambiguous(files, f"{inner} repeats the name of a folder above it, a copy of {found}")
        if nested[top] and top in direct:
            inner = _join(sorted(nested[top]))
            raise _ambiguous(files, f"{printable(top)} has images and the folder {inner} of images, among {found}")
    counts = Counter(name.casefold() for names in nested.values() for name in names)
    shared = sorted(name for name, count in counts.items() if count > 1)
    if shared:
        raise _ambiguous(files, f"{found} contain folders of equal names ({_join(shared)}): either may be the classes")
    if len(tops) > 1 and any(nested.values()) and direct:
        raise _ambiguous(files, f"images lie at several depths below {found}")


def _make_listing(files: Files, names: list[str], labels: list[str], splits: list[str], notes: list[str]) -> Listing:
    classes = tuple(sorted(set(labels)))
    folded = Counter(name.casefold() for name in classes)
    clash = [name for name in classes if folded[name.casefold()] > 1]
    if clash:
        both = " and ".join(map(printable, clash))
        root = printable(str(files.root))
        raise DataError(f"{root}: the class folders {both} differ only in case; rename or merge them")
    layout = "folders" if any("/" in name for name in names) else "images of one class"
    return Listing(names, labels, [], classes, tuple(notes), splits, layout)


def _class_of_source(files: Files, prefix: str) -> str:
    """Return the name of the only class: the innermost outer folder that is not a split, else the source's own name."""
    folders = [part for part in prefix.split("/") if part and not parse_split(part)]
    root = files.root
    return folders[-1] if folders else (root.stem if root.suffix.lower() == ".zip" else root.name) or "images"


def _join(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(printable, names[:_MAX_NAMES])) + more


def _ambiguous(files: Files, what: str) -> AmbiguousError:
    return AmbiguousError(
        f"{printable(str(files.root))}: {what}; say what it is: --table FILE with the labels, --layout folders (the top "
        "folders are classes), --layout flat (one class), --exclude PATTERN, or name a folder further in"
    )


def _nothing_found(files: Files, others: list[str]) -> str:
    found = f"{len(others):,} other files such as {printable(others[0])}" if others else "no files"
    return (
        f"no images under {printable(str(files.root))}: looked for the tables of known data sets, data_batch_1.bin of CIFAR-10, "
        f"or folders of .jpg, .png, .tif, .bmp, .gif, .webp, and found {found}{_unpack_hint(others)}"
    )


def _unpack_hint(others: list[str]) -> str:
    """Return what to do where files were found that images may come from."""
    if any(basename(name) == "data_batch_1" for name in others):
        return "; pickles of CIFAR-10's Python version are never loaded: download its binary version"
    for name in others:
        if name.lower().endswith((".zip", ".npz")):
            return f"; unpack {printable(name)} or name it as the data"
        if name.lower().endswith(PACKED_SUFFIXES):
            return f"; unpack {printable(name)}"
    return ""


_SPLIT_WORDS = {
    word: split
    for split, words in {
        "train": "train training tr trn",
        "validation": "val valid validation validate validating dev vali",
        "test": "test testing tst holdout eval evaluation te",
    }.items()
    for word in words.split()
} | {"hold out": "test"}
# Words that may accompany a split's name without changing it: train_images, TestingData, val_set_2019.
_FILLER_WORDS = frozenset(
    "set sets data dataset images image img imgs input inputs split splits folder files photos pictures pics samples part "
    "jpg jpeg png the".split()
)
# Whether a folder is named like a fold of a cross-validation.
is_fold = re.compile(
    r"(k?[ _-]?folds?|cv|split|splits|cross[ _-]?val(idation)?)[ _-]?\d+([ _-]?of[ _-]?\d+)?", re.IGNORECASE
).fullmatch
# Whether a folder is named like a part of a download (imgs_part_1).
is_download_part = re.compile(
    r"(.*[ _-])?(imgs?|images?|part|parts|archive|chunk|shard|batch|zip|download|vol|volume)[ _-]?(part[ _-]?)?\d+",
    re.IGNORECASE,
).fullmatch
# Whether a folder is named as a challenge's archive unpacks, so that the labels of its images are in a table elsewhere:
# ISIC_2019_Training_Input, HAM10000_images_part_1.
is_challenge = re.compile(
    r"(isic|siim|ham[ _-]?10000|pad[ _-]?ufes|bcn[ _-]?20000)(.*[ _-])?"
    r"(training|train|validation|test|input|images?|imgs|jpe?g|png)([ _-].*)?",
    re.IGNORECASE,
).fullmatch
# Whether a folder is named like a patient, a lesion or another running number (P001).
_is_patient = re.compile(
    r"((patients?|pat|subjects?|subj|sub|case|cases|person|participant|study|lesion|p)[ _-]?\d+([ _-]\d+)*"
    r"|[a-z]{0,8}[ _-]?\d{3,}([ _-]\d+)*)",
    re.IGNORECASE,
).fullmatch
_CONTAINERS = frozenset(
    "images image imgs img photos photo pictures pics jpg jpeg jpegs png pngs tif tiff data dataset datasets raw input "
    "inputs labels label annotations annotation metadata meta train_data original originals processed preprocessed files "
    "source".split()
)


def parse_split(name: str) -> str | None:
    """Return ``train``, ``validation`` or ``test`` for a folder or table cell that says so in a common spelling, else None."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # TrainingData
    words = [word for word in re.split(r"[^a-z]+", spaced.casefold()) if word and word not in _FILLER_WORDS]
    if " ".join(words) in _SPLIT_WORDS:
        return _SPLIT_WORDS[" ".join(words)]
    if len(words) != 1:
        return None
    for suffix in ("set", "data", "images", "imgs", "split", "dataset", "folder"):
        if words[0].endswith(suffix) and words[0].removesuffix(suffix) in _SPLIT_WORDS:
            return _SPLIT_WORDS[words[0].removesuffix(suffix)]
    return None


def is_container(name: str) -> bool:
    """Whether a folder is named like a container of images or labels (``images``, ``labels``), not like a class."""
    words = re.split(r"[^a-z]+", name.casefold())
    named_so = name.strip().casefold() in _CONTAINERS or not {"images", "input", "imgs"}.isdisjoint(words)
    return named_so or is_challenge(name) is not None
