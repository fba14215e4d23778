"""HAM10000: a metadata table and images in any subfolder (HAM10000_images_part_1, ..._part_2)."""

from __future__ import annotations

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, shown
from qgan_qiskit.data.listing import Listing, check_columns, images_by_stem, not_listed, read_headed, read_table
from qgan_qiskit.errors import DataError

# Kaggle's copy ends in .csv, Harvard Dataverse's in .tab or in nothing.
TABLES = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
CLASSES = ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")


def list_ham(files: Files, config: DataConfig) -> Listing | None:
    """List the images of HAM10000, or return None when ``files`` has no metadata table; lesion_id becomes the group.

    The table is known by its name or, inside ``files``, by its columns.

    Raises:
        DataError: another header, an unknown diagnosis, an image listed twice, or no image at all.
    """
    found = read_table(files, *TABLES) or read_headed(files, ("lesion_id", "image_id", "dx"))
    if found is None:
        return None
    table, rows = found
    check_columns(table, rows, ("lesion_id", "image_id", "dx"))
    row_of = {row["image_id"]: row for row in rows}
    if len(row_of) < len(rows):
        raise DataError(f"{shown(table)} lists {len(rows) - len(row_of):,} images twice; fetch the original table")
    class_of = {image: row["dx"].strip().upper() for image, row in row_of.items()}
    strange = next((image for image, name in class_of.items() if name not in CLASSES), None)
    if strange is not None:
        raise DataError(
            f"{shown(table)}: image {shown(strange)} has dx '{shown(row_of[strange]['dx'])}', "
            f"not one of {', '.join(CLASSES).lower()}; fetch the original table"
        )
    by_stem, notes = images_by_stem(files)
    chosen = sorted(image for image in row_of if image in by_stem)
    if not chosen:
        if table not in files.names:
            return None  # The table beside an unrelated folder says nothing about it.
        raise DataError(
            f"{shown(table)} lists {len(rows):,} images, but none of them (such as {shown(rows[0]['image_id'])}.jpg) "
            f"is under {shown(str(files.root))}: unpack HAM10000_images_part_1 and _part_2 there"
        )
    missing = len(rows) - len(chosen)
    head = f"HAM10000: {len(chosen):,} of the {len(rows):,} images of {table} are there"
    present = {class_of[image] for image in chosen}
    return Listing(
        names=[by_stem[image] for image in chosen],
        labels=[class_of[image] for image in chosen],
        groups=[row_of[image]["lesion_id"] for image in chosen],
        classes=tuple(name for name in CLASSES if name in present),
        notes=(head + (f", {missing:,} have no file" if missing else ""), *notes, *not_listed(by_stem, chosen)),
        layout="HAM10000",
    )
