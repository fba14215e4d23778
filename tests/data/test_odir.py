"""ODIR-5k: the class of the eye, the group of the patient, the better of two copies, and no other table of that name."""

import ast
import io
import random

import numpy as np
import pandas
import pytest
from data_sources import MemoryFiles, picture, table

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import class_names, read_images
from qgan_qiskit.data.layouts.clinical import ODIR_5K
from qgan_qiskit.errors import DataError

HEADER_LINE = (
    "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,Right-Diagnostic Keywords,"
    "N,D,G,C,A,H,M,O,filepath,labels,target,filename"
)
HEADER = HEADER_LINE.split(",")
CLASSES = "NDGCAHMO"
TRAINING = "ODIR-5K/ODIR-5K/Training Images"


def eye(patient: int | str, side: str, own: str, other: str = "N") -> list[str]:
    """Return a row as in the original: keywords with a full-width comma, the patient's columns, the eye's own class."""
    filename = f"{patient}_{side}.jpg"
    both = {own, other}
    return [
        str(patient), "69", "Female", f"{patient}_left.jpg", f"{patient}_right.jpg", "laser spot，drusen", "normal fundus",
        *["1" if name in both else "0" for name in CLASSES],
        f"../input/ocular-disease-recognition-odir5k/ODIR-5K/Training Images/{filename}",
        f"['{own}']", str([int(name == own) for name in CLASSES]), filename,
    ]  # fmt: skip


def table_of(rows: list[list[str]]) -> str:
    return table(HEADER, rows)


# In the original the right eyes come first.
ROWS = [
    eye(0, "right", "N", "C"),
    eye(2, "right", "D"),
    eye(10, "right", "O"),
    eye(0, "left", "C"),
    eye(2, "left", "D", "O"),
]
STEMS = ["0_left", "0_right", "10_right", "2_left", "2_right"]  # sorted as text


@pytest.fixture
def odir_files(png):
    """All eyes but 2_left, and one that the table does not list."""
    images = {f"preprocessed_images/{stem}.jpg": png(seed) for seed, stem in enumerate(STEMS) if stem != "2_left"}
    return {"full_df.csv": table_of(ROWS), "preprocessed_images/937_left.jpg": png(99), **images}


def test_labels_groups_and_missing_images(odir_files, tree, settings):
    root = tree(odir_files)
    images = read_images(settings(root))
    assert images.classes == class_names(settings(root)) == ("N", "D", "C", "O")
    assert images.names == tuple(f"preprocessed_images/{stem}.jpg" for stem in STEMS if stem != "2_left")
    assert [images.classes[label] for label in images.labels_N] == ["C", "N", "O", "D"]
    assert images.groups == ("0", "0", "10", "2")
    for image_HWC, seed in zip(images.images_NHWC, (0, 1, 2, 4), strict=True):
        np.testing.assert_array_equal(image_HWC, np.asarray(picture(seed)))
    assert images.notes[0] == "ODIR-5k: 4 of the 5 images of full_df.csv are there, 1 have no file"


@pytest.mark.parametrize("folder", ["", f"{TRAINING}/", "archive/preprocessed_images/", "x/"])
def test_images_may_lie_in_any_folder(folder, odir_files, tree, settings):
    moved = {name.replace("preprocessed_images/", folder): content for name, content in odir_files.items()}
    assert read_images(settings(tree(moved))).counts() == {"N": 1, "D": 1, "C": 1, "O": 1}


def test_of_two_copies_of_an_eye_the_cut_one_is_used(odir_files, tree, settings, png):
    copies = {f"{TRAINING}/{stem}.jpg": png(50 + seed) for seed, stem in enumerate(STEMS)}
    images = read_images(settings(tree({**odir_files, **copies})))
    assert len(images) == 5 and not any("no file" in note for note in images.notes)
    folders = {stem: name.rpartition("/")[0] for name, stem in zip(images.names, STEMS, strict=True)}
    assert folders.pop("2_left") == TRAINING and set(folders.values()) == {"preprocessed_images"}
    np.testing.assert_array_equal(images.images_NHWC[0], np.asarray(picture(0)))
    assert images.notes[1].startswith("4 image files") and "preprocessed_images" in images.notes[1]


def test_the_folder_of_images_alone_finds_the_table_above_it_and_notices_its_change(odir_files, tree, settings):
    root = tree(odir_files)
    config = settings(root / "preprocessed_images")
    assert read_images(config).counts() == {"N": 1, "D": 1, "C": 1, "O": 1}
    assert isinstance(read_images(config).images_NHWC, np.memmap)
    (root / "full_df.csv").write_text(table_of([eye(2, "right", "H"), *ROWS[2:]]))
    assert read_images(config).counts() == {"C": 1, "H": 1, "O": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (table_of([]), "has no rows"),
        (
            table(["ID", "Right-Fundus"], [["0", "0_right.jpg"]]),
            "expected the columns ID,labels,filename, found ID,Right-",
        ),
        (
            table_of(ROWS).replace("['D']", "['X']"),
            "image 2_right.jpg has the labels ['X'], not one of ['N'] ['D'] ['G']",
        ),
        (table_of([[*row[:16], "['N', 'D']", *row[17:]] for row in ROWS]), "has the labels ['N', 'D'], not one of"),
        (table_of(ROWS).replace("['O']", ""), "image 10_right.jpg has the labels , not one of"),
        (table_of([*ROWS, ROWS[0]]), "lists 1 images twice"),
        (table_of([[" ", *row[1:]] for row in ROWS]), "image 0_right.jpg has no ID"),
        (table_of([eye(77, "left", "N")]), "such as 77_left.jpg) is under"),
        (table_of(ROWS) + "1,2,3\n", "line 7: not 19 cells"),
        (table_of(ROWS).encode().replace(b"drusen", b"\xff"), "cannot read"),
    ],
)
def test_a_table_that_is_not_the_original_is_refused(text, reason, odir_files, tree, settings):
    root = tree({**odir_files, "full_df.csv": text})
    for ask in (read_images, class_names):
        with pytest.raises(DataError) as caught:
            ask(settings(root))
        assert reason in str(caught.value) and "full_df.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "date,price\n2020-01-01,5\n",
        "a,b\n1,2,3\n",
        "",
        b"\xff\xfea\x00,\x00b\x00",
        "id;labels;filename\n1;x;y\n",
        "eye,text\n1,Fundus\n",
    ],
)
@pytest.mark.parametrize("place", ["source/full_df.csv", "source/a/full_df.csv", "full_df.csv"])
def test_another_table_of_that_name_is_nothing_to_folders_of_classes(text, place, tree, settings, png, tmp_path):
    root = tree({"a/1.png": png(1), "b/1.png": png(2)})
    (tmp_path / place).write_bytes(text.encode() if isinstance(text, str) else text)
    assert read_images(settings(root)).counts() == {"a": 1, "b": 1}
    assert class_names(settings(root)) == ("a", "b")


def test_the_table_beside_an_unrelated_folder_says_nothing_about_it(tree, settings, png, tmp_path):
    (tmp_path / "full_df.csv").write_text(table_of(ROWS))
    assert read_images(settings(tree({"a/1.png": png(1), "b/1.png": png(2)}))).classes == ("a", "b")


def generated(seed: int) -> tuple[str, list[str]]:
    """Return a random table and random names of files, some of them not listed."""
    rng = random.Random(seed)
    patients = rng.sample(range(5000), rng.randint(1, 40))
    eyes = [(patient, side) for patient in patients for side in ("left", "right") if rng.random() < 0.8]
    eyes = eyes or [(patients[0], "left")]
    rng.shuffle(eyes)
    text = table_of([eye(patient, side, rng.choice(CLASSES), rng.choice(CLASSES)) for patient, side in eyes])
    folders = ("preprocessed_images", TRAINING, "ODIR-5K/ODIR-5K/Testing Images")
    known = [f"{patient}_{side}.jpg" for patient, side in eyes]
    strangers = [f"{number}_left.jpg" for number in rng.sample(range(5000, 6000), 5)]
    files = {f"{rng.choice(folders)}/{name}" for name in known + strangers if rng.random() < 0.9}
    files |= {f"{rng.choice(folders)}/{name}" for name in known if rng.random() < 0.3}
    return text, sorted(files)


def test_generated_tables_are_read_as_pandas_reads_them():
    found = 0
    for seed in range(25):
        text, names = generated(seed)
        files = MemoryFiles({"full_df.csv": text.encode(), **dict.fromkeys(names, b"")})
        rows = pandas.read_csv(io.StringIO(text), dtype={"ID": str})
        rows["own"] = rows["labels"].map(ast.literal_eval).str[0]
        assert (rows["own"] == rows["target"].map(lambda cell: CLASSES[ast.literal_eval(cell).index(1)])).all()
        there = {name.rpartition("/")[2] for name in names}
        rows = rows[rows["filename"].isin(there)].sort_values("filename")
        if rows.empty:
            with pytest.raises(DataError, match="none of them"):
                ODIR_5K.list_images(files, DataConfig())
            continue
        listing = ODIR_5K.list_images(files, DataConfig())
        found += len(rows)
        assert [name.rpartition("/")[2] for name in listing.names] == rows["filename"].tolist()
        assert list(listing.labels) == rows["own"].tolist()
        assert list(listing.groups) == rows["ID"].tolist()
        assert listing.classes == tuple(name for name in CLASSES if name in set(rows["own"]))
        for name in listing.names:
            cut = f"preprocessed_images/{name.rpartition('/')[2]}"
            assert name in names and (name == cut or cut not in names)
    assert found > 200


@pytest.fixture
def many(tree, png):
    """Both eyes of 40 patients, of two classes."""
    eyes = [(patient, side) for patient in range(40) for side in ("left", "right")]
    rows = [eye(patient, side, "ND"[(patient + (side == "left")) % 2]) for patient, side in eyes]
    images = {
        f"preprocessed_images/{patient}_{side}.jpg": png(2 * patient + (side == "left")) for patient, side in eyes
    }
    return tree({"full_df.csv": table_of(rows), **images})


def test_both_eyes_of_a_patient_are_in_one_split(many, settings):
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.3}
    split_of: dict[str, str] = {}
    count = 0
    for split in ("train", "validation", "test"):
        images = read_images(settings(many, split=split, **fractions))
        assert all(split_of.setdefault(patient, split) == split for patient in images.groups)
        assert sorted(images.groups) == sorted(2 * list(set(images.groups)))
        for name in "ND":
            one = read_images(settings(many, split=split, class_name=name, **fractions))
            assert one.names == images.select(name).names
        assert read_images(settings(many, split=split, limit=3, **fractions)).names == images.limit(3).names
        count += len(images)
    assert count == 80 and len(split_of) == 40 and len(set(split_of.values())) == 3
