"""The files of a source that count: without masks, thumbnails and what the user leaves out."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, base, is_image, shown, stem
from qgan_qiskit.errors import DataError

_MASK_END = re.compile(
    r"[ _.-]+(gt[ _-]?)?(mask|masks|segmentation|seg|segm|superpixels|superpixel|groundtruth|contour)([ _-]?\d+)?$"
)
_MASK_FOLDERS = re.compile(
    r"(.*[ _-])?(masks?|segmentations?|superpixels?|segmentation[ _-]masks?|lesion[ _-]?segmentations?)"
)
_THUMB_END = re.compile(r"[ _.-]+(thumb|thumbs|thumbnail|tn|preview)$")
_THUMB_FOLDERS = frozenset(
    ["thumb", "thumbs", "thumbnail", "thumbnails", "@eadir", "previews", "preview", ".thumbnails"]
)


class ChosenFiles(Files):
    """A source without masks, thumbnails, and images that ``--include`` and ``--exclude`` leave out.

    A pattern is a glob in any case, matched against the name within the source, one of its folders or the file's own name.
    What an include pattern names is taken even if it looks like a mask or a thumbnail.

    Args:
        files: the whole source.
        config: ``include`` and ``exclude`` apply.

    Attributes:
        left_out: a sentence for each kind of image that is left out.
        tables_beside: whether a label table may be looked for in the folder that the source lies in.

    Raises:
        DataError: the patterns leave no image, or one of them matches nothing.
    """

    def __init__(self, files: Files, config: DataConfig) -> None:
        self.root, self._files = files.root, files
        self.tables_beside = True
        images = [name for name in files.names if is_image(name)]
        photographs = {stem(name).casefold() for name in images}
        gone: dict[str, list[str]] = {}
        for name in images:
            reason = _reason(name, photographs, config)
            if reason is not None:
                gone.setdefault(reason, []).append(name)
        for option, patterns in (("--include", config.include), ("--exclude", config.exclude)):
            for pattern in patterns:
                if images and not any(_matches(name, pattern) for name in images):
                    raise DataError(
                        f"{option} {shown(pattern)} matches none of the {len(images):,} images of {shown(str(self.root))}, "
                        f"such as {shown(images[0])}: correct the pattern"
                    )
        dropped = {name for names in gone.values() for name in names}
        if images and len(dropped) == len(images):
            raise DataError(
                f"all {len(images):,} images of {shown(str(self.root))} are left out "
                f"({', '.join(f'{len(names):,} {reason}' for reason, names in gone.items())}): take some with --include"
            )
        self.names = [name for name in files.names if name not in dropped]
        self.left_out = tuple(
            f"left out {len(names):,} {reason}, such as {shown(names[0])}"
            + ("" if reason.startswith("images") else "; --include PATTERN takes them")
            for reason, names in gone.items()
        )

    def read(self, name: str) -> bytes:
        """Return the content of one file (see the base class)."""
        return self._files.read(name)

    def stamp(self) -> Any:
        """Return that of the whole source."""
        return self._files.stamp()

    @property
    def outer_folder(self) -> Path:
        """Folder that the source lies in; the source itself when tables beside it do not count."""
        return self._files.outer_folder if self.tables_beside else self.root


def _reason(name: str, photographs: set[str], config: DataConfig) -> str | None:
    """Return why an image is left out, None if it is not."""
    if any(_matches(name, pattern) for pattern in config.exclude):
        return "images that --exclude names"
    if config.include:
        return (
            None
            if any(_matches(name, pattern) for pattern in config.include)
            else "images that --include does not name"
        )
    *folders, _ = name.casefold().split("/")
    own = stem(name).casefold()
    if any(folder in _THUMB_FOLDERS for folder in folders) or _THUMB_END.search(own) or own == "thumbs":
        return "thumbnails"
    if any(_MASK_FOLDERS.fullmatch(folder) for folder in folders):
        return "masks"
    # A name alone may be anything; beside the photograph that it belongs to it is a mask.
    found = _MASK_END.search(own)
    if found and (own[: found.start()] in photographs or "segmentation" in found[0] or "superpixel" in found[0]):
        return "masks"
    return None


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.casefold(), pattern.casefold().removeprefix("./")
    if fnmatchcase(name, pattern) or fnmatchcase(base(name), pattern):
        return True
    parts = name.split("/")
    ahead = ["/".join(parts[: count + 1]) for count in range(len(parts) - 1)]
    return any(fnmatchcase(folder, pattern.rstrip("/")) for folder in [*ahead, *parts[:-1]])
