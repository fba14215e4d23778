"""ISIC 2018 (task 3) and ISIC 2019 as the challenge archives unpack: one-hot label tables and folders of JPEG images.

Each table is a split of the source's own. The lesion_id of a metadata table, where there is one, becomes the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, basename, printable, stem
from qgan_qiskit.data.layouts.clinical import HAM_TABLES
from qgan_qiskit.data.layouts.listing import LabelTable, Layout, Listing, index_images, note_unlisted
from qgan_qiskit.data.layouts.tables import Row, check_columns, find_table, read_table, read_table_with, table_error

OFFICIAL_ROWS_2019 = 25_331
# Columns of ISIC 2019's test table that are not classes: they weight an image in the challenge's score.
_WEIGHTS = ("score_weight", "validation_weight")


@dataclass(frozen=True)
class _Challenge:
    """The label table of each split of a challenge, with one column per class, and its tables of lesions.

    A table of such a name whose header lacks ``header_contains`` is not the challenge's.
    """

    title: str
    classes: tuple[str, ...]
    tables: Mapping[str, str]
    lesion_tables: tuple[str, ...]
    header_contains: str = ""

    def all_tables(self) -> tuple[str, ...]:
        """Return the names of all tables."""
        return (*self.tables.values(), *self.lesion_tables)


_ISIC_2019 = _Challenge(
    title="ISIC 2019",
    classes=("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"),
    tables={"train": "ISIC_2019_Training_GroundTruth.csv", "test": "ISIC_2019_Test_GroundTruth.csv"},
    lesion_tables=("ISIC_2019_Training_Metadata.csv", "ISIC_2019_Test_Metadata.csv"),
)
_ISIC_2018 = _Challenge(
    title="ISIC 2018 task 3",
    classes=("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"),
    tables={
        "train": "ISIC2018_Task3_Training_GroundTruth.csv",
        "validation": "ISIC2018_Task3_Validation_GroundTruth.csv",
        "test": "ISIC2018_Task3_Test_GroundTruth.csv",
    },
    lesion_tables=("ISIC2018_Task3_Training_LesionGroupings.csv",),
    # HAM10000 comes with a table of the same name as the test table, and other columns.
    header_contains="AKIEC",
)


def _list_isic2019(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ISIC 2019, in any subfolder, or return None when there is no label table."""
    listing = _list_challenge(files, _ISIC_2019)
    if listing is None or not config.drop_downsampled:
        return listing
    kept = [row for row, name in enumerate(listing.names) if "_downsampled" not in stem(name)]
    return listing.take(kept).with_notes(f"left out {len(listing.names) - len(kept):,} images named *_downsampled")


def _list_isic2018(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ISIC 2018 task 3, in any subfolder, or return None when there is no label table."""
    return _list_challenge(files, _ISIC_2018)


ISIC_2019 = Layout("isic2019", _list_isic2019, _ISIC_2019.all_tables())
ISIC_2018 = Layout("isic2018", _list_isic2018, _ISIC_2018.all_tables())


def _list_challenge(files: Files, challenge: _Challenge) -> Listing | None:
    """List the images of all label tables that are there.

    Raises:
        DataError: another header, cells that are not one-hot, an image listed twice, or no image at all.
    """
    file_of, notes = index_images(files)
    tables = _read_label_tables(files, challenge)
    if not tables:
        return None
    label_of: dict[str, str] = {}
    split_of: dict[str, str] = {}
    coverage = []
    for split, (name, rows) in tables.items():
        own = _parse_one_hot(name, rows, challenge.classes)
        repeated = next((image for image in own if image in label_of), None)
        if repeated is not None:
            first = next(iter(tables.values()))[0]
            raise table_error(
                name, f"image {printable(repeated)} is in {printable(first)} too; download the original tables"
            )
        label_of |= own
        split_of |= dict.fromkeys(own, split)
        coverage.append(LabelTable(name, challenge.title, own).coverage(file_of))
        if challenge is _ISIC_2019 and split == "train" and len(rows) > OFFICIAL_ROWS_2019:
            coverage.append(f"{name} has {len(rows):,} rows, the original has {OFFICIAL_ROWS_2019:,}: an edited copy")
    name, rows = next(iter(tables.values()))
    folder = basename(name).replace("GroundTruth.csv", "Input")
    table = LabelTable(name, challenge.title, label_of, _read_lesions(files, challenge), split_of)
    listing = table.list_images(
        files, file_of, challenge.classes, f"{rows[0]['image']}.jpg", f"unpack {printable(folder)} there"
    )
    return listing and listing.with_notes(*coverage, *notes, *note_unlisted(file_of, label_of))


def _read_label_tables(files: Files, challenge: _Challenge) -> dict[str, tuple[str, list[Row]]]:
    """Return name and rows of the label table of each split; a single one of another name is recognized by its columns."""
    read = {
        split: read_table(files, name, header_contains=challenge.header_contains)
        for split, name in challenge.tables.items()
    }
    # HAM10000's own table, where it is there, has the lesions too.
    if not any(read.values()) and find_table(files, *HAM_TABLES) is None:
        read = {"train": read_table_with(files, ("image", *challenge.classes))}
    tables = {split: table for split, table in read.items() if table is not None}
    for name, rows in tables.values():
        weights = [column for column in _WEIGHTS if rows and column in rows[0]]
        check_columns(name, rows, ("image", *challenge.classes, *weights), no_others=True)
    return tables


def _parse_one_hot(table: str, rows: list[Row], classes: tuple[str, ...]) -> dict[str, str]:
    """Return the class of each image."""
    label_of: dict[str, str] = {}
    for row in rows:
        image = row["image"]
        cells = [row[name] for name in classes]
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            values = []
        if sorted(values) != [0.0] * (len(classes) - 1) + [1.0]:
            found = printable(",".join(cells))
            raise table_error(
                table, f"image {printable(image)} has the cells {found}, not one 1 among 0s", original=True
            )
        if image in label_of:
            raise table_error(table, f"image {printable(image)} is listed twice", original=True)
        label_of[image] = classes[values.index(1.0)]
    return label_of


def _read_lesions(files: Files, challenge: _Challenge) -> dict[str, str]:
    """Return the lesion_id of each image; empty without a metadata table."""
    lesion_of: dict[str, str] = {}
    for table_name in challenge.lesion_tables:
        found = read_table(files, table_name)
        if found is None:
            continue
        name, rows = found
        if "_Test_" in table_name and rows and "lesion_id" not in rows[0]:
            continue  # The lesions of the test images are not published.
        check_columns(name, rows, ("image", "lesion_id"))
        lesion_of |= {row["image"]: row["lesion_id"] for row in rows}
    return lesion_of
