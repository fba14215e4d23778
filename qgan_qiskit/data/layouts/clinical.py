"""Clinical data sets whose label table has a row per image: HAM10000, Fitzpatrick17k, ODIR-5k, ISIC 2020, PAD-UFES-20.

Images may lie in any subfolder. The lesion or patient that the table names becomes the group.
"""

from __future__ import annotations

from collections.abc import Mapping

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data.files import Files, basename, is_image, printable, stem
from qgan_qiskit.data.layouts.label_table import LabeledImage, list_rows
from qgan_qiskit.data.layouts.listing import PATIENT_NOTE, LabelTable, Layout, Listing, index_images, note_unlisted
from qgan_qiskit.data.layouts.tables import (
    Row,
    check_columns,
    find_tables_with,
    index_rows,
    parse_table,
    read_content,
    read_table,
    read_table_with,
    table_error,
)

# Kaggle's copy ends in .csv, Harvard Dataverse's in .tab or in nothing.
HAM_TABLES = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
_HAM_COLUMNS = ("image_id", "lesion_id", "dx")
_HAM_CLASSES = ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")
# Its test images come with a table of these columns that has the name of ISIC 2018's test table.
_HAM_TEST = "isic2018_task3_test"


def _list_ham10000(files: Files, config: DataConfig) -> Listing | None:
    """List the images of HAM10000, or return None when there is no metadata table.

    The table is recognized by its name or its columns. The test images of ISIC 2018, if they are there with their own table
    (as in the copy of Harvard Dataverse), are the source's own test split.

    Raises:
        DataError: another header, an unknown diagnosis, an image listed twice, or no image at all.
    """
    found = read_table(files, *HAM_TABLES) or read_table_with(files, _HAM_COLUMNS, not_named=_HAM_TEST)
    file_of, notes = index_images(files)
    test = _find_ham_test(files, file_of)
    if found is None and test is None:
        return None
    name, rows = found or test or ("", [])
    check_columns(name, rows, _HAM_COLUMNS)
    row_of = index_rows(name, rows, "image_id")
    training = set(row_of) if found else set()
    if found and test:
        row_of = {**index_rows(test[0], test[1], "image_id"), **row_of}
    label_of = {image: row["dx"].strip().upper() for image, row in row_of.items()}
    unknown = next((image for image, label in label_of.items() if label not in _HAM_CLASSES), None)
    if unknown is not None:
        raise table_error(
            name,
            f"image {printable(unknown)} has dx '{printable(row_of[unknown]['dx'])}', "
            f"not one of {', '.join(_HAM_CLASSES).lower()}",
            original=True,
        )
    table = LabelTable(
        name,
        "HAM10000",
        label_of,
        {image: row["lesion_id"] for image, row in row_of.items()},
        {image: "train" if image in training else "test" for image in row_of},
    )
    remedy = "unpack HAM10000_images_part_1 and _part_2 there"
    listing = table.list_images(files, file_of, _HAM_CLASSES, f"{rows[0]['image_id']}.jpg", remedy)
    if found and test:
        table.name = f"{name} and {test[0]}"
    return listing and listing.with_notes(table.coverage(file_of), *notes, *note_unlisted(file_of, label_of))


def _find_ham_test(files: Files, file_of: Mapping[str, str]) -> tuple[str, list[Row]] | None:
    """Return the table of the test images, if any of them is there."""
    for name in find_tables_with(files, _HAM_COLUMNS):
        if basename(name).casefold().startswith(_HAM_TEST):
            rows = parse_table(name, read_content(files, name))
            if any(row["image_id"] in file_of for row in rows):
                return name, rows
    return None


def _list_fitzpatrick17k(files: Files, config: DataConfig) -> Listing | None:
    """List the images of Fitzpatrick17k, or return None when there is no such table.

    The data set is a table of links; the user downloads the images and names them md5hash (with an image suffix or without)
    or url_alphanum. ``config.labels`` chooses between its three and its nine classes.

    Raises:
        DataError: another header, or no image at all.
    """
    found = read_table(files, "fitzpatrick17k.csv")
    if found is None:
        return None
    name, rows = found
    label_column = f"{config.labels}_partition_label"
    check_columns(name, rows, ("md5hash", label_column, "url_alphanum"))
    row_of: dict[str, Row] = {}
    for row in rows:
        row_of.setdefault(row["md5hash"], row)
    label_of = {image: row[label_column] for image, row in row_of.items()}
    table = LabelTable(name, "Fitzpatrick17k", label_of)
    file_of = _find_fitzpatrick_files(files, row_of)
    remedy = "download the images by the table's links and put them there"
    listing = table.list_images(files, file_of, sorted(set(label_of.values())), f"{rows[0]['md5hash']}.jpg", remedy)
    repeated = len(rows) - len(row_of)
    note = f"{name} lists {repeated:,} images twice (same md5hash); the first row counts"
    return listing and listing.with_notes(table.coverage(file_of), *([note] if repeated else []))


def _find_fitzpatrick_files(files: Files, row_of: Mapping[str, Row]) -> dict[str, str]:
    """Return the file of each md5hash that has one."""
    by_key: dict[str, str] = {}
    for name in files.names:
        last = basename(name)
        if is_image(last) or "." not in last:
            by_key.setdefault(stem(last), name)
        by_key.setdefault(last, name)
    file_of = {}
    for md5, row in row_of.items():
        link = row["url_alphanum"]
        file = by_key.get(md5) or (by_key.get(link) or by_key.get(stem(link)) if link else None)
        if file is not None:
            file_of[md5] = file
    return file_of


# Normal, diabetes, glaucoma, cataract, age-related macular degeneration, hypertension, myopia, other.
_ODIR_CLASSES = ("N", "D", "G", "C", "A", "H", "M", "O")
_ODIR_LABELS = {f"['{name}']": name for name in _ODIR_CLASSES}
# Of two copies of an eye, the one that was cropped to the fundus.
_ODIR_FOLDER = "preprocessed_images"


def _list_odir5k(files: Files, config: DataConfig) -> Listing | None:
    """List the eyes of ODIR-5k as Kaggle distributes it, or return None when there is no such table.

    The class is the eye's own, from ``labels``; the columns N to O describe both eyes of the patient together.

    Raises:
        DataError: another header, labels that are not one class, a row without ID, an image listed twice, or no image.
    """
    # Many projects have a table of that name; only this one has a fundus in its header.
    found = read_table(files, "full_df.csv", header_contains="Fundus")
    if found is None:
        return None
    name, rows = found
    check_columns(name, rows, ("ID", "labels", "filename"))
    row_of = index_rows(name, rows, "filename")
    for row in rows:
        image, labels = printable(row["filename"]), printable(row["labels"])
        if row["labels"] not in _ODIR_LABELS:
            reason = f"image {image} has the labels {labels}, not one of {' '.join(_ODIR_LABELS)}"
            raise table_error(name, reason, original=True)
        if not row["ID"].strip():
            raise table_error(name, f"image {image} has no ID", original=True)
    file_of, notes = index_images(files, _ODIR_FOLDER)
    label_of = {image: _ODIR_LABELS[row["labels"]] for image, row in row_of.items()}
    table = LabelTable(name, "ODIR-5k", label_of, {image: row["ID"] for image, row in row_of.items()})
    listing = table.list_images(files, file_of, _ODIR_CLASSES, rows[0]["filename"], f"unpack {_ODIR_FOLDER} there")
    return listing and listing.with_notes(table.coverage(file_of), *notes, PATIENT_NOTE)


_ISIC_2020_COLUMNS = ("image_name", "patient_id", "diagnosis", "benign_malignant")
_ISIC_2020_LABELS = ("benign_malignant", "diagnosis", "target")


def _list_isic2020(files: Files, config: DataConfig) -> Listing | None:
    """List the images of ISIC 2020, or return None without its table, which is recognized by its columns.

    The class is ``benign_malignant``, since most diagnoses in this set are ``unknown``; ``config.label_column`` selects
    ``diagnosis`` or ``target`` instead.

    Raises:
        DataError: another label column, or what ``list_rows`` rejects.
    """
    # The second version of the table has lesions too; both may be there.
    found = read_table_with(files, (*_ISIC_2020_COLUMNS, "lesion_id")) or read_table_with(files, _ISIC_2020_COLUMNS)
    if found is None:
        return None
    name, rows = found
    column = config.label_column or _ISIC_2020_LABELS[0]
    if rows and (column not in _ISIC_2020_LABELS or column not in rows[0]):
        raise table_error(name, f"--label-column {printable(column)} is not one of {', '.join(_ISIC_2020_LABELS)}")
    others = " or ".join(label for label in _ISIC_2020_LABELS if label != column)
    notes = [f"classes are those of {column}; --label-column {others} selects others", PATIENT_NOTE]
    notes += [
        f"{printable(name)} is used, and not {printable(other)}, which is of the same kind"
        for other in find_tables_with(files, _ISIC_2020_COLUMNS)
        if other != name
    ]
    images = [LabeledImage(row["image_name"], row[column], row["patient_id"]) for row in rows]
    return list_rows(files, name, images, "ISIC 2020", notes)


def _list_pad_ufes_20(files: Files, config: DataConfig) -> Listing | None:
    """List the images of PAD-UFES-20, or return None without its table, which is recognized by its columns."""
    found = read_table_with(files, ("patient_id", "diagnostic", "img_id"))
    if found is None:
        return None
    name, rows = found
    images = [LabeledImage(row["img_id"], row["diagnostic"], row["patient_id"]) for row in rows]
    return list_rows(files, name, images, "PAD-UFES-20", [PATIENT_NOTE])


HAM10000 = Layout("ham10000", _list_ham10000, tables=HAM_TABLES)
FITZPATRICK17K = Layout("fitzpatrick17k", _list_fitzpatrick17k, tables=("fitzpatrick17k.csv",))
ODIR_5K = Layout("odir5k", _list_odir5k, tables=("full_df.csv",))
ISIC_2020 = Layout("isic2020", _list_isic2020, columns=("label_column",))
PAD_UFES_20 = Layout("pad-ufes-20", _list_pad_ufes_20)
