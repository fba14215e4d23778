"""HAM10000: a metadata table and images in any subfolder (HAM10000_images_part_1, ..._part_2)."""

from __future__ import annotations

from collections.abc import Mapping

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, base, shown
from qgan_qiskit.data.layouts.listing import (
    Listing,
    check_columns,
    headed,
    images_by_stem,
    not_listed,
    parse_table,
    read_headed,
    read_table,
    table_content,
)
from qgan_qiskit.errors import DataError

# Kaggle's copy ends in .csv, Harvard Dataverse's in .tab or in nothing.
TABLES = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
# Its test images come with a table of the same columns, of the name (other columns) that ISIC 2018's test table has.
_TEST = "isic2018_task3_test"
_COLUMNS = ("image_id", "lesion_id", "dx")
CLASSES = ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")


def list_ham(files: Files, config: DataConfig) -> Listing | None:
    """List the images of HAM10000, or return None when ``files`` has no metadata table; lesion_id becomes the group.

    The table is known by its name or by its columns. Where the test images of ISIC 2018 lie there with their own table, as in
    the copy of Harvard Dataverse, they are the source's own test split.

    Raises:
        DataError: another header, an unknown diagnosis, an image listed twice, or no image at all.
    """
    found = read_table(files, *TABLES) or read_headed(files, _COLUMNS, leave=_TEST)
    by_stem, notes = images_by_stem(files)
    test = _test_table(files, by_stem)
    if found is None and test is None:
        return None
    table, rows = found or test or ("", [])
    check_columns(table, rows, _COLUMNS)
    trained = {row["image_id"] for row in rows} if found else set()
    if found and test:
        rows = [*rows, *(row for row in test[1] if row["image_id"] not in trained)]
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
    chosen = sorted(image for image in row_of if image in by_stem)
    if not chosen:
        if table not in files.names:
            return None  # The table beside an unrelated folder says nothing about it.
        raise DataError(
            f"{shown(table)} lists {len(rows):,} images, but none of them (such as {shown(rows[0]['image_id'])}.jpg) "
            f"is under {shown(str(files.root))}: unpack HAM10000_images_part_1 and _part_2 there"
        )
    missing = len(rows) - len(chosen)
    tables = f"{table} and {test[0]}" if found and test else table
    head = f"HAM10000: {len(chosen):,} of the {len(rows):,} images of {tables} are there"
    present = {class_of[image] for image in chosen}
    return Listing(
        names=[by_stem[image] for image in chosen],
        labels=[class_of[image] for image in chosen],
        groups=[row_of[image]["lesion_id"] for image in chosen],
        classes=tuple(name for name in CLASSES if name in present),
        notes=(head + (f", {missing:,} have no file" if missing else ""), *notes, *not_listed(by_stem, chosen)),
        splits=["train" if image in trained else "test" for image in chosen],
        layout="HAM10000",
    )


def _test_table(files: Files, by_stem: Mapping[str, str]) -> tuple[str, list[dict[str, str]]] | None:
    """Return the table of the test images, where any of them is there."""
    for name in headed(files, _COLUMNS):
        if base(name).casefold().startswith(_TEST):
            rows = parse_table(name, table_content(files, name))
            if any(row["image_id"] in by_stem for row in rows):
                return name, rows
    return None
