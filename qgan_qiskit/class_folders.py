"""Folders named after classes, on any system, also where a class is named as no folder can be."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What some system or archive does not take in a name, and what would step out of the folder.
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")
_LONGEST = 100


def class_folders(classes: Sequence[str]) -> list[str]:
    """Return a folder's name for each class: its own where that is one, and all of them different, in any case."""
    names: list[str] = []
    for one in classes:
        name = _NOT_IN_NAMES.sub("_", one)[:_LONGEST].strip(" ")
        # A leading dot hides a folder, and a dot at the end is dropped by Windows.
        name = re.sub(r"^\.|\.$", "_", name) or "_"
        if _RESERVED.match(name):
            name = f"_{name}"
        taken, number, own = {other.casefold() for other in names}, 2, name
        while name.casefold() in taken:
            name, number = f"{own}_{number}", number + 1
        names.append(name)
    return names
