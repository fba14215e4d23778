"""ISIC 2019 and ISIC 2018 task 3 as the challenge archives unpack: one-hot tables and folders of JPEG images they name.

ISIC 2020: a table of patients and diagnoses, and a folder of images.
"""

from __future__ import annotations

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, shown, stem
from qgan_qiskit.data.layouts import ham10000 as ham
from qgan_qiskit.data.layouts.listing import (
    Listing,
    check_columns,
    find_table,
    headed,
    images_by_stem,
    not_listed,
    read_headed,
    read_table,
)
from qgan_qiskit.data.layouts.table import Row, list_rows
from qgan_qiskit.errors import DataError

TABLE = "ISIC_2019_Training_GroundTruth.csv"
METADATA = "ISIC_2019_Training_Metadata.csv"
TEST_TABLE = "ISIC_2019_Test_GroundTruth.csv"
TEST_METADATA = "ISIC_2019_Test_Metadata.csv"
# Columns of the test table that are no classes: they weight an image in the challenge's score.
_WEIGHTS = ("score_weight", "validation_weight")
CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
OFFICIAL_ROWS = 25_331
TABLES_2018 = {
    "train": "ISIC2018_Task3_Training_GroundTruth.csv",
    "validation": "ISIC2018_Task3_Validation_GroundTruth.csv",
    "test": "ISIC2018_Task3_Test_GroundTruth.csv",
}
LESIONS_2018 = "ISIC2018_Task3_Training_LesionGroupings.csv"
CLASSES_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def list_isic(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ISIC 2019, or return None when ``files`` has no ground-truth table.

    The images may lie in any subfolder (some copies nest the image folder twice). The lesion_id of the metadata table,
    where there is one, becomes the group; the training and test tables are the source's own splits.

    Raises:
        DataError: another header, cells that are not one-hot, an image listed twice, or no image at all.
    """
    listing = _list(
        files, "ISIC 2019", CLASSES, {"train": TABLE, "test": TEST_TABLE}, (METADATA, TEST_METADATA), "lesion_id"
    )
    if listing is None:
        return None
    if config.drop_downsampled:
        kept = [row for row, name in enumerate(listing.names) if "_downsampled" not in stem(name)]
        note = f"left out {len(listing.names) - len(kept):,} images named *_downsampled"
        listing = listing.take(kept, CLASSES, note)
    return listing


def list_isic2018(files: Files, config: DataConfig) -> Listing | None:
    """List the images of task 3 of ISIC 2018, or return None when ``files`` has no ground-truth table of it.

    The lesion groupings, where they are there, become groups; the three ground truths are the source's own splits.

    Raises:
        DataError: as :func:`list_isic`.
    """
    return _list(files, "ISIC 2018 task 3", CLASSES_2018, TABLES_2018, (LESIONS_2018,), "lesion_id")


def _list(
    files: Files, title: str, classes: tuple[str, ...], tables: dict[str, str], lesions: tuple[str, ...], column: str
) -> Listing | None:
    """List the images of all one-hot tables that are there, each of which is a split."""
    class_of: dict[str, str] = {}
    split_of: dict[str, str] = {}
    notes: list[str] = []
    found_tables: list[tuple[str, list[dict[str, str]]]] = []
    by_stem, doubles = images_by_stem(files)
    # HAM10000's own copy of ISIC 2018's test table has the same name and other columns.
    has = "" if title == "ISIC 2019" else "AKIEC"
    by_split = {split: read_table(files, table_name, header_has=has) for split, table_name in tables.items()}
    if not any(by_split.values()) and find_table(files, *ham.TABLES) is None:
        # One table of another name is taken by its columns; HAM10000's own, where it is there, knows the lesions too.
        by_split = {"train": read_headed(files, ("image", *classes))}
    for split, found in by_split.items():
        if found is None:
            continue
        table, rows = found
        extra = tuple(name for name in _WEIGHTS if rows and name in rows[0])
        check_columns(table, rows, ("image", *classes, *extra), no_others=True)
        own = _classes(table, rows, classes)
        twice = next((image for image in own if image in class_of), None)
        if twice is not None:
            raise DataError(
                f"{shown(table)}: image {shown(twice)} is in {found_tables[0][0]} too; fetch the original tables"
            )
        class_of |= own
        split_of |= dict.fromkeys(own, split)
        found_tables.append((table, rows))
        there = sum(image in by_stem for image in own)
        missing = len(own) - there
        notes.append(
            f"{title}: {there:,} of the {len(own):,} images of {table} are there"
            + (f", {missing:,} have no file" if missing else "")
        )
        if title == "ISIC 2019" and split == "train" and len(rows) > OFFICIAL_ROWS:
            notes.append(f"{table} has {len(rows):,} rows, the original has {OFFICIAL_ROWS:,}: an edited copy")
    if not found_tables:
        return None
    chosen = sorted(image for image in class_of if image in by_stem)
    table, rows = found_tables[0]
    if not chosen:
        if table not in files.names:
            return None  # The table beside an unrelated folder says nothing about it.
        folder = table.rpartition("/")[2].replace("GroundTruth.csv", "Input")
        raise DataError(
            f"{shown(table)} lists {len(rows):,} images, but none of them (such as {shown(rows[0]['image'])}.jpg) "
            f"is under {shown(str(files.root))}: unpack {folder} there"
        )
    present = {class_of[image] for image in chosen}
    group_of = _lesions(files, lesions, column)
    return Listing(
        names=[by_stem[image] for image in chosen],
        labels=[class_of[image] for image in chosen],
        groups=[group_of.get(image, "") for image in chosen],
        classes=tuple(name for name in classes if name in present),
        notes=(*notes, *doubles, *not_listed(by_stem, chosen)),
        splits=[split_of[image] for image in chosen],
        layout=title,
    )


def _classes(table: str, rows: list[dict[str, str]], classes: tuple[str, ...]) -> dict[str, str]:
    """Return the class of each image of the one-hot table."""
    class_of: dict[str, str] = {}
    for row in rows:
        cells = [row[name] for name in classes]
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            values = []
        if sorted(values) != [0.0] * (len(classes) - 1) + [1.0]:
            raise DataError(
                f"{shown(table)}: image {shown(row['image'])} has the cells {shown(','.join(cells))}, not one 1 "
                "among 0s; fetch the original table"
            )
        if row["image"] in class_of:
            raise DataError(f"{shown(table)}: image {shown(row['image'])} is listed twice; fetch the original table")
        class_of[row["image"]] = classes[values.index(1.0)]
    return class_of


def _lesions(files: Files, tables: tuple[str, ...], column: str) -> dict[str, str]:
    """Return the lesion_id of each image; empty without a metadata table."""
    lesion_of: dict[str, str] = {}
    for table_name in tables:
        found = read_table(files, table_name)
        if found is None:
            continue
        table, rows = found
        if table_name == TEST_METADATA and rows and column not in rows[0]:
            continue  # The test images' lesions are not published.
        check_columns(table, rows, ("image", column))
        lesion_of |= {row["image"]: row[column] for row in rows}
    return lesion_of


_COLUMNS = ("image_name", "patient_id", "diagnosis", "benign_malignant")
_LABELS = ("benign_malignant", "diagnosis", "target")


def list_isic2020(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ISIC 2020, or return None without its table, which is known by its columns.

    The class is ``benign_malignant``, as most diagnoses of this set are ``unknown``; ``config.label_column`` takes
    ``diagnosis`` or ``target`` in its place. The patient becomes the group.

    Raises:
        DataError: another label column, or what ``list_rows`` refuses.
    """
    # The second version of the table names the lesions too; both may lie there.
    found = read_headed(files, (*_COLUMNS, "lesion_id")) or read_headed(files, _COLUMNS)
    if found is None:
        return None
    table, rows = found
    column = config.label_column or _LABELS[0]
    if rows and (column not in _LABELS or column not in rows[0]):
        raise DataError(f"{shown(table)}: --label-column {shown(column)} is not one of {', '.join(_LABELS)}")
    said = [
        f"classes are those of {column}; --label-column {' or '.join(name for name in _LABELS if name != column)} takes others",
        "images of a patient are never parted: where notes count lesions, these are patients",
    ]
    others = [name for name in headed(files, _COLUMNS) if name != table]
    said += [f"{shown(table)} is used, and not {shown(name)}, which is of the same kind" for name in others]
    listed = [Row(row["image_name"], row[column], row["patient_id"]) for row in rows]
    return list_rows(files, table, listed, "ISIC 2020", said)
