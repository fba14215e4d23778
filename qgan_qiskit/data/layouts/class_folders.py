"""The plain layout: a folder per class, folders of splits and classes in either order, or one class; nothing ambiguous."""

from __future__ import annotations

from collections import Counter

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, base, is_image, shown
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.data.split_names import is_container, is_download_part, is_fold, is_patient, split_of
from qgan_qiskit.errors import DataError

_SHOWN = 6


class AmbiguousError(DataError):
    """Folders that may be classes or something else."""


def list_folders(files: Files, config: DataConfig) -> Listing:
    """List the images of a folder per class, where that is unambiguous.

    Outer folders around everything are stepped into. Folders with the name of a split, above or below the class folders,
    are the source's own splits. Images without any class folder are one class, named after the source.

    Raises:
        DataError: no image at all, two classes whose names differ only in case, or (AmbiguousError) folders that may be
            something else than classes; the message lists them and the option that decides.
    """
    images, notes = _images(files)
    prefix = _inside_wrappers(images)
    below = {name: name[len(prefix) :].split("/") for name in images}
    for parts in below.values():
        fold = next((part for part in parts[:-1] if is_fold(part)), None)
        if fold is not None:
            tops = sorted({part for each in below.values() for part in each[:-1] if is_fold(part)})
            raise _ambiguous(
                files, f"the folders {_listed(tops)} look like folds, which are neither classes nor splits"
            )
    splits, rest = _take_splits(files, below)
    unlabeled = _unlabeled(splits, rest)
    if unlabeled:
        kept = [row for row, split in enumerate(splits) if split not in unlabeled]
        gone = next(name for name, split in zip(rest, splits, strict=True) if split in unlabeled)
        notes.append(
            f"left out {len(splits) - len(kept):,} images of the {' and '.join(sorted(unlabeled))} split, which lie in no class "
            f"folder, such as {shown(gone)}"
        )
        names = list(rest)
        rest, splits = {names[row]: rest[names[row]] for row in kept}, [splits[row] for row in kept]
    rest = _without_holders(rest)
    labels = _labels(files, rest, _own_name(files, prefix))
    deeper = next((parts for parts in rest.values() if len(parts) > 2), None)
    if deeper is not None and len(set(labels)) > 1:
        notes.append(
            f"classes are the folders at the top; those below them, such as {shown('/'.join(deeper[:2]))}, are not told apart"
        )
    return _listing(files, list(rest), labels, splits, notes)


def list_top_folders(files: Files, config: DataConfig) -> Listing:
    """List the images by the folder at the top that they lie in, whatever it is called (``--layout folders``).

    Outer folders around everything are stepped into.

    Raises:
        DataError: no image lies in a folder.
    """
    images, notes = _images(files)
    inside = [name for name in images if "/" in name]
    if not inside:
        raise DataError(f"no image under {shown(str(files.root))} lies in a folder: take --layout flat")
    if len(inside) < len(images):
        loose = next(name for name in images if "/" not in name)
        notes.append(f"left out {len(images) - len(inside):,} images beside the class folders, such as {shown(loose)}")
    prefix = _inside_wrappers(inside)
    labels = [name[len(prefix) :].partition("/")[0].strip() for name in inside]
    return _listing(files, inside, labels, [""] * len(inside), notes)


def list_flat(files: Files, config: DataConfig) -> Listing:
    """List all images, in whatever folder, as one class named after the source (``--layout flat``)."""
    images, notes = _images(files)
    return _listing(files, images, [_own_name(files, "")] * len(images), [""] * len(images), notes)


def _images(files: Files) -> tuple[list[str], list[str]]:
    images = [name for name in files.names if is_image(name)]
    others = [name for name in files.names if not is_image(name)]
    if not images:
        raise DataError(_nothing(files, others))
    kind = f"left out {len(others):,} files without an image ending, such as {shown(others[0])}" if others else ""
    return images, [kind] if others else []


def _inside_wrappers(images: list[str]) -> str:
    """Return the path of the folders that hold everything and have no image themselves."""
    prefix = ""
    while True:
        below = [name[len(prefix) :] for name in images]
        tops = {name.partition("/")[0] for name in below}
        top = min(tops)
        # A class with nested folders (one class only) is told from a wrapper by its images: a wrapper has none itself.
        if len(tops) > 1 or any(name.count("/") < 2 for name in below) or split_of(top) or is_fold(top):
            return prefix
        prefix = f"{prefix}{top}/"


def _take_splits(files: Files, below: dict[str, list[str]]) -> tuple[list[str], dict[str, list[str]]]:
    """Return each image's split, "" without any, and its path without the split's folder."""
    levels = {name: [split_of(part) for part in parts[:-1]] for name, parts in below.items()}
    depths = {next((level for level, split in enumerate(found) if split), None) for found in levels.values()}
    if depths == {None}:
        return [""] * len(below), below
    several = next((name for name, found in levels.items() if len([s for s in found if s]) > 1), None)
    if several is not None or len(depths) > 1:
        tops = sorted({part for parts in below.values() for part in parts[:-1]})
        why = "only some of the folders" if several is None else "folders in folders"
        raise _ambiguous(files, f"{why} are named like splits, among {_listed(tops)}")
    (depth,) = depths
    assert depth is not None
    splits = [str(found[depth]) for found in levels.values()]
    rest = {name: parts[:depth] + parts[depth + 1 :] for name, parts in below.items()}
    # images/ inside each split holds what lies there, and is no class.
    while all(len(parts) > 1 for parts in rest.values()):
        folders = {parts[0] for parts in rest.values()}
        if len(folders) > 1 or not (is_container(min(folders)) or all(len(parts) > 2 for parts in rest.values())):
            break
        rest = {name: parts[1:] for name, parts in rest.items()}
    return splits, rest


def _unlabeled(splits: list[str], below: dict[str, list[str]]) -> set[str]:
    """Return the splits without class folders, where all training images lie in class folders: a challenge's test images."""
    folders: dict[str, set[str]] = {}
    for split, parts in zip(splits, below.values(), strict=True):
        folders.setdefault(split, set()).add(parts[0] if len(parts) > 1 else "")
    classes = folders.get("train", {""})
    if any(not name or is_container(name) for name in classes):
        return set()
    return {split for split, found in folders.items() if all(not name or is_container(name) for name in found)}


def _without_holders(below: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the paths without the folder ``images`` that each of several classes has (beside its masks)."""
    inner = {parts[1] if len(parts) > 2 else "" for parts in below.values()}
    if len(inner) > 1 or not is_container(min(inner)) or len({parts[0] for parts in below.values()}) < 2:
        return below
    return {name: [parts[0], *parts[2:]] for name, parts in below.items()}


def _labels(files: Files, below: dict[str, list[str]], own_name: str) -> list[str]:
    """Return the class of each image by its folder, or one class when there are no folders."""
    loose = [name for name, parts in below.items() if len(parts) == 1]
    if len(loose) == len(below):
        return [own_name] * len(below)
    tops = sorted({parts[0] for parts in below.values() if len(parts) > 1})
    found = f"the folders {_listed(tops)}"
    if loose:
        raise _ambiguous(files, f"{len(loose):,} images such as {shown(loose[0])} lie beside {found}")
    nested = {top: {parts[1] for parts in below.values() if parts[0] == top and len(parts) > 2} for top in tops}
    direct = {parts[0] for parts in below.values() if len(parts) == 2}
    inner = Counter(name.casefold() for names in nested.values() for name in names)
    folded = {top.casefold() for top in tops}
    for top in tops:
        again = sorted(name for name in nested[top] if name.casefold() in folded)
        if again:
            raise _ambiguous(
                files, f"{shown(top)}/{shown(again[0])} repeats the name of a folder above it, a copy of {found}"
            )
        if nested[top] and top in direct:
            raise _ambiguous(
                files,
                f"{shown(top)} holds images and the folder {_listed(sorted(nested[top]))} of images, among {found}",
            )
    spaced = [top for top in tops if top != top.strip() and top.strip() in tops]
    if spaced:
        raise DataError(
            f"the class folders {spaced[0]!r} and {spaced[0].strip()!r} differ only in spaces: rename or merge them"
        )
    shared = sorted(name for name, count in inner.items() if count > 1)
    if shared:
        raise _ambiguous(files, f"{found} hold folders of equal names ({_listed(shared)}): either may be the classes")
    if len(tops) > 1:
        if any(nested.values()) and direct:
            raise _ambiguous(files, f"images lie at several depths below {found}")
        if any(is_download_part(top) for top in tops):
            raise _ambiguous(files, f"{found} look like parts of a download")
        containers = [top for top in tops if is_container(top)]
        if containers:
            raise _ambiguous(files, f"{_listed(containers)} of {found} look like holders of images, not classes")
        if all(is_patient(top) for top in tops):
            raise _ambiguous(files, f"{found} ({len(tops):,}) look like patients or running numbers, not classes")
    return [parts[0].strip() or parts[0] for parts in below.values()]


def _listing(files: Files, names: list[str], labels: list[str], splits: list[str], notes: list[str]) -> Listing:
    classes = tuple(sorted(set(labels)))
    folded = Counter(name.casefold() for name in classes)
    clash = [name for name in classes if folded[name.casefold()] > 1]
    if clash:
        both = " and ".join(map(shown, clash))
        raise DataError(f"{shown(str(files.root))}: the class folders {both} differ only in case; rename or merge them")
    layout = "folders" if any("/" in name for name in names) else "images of one class"
    return Listing(names, labels, [""] * len(names), classes, tuple(notes), splits, layout)


def _own_name(files: Files, prefix: str) -> str:
    """Return the name of the only class: the innermost folder that is not just a split, else the source's own name."""
    folders = [part for part in prefix.split("/") if part and not split_of(part)]
    root = files.root
    return folders[-1] if folders else (root.stem if root.suffix.lower() == ".zip" else root.name) or "images"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(shown, names[:_SHOWN])) + more


def _ambiguous(files: Files, what: str) -> AmbiguousError:
    return AmbiguousError(
        f"{shown(str(files.root))}: {what}; say what it is: --table FILE with the labels, --layout folders (the folders at "
        "the top are classes), --layout flat (one class), --exclude PATTERN, or name a folder further in"
    )


def _nothing(files: Files, others: list[str]) -> str:
    found = f"{len(others):,} other files such as {shown(others[0])}" if others else "no files"
    return (
        f"no images under {shown(str(files.root))}: looked for ISIC_2019_Training_GroundTruth.csv, "
        "HAM10000_metadata.csv, fitzpatrick17k.csv, full_df.csv of ODIR-5k, data_batch_1.bin of CIFAR-10, or folders of "
        f".jpg, .png, .tif, .bmp, .gif, .webp, and found {found}{_remedy(others)}"
    )


def _remedy(others: list[str]) -> str:
    """Return what to do where something else was found that images may come from."""
    if any(base(name) == "data_batch_1" for name in others):
        return "; the pickles of CIFAR-10's Python version are never loaded: fetch its binary version"
    for name in others:
        if name.lower().endswith((".zip", ".npz")):
            return f"; unpack {shown(name)} or name it as the data"
        if name.lower().endswith(PACKED_SUFFIXES):
            return f"; unpack {shown(name)}"
    return ""
