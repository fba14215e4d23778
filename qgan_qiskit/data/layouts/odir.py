"""ODIR-5k as Kaggle distributes it: a table with a row per eye, and photographs of the fundus named by it."""

from __future__ import annotations

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, is_image, shown, stem
from qgan_qiskit.data.layouts.listing import Listing, check_columns, read_table
from qgan_qiskit.errors import DataError

TABLE = "full_df.csv"
# Normal, diabetes, glaucoma, cataract, age-related macular degeneration, hypertension, myopia, other.
CLASSES = ("N", "D", "G", "C", "A", "H", "M", "O")
# Of the two copies of an eye, the one that was cut to the fundus.
PREFERRED = "preprocessed_images"
# Many projects have a table of that name; only this one tells of a fundus in its header.
_MARK = "Fundus"
_CLASS_OF = {f"['{name}']": name for name in CLASSES}


def list_odir(files: Files, config: DataConfig) -> Listing | None:
    """List the eyes of ODIR-5k, or return None when ``files`` has no such table; the patient's ID becomes the group.

    The class is that of ``labels``, which is the eye's own; the columns N to O are the patient's, of both eyes together. The
    images may lie in any subfolder; where an eye is there twice, the one under ``preprocessed_images`` is taken.

    Raises:
        DataError: another header, labels that are not one class, a row without ID, an image listed twice, or no image at all.
    """
    found = read_table(files, TABLE, header_has=_MARK)
    if found is None:
        return None
    table, rows = found
    check_columns(table, rows, ("ID", "labels", "filename"))
    row_of = {stem(row["filename"]): row for row in rows}
    if len(row_of) < len(rows):
        raise DataError(f"{shown(table)} lists {len(rows) - len(row_of):,} images twice; fetch the original table")
    for row in rows:
        _check(table, row)
    file_of, notes = _find_files(files)
    chosen = sorted(image for image in row_of if image in file_of)
    if not chosen:
        if table not in files.names:
            return None  # The table beside an unrelated folder says nothing about it.
        raise DataError(
            f"{shown(table)} lists {len(rows):,} images, but none of them (such as {shown(rows[0]['filename'])}) "
            f"is under {shown(str(files.root))}: unpack {PREFERRED} there"
        )
    missing = len(rows) - len(chosen)
    head = f"ODIR-5k: {len(chosen):,} of the {len(rows):,} images of {table} are there"
    labels = [_CLASS_OF[row_of[image]["labels"]] for image in chosen]
    return Listing(
        names=[file_of[image] for image in chosen],
        labels=labels,
        groups=[row_of[image]["ID"] for image in chosen],
        classes=tuple(name for name in CLASSES if name in labels),
        notes=(
            head + (f", {missing:,} have no file" if missing else ""),
            *notes,
            "both eyes of a patient are never parted: where notes count lesions, these are patients",
        ),
        layout="ODIR-5k",
    )


def _check(table: str, row: dict[str, str]) -> None:
    if row["labels"] not in _CLASS_OF:
        raise DataError(
            f"{shown(table)}: image {shown(row['filename'])} has the labels {shown(row['labels'])}, not one of "
            f"{' '.join(_CLASS_OF)}; fetch the original table"
        )
    if not row["ID"].strip():
        raise DataError(f"{shown(table)}: image {shown(row['filename'])} has no ID; fetch the original table")


def _find_files(files: Files) -> tuple[dict[str, str], tuple[str, ...]]:
    """Map names without folder and ending to files, the preferred ones first and else by path, with a note on doubles."""
    images = [name for name in files.names if is_image(name)]
    images.sort(key=lambda name: PREFERRED not in name.casefold().split("/")[:-1])
    file_of: dict[str, str] = {}
    for name in images:
        file_of.setdefault(stem(name), name)
    doubles = len(images) - len(file_of)
    note = (
        f"{doubles:,} image files have the name of another in a different folder; used are those in {PREFERRED}, else the "
        "first by path"
    )
    return file_of, ((note,) if doubles else ())
