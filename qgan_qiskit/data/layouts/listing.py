"""What a layout finds before any image is decoded: which image has which class, group and split.

A caller may rely on a :class:`Listing` naming each image once, with a label that is one of its classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.dataset import class_index, means_all, sample_rows
from qgan_qiskit.data.files import Files, is_image, printable, stem
from qgan_qiskit.errors import DataError

# Note of layouts whose groups are patients, as other notes speak of lesions.
PATIENT_NOTE = "images of a patient always stay in one split: where notes count lesions, these are patients"


@dataclass(frozen=True)
class Listing:
    """Labeled names of images inside a source.

    Attributes:
        names: N names, in the order that the images will have.
        labels: N class names.
        groups: N names of lesions or patients, ``""`` where unknown; empty if all are unknown.
        classes: every class with at least one image, in the source's order.
        notes: sentences for the user.
        splits: N times the source's own ``train``, ``validation`` or ``test``, ``""`` where unknown; empty if all are unknown.
        layout: title of the layout.
        load_pixels: for images that are not files of their own: returns their pixels, uint8 of shape (H, W, 3) or
            (H, W, 1), by name.
    """

    names: Sequence[str]
    labels: Sequence[str]
    groups: Sequence[str]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    splits: Sequence[str] = ()
    layout: str = ""
    load_pixels: Callable[[], Mapping[str, np.ndarray]] | None = None

    def __post_init__(self) -> None:
        for name in ("groups", "splits"):
            if not getattr(self, name):
                object.__setattr__(self, name, [""] * len(self.names))

    def with_notes(self, *notes: str) -> Listing:
        """Return the same listing with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def drop_trivial_splits(self) -> Listing:
        """Return the listing without splits if training images are all it has, as these alone do not divide anything."""
        return replace(self, splits=()) if set(self.splits) <= {"train", ""} else self

    def take(self, rows: Iterable[int]) -> Listing:
        """Return some rows, with the classes that occur among them."""
        rows = list(rows)
        labels = [self.labels[row] for row in rows]
        present = set(labels)
        return replace(
            self,
            names=[self.names[row] for row in rows],
            labels=labels,
            groups=[self.groups[row] for row in rows],
            classes=tuple(name for name in self.classes if name in present),
            splits=[self.splits[row] for row in rows],
        )

    def select(self, class_name: str | None, limit: int | None, seed: int) -> Listing:
        """Return the images that a run needs: of one class or of all, and a random ``limit`` of each class.

        The subset is sampled group by group. Near-duplicates across groups are unknown here, as nothing is decoded yet.

        Args:
            class_name: one of ``classes`` in any case; None, or ``all`` where no class has that name, for each.
            limit: images of each class, None for all.
            seed: of the subset.

        Raises:
            DataError: no such class.
        """
        labels_N = self.label_indices()
        rows_M = np.arange(len(labels_N))
        if class_name is not None and not means_all(class_name, self.classes):
            rows_M = np.flatnonzero(labels_N == class_index(self.classes, class_name))
        if limit is not None:
            names, groups = ([column[row] for row in rows_M.tolist()] for column in (self.names, self.groups))
            rows_M = rows_M[sample_rows(labels_N[rows_M], names, groups, limit, seed)]
        return self.take(rows_M.tolist())

    def label_indices(self) -> np.ndarray:
        """Return the index into ``classes`` of each label, int64 of shape (N,)."""
        index_of = {name: index for index, name in enumerate(self.classes)}
        return np.array([index_of[label] for label in self.labels], np.int64)


@dataclass(frozen=True)
class Layout:
    """A known data set.

    Attributes:
        name: its value of ``--layout``.
        list_images: lists the images of a source; returns None when the source is something else, and raises DataError when
            it is this data set but broken. Decodes nothing.
        tables: label tables that may lie in the folder that contains the source.
        columns: settings that name columns of its own table, such as ``label_column``.
    """

    name: str
    list_images: Callable[[Files, DataConfig], Listing | None]
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass
class LabelTable:
    """The rows of a data set's own label table, one image each.

    Attributes:
        name: file name of the table, or of several, for messages.
        title: name of the data set.
        label_of: class of each image.
        group_of: lesion or patient of an image.
        split_of: split of an image.
    """

    name: str
    title: str
    label_of: Mapping[str, str]
    group_of: Mapping[str, str] = field(default_factory=dict)
    split_of: Mapping[str, str] = field(default_factory=dict)

    def coverage(self, file_of: Mapping[str, str]) -> str:
        """Return a note on how many of the listed images have a file."""
        found = sum(image in file_of for image in self.label_of)
        missing = len(self.label_of) - found
        note = f"{self.title}: {found:,} of the {len(self.label_of):,} images of {self.name} are there"
        return note + (f", {missing:,} have no file" if missing else "")

    def list_images(
        self, files: Files, file_of: Mapping[str, str], classes: Sequence[str], example: str, remedy: str
    ) -> Listing | None:
        """List the images that have a file; None if none has one and the table lies outside the source.

        Args:
            files: the source.
            file_of: file of each image.
            classes: all possible classes, in order.
            example: file name of a listed image, for the error message.
            remedy: what to do when no image is there.

        Raises:
            DataError: none of the images of a table inside the source is there.
        """
        found = sorted(image for image in self.label_of if image in file_of)
        if found:
            labels = [self.label_of[image] for image in found]
            present = set(labels)
            return Listing(
                names=[file_of[image] for image in found],
                labels=labels,
                groups=[self.group_of.get(image, "") for image in found],
                classes=tuple(name for name in classes if name in present),
                splits=[self.split_of.get(image, "") for image in found],
                layout=self.title,
            )
        if self.name not in files.names:
            return None  # A table next to an unrelated folder says nothing about it.
        raise DataError(
            f"{printable(self.name)} lists {len(self.label_of):,} images, but none of them (such as {printable(example)}) "
            f"is under {printable(str(files.root))}: {remedy}"
        )


def index_images(files: Files, preferred_folder: str = "") -> tuple[dict[str, str], tuple[str, ...]]:
    """Map the stem of each image to its file.

    Where several files have one stem, the one below ``preferred_folder`` is taken, else the first by path, with a note.
    """
    images = [name for name in files.names if is_image(name)]
    if preferred_folder:
        images.sort(key=lambda name: preferred_folder not in name.casefold().split("/")[:-1])
    file_of: dict[str, str] = {}
    for name in images:
        file_of.setdefault(stem(name), name)
    duplicates = len(images) - len(file_of)
    rule = (
        f"those in {preferred_folder} are used, else the first by path"
        if preferred_folder
        else "the first by path is used"
    )
    note = f"{duplicates:,} image files have the name of another in a different folder; {rule}"
    return file_of, ((note,) if duplicates else ())


def note_unlisted(file_of: Mapping[str, str], listed: Iterable[str]) -> tuple[str, ...]:
    """Return a note on image files that a table does not list."""
    others = sorted(set(file_of) - set(listed))
    note = (
        f"left out {len(others):,} images that the table does not list, such as {printable(others[0])}"
        if others
        else ""
    )
    return (note,) if others else ()
