"""ISIC 2019 as the challenge archive unpacks: a one-hot table and a folder of JPEG images named by the table."""

from __future__ import annotations

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, shown
from qgan_qiskit.data.listing import Listing, check_columns, images_by_stem, read_table
from qgan_qiskit.errors import DataError

TABLE = "ISIC_2019_Training_GroundTruth.csv"
METADATA = "ISIC_2019_Training_Metadata.csv"
CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
OFFICIAL_ROWS = 25_331


def list_isic(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ISIC 2019, or return None when ``files`` has no ground-truth table.

    The images may lie in any subfolder (some copies nest the image folder twice). The lesion_id of the metadata table,
    where there is one, becomes the group.

    Raises:
        DataError: another header, cells that are not one-hot, an image listed twice, or no image at all.
    """
    found = read_table(files, TABLE)
    if found is None:
        return None
    table, rows = found
    check_columns(table, rows, ("image", *CLASSES), no_others=True)
    class_of = _classes(table, rows)
    by_stem, notes = images_by_stem(files)
    chosen = sorted(image for image in class_of if image in by_stem)
    if not chosen:
        if table not in files.names:
            return None  # The table beside an unrelated folder says nothing about it.
        raise DataError(
            f"{shown(table)} lists {len(rows):,} images, but none of them (such as {shown(rows[0]['image'])}.jpg) "
            f"is under {shown(str(files.root))}: unpack ISIC_2019_Training_Input there"
        )
    missing = len(class_of) - len(chosen)
    head = f"ISIC 2019: {len(chosen):,} of the {len(class_of):,} images of {table} are there"
    notes = (head + (f", {missing:,} have no file" if missing else ""), *notes)
    if len(rows) > OFFICIAL_ROWS:
        notes = (*notes, f"{table} has {len(rows):,} rows, the original has {OFFICIAL_ROWS:,}: an edited copy")
    if config.drop_downsampled:
        kept = [image for image in chosen if "_downsampled" not in image]
        notes = (*notes, f"left out {len(chosen) - len(kept):,} images named *_downsampled")
        chosen = kept
    present = {class_of[image] for image in chosen}
    group_of = _lesions(files)
    return Listing(
        names=[by_stem[image] for image in chosen],
        labels=[class_of[image] for image in chosen],
        groups=[group_of.get(image, "") for image in chosen],
        classes=tuple(name for name in CLASSES if name in present),
        notes=notes,
    )


def _classes(table: str, rows: list[dict[str, str]]) -> dict[str, str]:
    """Return the class of each image of the one-hot table."""
    class_of: dict[str, str] = {}
    for row in rows:
        cells = [row[name] for name in CLASSES]
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            values = []
        if sorted(values) != [0.0] * (len(CLASSES) - 1) + [1.0]:
            raise DataError(
                f"{shown(table)}: image {shown(row['image'])} has the cells {shown(','.join(cells))}, not one 1 "
                "among 0s; fetch the original table"
            )
        if row["image"] in class_of:
            raise DataError(f"{shown(table)}: image {shown(row['image'])} is listed twice; fetch the original table")
        class_of[row["image"]] = CLASSES[values.index(1.0)]
    return class_of


def _lesions(files: Files) -> dict[str, str]:
    """Return the lesion_id of each image; empty without the metadata table."""
    found = read_table(files, METADATA)
    if found is None:
        return {}
    table, rows = found
    check_columns(table, rows, ("image", "lesion_id"))
    return {row["image"]: row["lesion_id"] for row in rows}
