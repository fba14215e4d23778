"""Names of folders and cells that say training, validation or test part, and names that say something else than a class."""

from __future__ import annotations

import re

_WORDS = {
    "train": "train", "training": "train", "tr": "train", "trn": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "validate": "validation",
    "validating": "validation", "dev": "validation", "vali": "validation",
    "test": "test", "testing": "test", "tst": "test", "holdout": "test", "eval": "test", "evaluation": "test",
    "te": "test", "hold out": "test",
}  # fmt: skip
# Words that may stand beside the split's own and change nothing: train_images, TestingData, val_set_2019.
_BESIDE = frozenset(
    [
        "set",
        "sets",
        "data",
        "dataset",
        "images",
        "image",
        "img",
        "imgs",
        "input",
        "inputs",
        "split",
        "splits",
        "folder",
        "files",
        "photos",
        "pictures",
        "pics",
        "samples",
        "part",
        "jpg",
        "jpeg",
        "png",
        "the",
    ]
)
_FOLD = re.compile(
    r"(k?[ _-]?folds?|cv|split|splits|cross[ _-]?val(idation)?)[ _-]?\d+([ _-]?of[ _-]?\d+)?", re.IGNORECASE
)
_DOWNLOAD = re.compile(
    r"(.*[ _-])?(imgs?|images?|part|parts|archive|chunk|shard|batch|zip|download|vol|volume)[ _-]?(part[ _-]?)?\d+",
    re.IGNORECASE,
)
# Folders that archives of challenges unpack to: ISIC_2019_Training_Input, HAM10000_images_part_1.
_CHALLENGE = re.compile(
    r"(isic|siim|ham[ _-]?10000|pad[ _-]?ufes|bcn[ _-]?20000)(.*[ _-])?"
    r"(training|train|validation|test|input|images?|imgs|jpe?g|png)"
    r"([ _-].*)?",
    re.IGNORECASE,
)
_PATIENT = re.compile(
    r"((patients?|pat|subjects?|subj|sub|case|cases|person|participant|study|lesion|p)[ _-]?\d+([ _-]\d+)*"
    r"|[a-z]{0,8}[ _-]?\d{3,}([ _-]\d+)*)",
    re.IGNORECASE,
)
_CONTAINERS = frozenset(
    [
        "images",
        "image",
        "imgs",
        "img",
        "photos",
        "photo",
        "pictures",
        "pics",
        "jpg",
        "jpeg",
        "jpegs",
        "png",
        "pngs",
        "tif",
        "tiff",
        "data",
        "dataset",
        "datasets",
        "raw",
        "input",
        "inputs",
        "labels",
        "label",
        "annotations",
        "annotation",
        "metadata",
        "meta",
        "train_data",
        "original",
        "originals",
        "processed",
        "preprocessed",
        "files",
        "source",
    ]
)


def split_of(name: str) -> str | None:
    """Return ``train``, ``validation`` or ``test`` for a folder or cell that says so in a common spelling, else None."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # TrainingData
    words = [word for word in re.split(r"[^a-z]+", spaced.casefold()) if word and word not in _BESIDE]
    joined = " ".join(words)
    if joined in _WORDS:
        return _WORDS[joined]
    if len(words) != 1:
        return None
    for ending in ("set", "data", "images", "imgs", "split", "dataset", "folder"):
        if words[0].endswith(ending) and words[0].removesuffix(ending) in _WORDS:
            return _WORDS[words[0].removesuffix(ending)]
    return None


def is_fold(name: str) -> bool:
    """Whether a folder is named like a fold of a cross-validation, which is neither a class nor a split."""
    return _FOLD.fullmatch(name) is not None


def is_download_part(name: str) -> bool:
    """Whether a folder is named like a part of a download (``imgs_part_1``)."""
    return _DOWNLOAD.fullmatch(name) is not None


def is_patient(name: str) -> bool:
    """Whether a folder is named like a patient, a lesion or another running number (``P001``)."""
    return _PATIENT.fullmatch(name) is not None


def is_container(name: str) -> bool:
    """Whether a folder is named like a mere holder of images or labels (``images``, ``labels``)."""
    return (
        name.strip().casefold() in _CONTAINERS
        or is_challenge(name)
        or any(word in ("images", "input", "imgs") for word in re.split(r"[^a-z]+", name.casefold()))
    )


def is_challenge(name: str) -> bool:
    """Whether a folder is named as the archive of a challenge unpacks it: its images have labels in a table elsewhere."""
    return _CHALLENGE.fullmatch(name) is not None
