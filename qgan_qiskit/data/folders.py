"""The plain layout: a folder per class, or one folder of images that is one class."""

from __future__ import annotations

from collections import Counter

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import PACKED_SUFFIXES, Files, base, is_image, shown
from qgan_qiskit.data.listing import Listing
from qgan_qiskit.errors import DataError

SPLITS = frozenset(["train", "training", "val", "valid", "validation", "test", "testing"])


def list_folders(files: Files, config: DataConfig) -> Listing:
    """List the images of a folder per class.

    A class is a folder at the top, with everything below it. Images directly at the top are one class named after the
    source when there is no class folder, and left out with a note otherwise. One outer folder around everything is
    stepped into, and of train/val/test folders of classes only train is used, with a note.

    Raises:
        DataError: no image at all, or two classes whose names differ only in case.
    """
    images = [name for name in files.names if is_image(name)]
    others = [name for name in files.names if not is_image(name)]
    if not images:
        raise DataError(_nothing(files, others))
    notes = []
    if others:
        notes.append(f"left out {len(others):,} files without an image ending, such as {shown(others[0])}")
    prefix, split_note = _class_level(images)
    notes += split_note
    inside = [name for name in images if name.startswith(prefix)]
    loose = [name for name in inside if "/" not in name[len(prefix) :]]
    if len(loose) == len(inside):
        own_name = _own_name(files, prefix)
        return Listing(loose, [own_name] * len(loose), [""] * len(loose), (own_name,), tuple(notes))
    if loose:
        notes.append(f"left out {len(loose):,} images that lie beside the class folders, such as {shown(loose[0])}")
    names = [name for name in inside if "/" in name[len(prefix) :]]
    labels = [name[len(prefix) :].partition("/")[0] for name in names]
    classes = tuple(sorted(set(labels)))
    folded = Counter(name.casefold() for name in classes)
    clash = [name for name in classes if folded[name.casefold()] > 1]
    if clash:
        both = " and ".join(map(shown, clash))
        raise DataError(f"{shown(str(files.root))}: the class folders {both} differ only in case; rename or merge them")
    return Listing(names, labels, [""] * len(names), classes, tuple(notes))


def _class_level(images: list[str]) -> tuple[str, list[str]]:
    """Return the path below which the class folders lie, and notes."""
    prefix = ""
    while True:
        below = [name[len(prefix) :] for name in images if name.startswith(prefix)]
        tops = {name.partition("/")[0] for name in below}
        # At least two more levels below: the folder itself is no class.
        deep = {name.partition("/")[0] for name in below if name.count("/") >= 2}
        train = next((top for top in sorted(tops) if top.casefold() in ("train", "training")), None)
        if train and all(top.casefold() in SPLITS for top in tops) and (train in deep or len(tops) > 1):
            others = sorted(tops - {train})
            note = f"of the splits {', '.join(sorted(tops))} only {train} is used" if others else ""
            return f"{prefix}{train}/", [note] if note else []
        if len(tops) != 1 or tops != deep:
            return prefix, []
        # A class with nested folders (one class only) is told from a wrapper by its images: a wrapper has none itself.
        top = tops.pop()
        if any(name.count("/") == 1 for name in below):
            return prefix, []
        prefix = f"{prefix}{top}/"


def _own_name(files: Files, prefix: str) -> str:
    """Return the name of the only class: the innermost folder that is not just a split, else the source's own name."""
    folders = [part for part in prefix.split("/") if part and part.casefold() not in SPLITS]
    root = files.root
    return folders[-1] if folders else (root.stem if root.suffix.lower() == ".zip" else root.name) or "images"


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
