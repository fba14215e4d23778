"""ISIC 2019, HAM10000, Fitzpatrick17k and folders of classes: who gets which label, group and note."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from data_sources import picture, table
from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import class_names, read_images
from qgan_qiskit.data.layouts.class_folders import list_class_folders
from qgan_qiskit.errors import DataError

ISIC_HEADER = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
ISIC_CLASSES = ISIC_HEADER.split(",")[1:]


def isic_table(classes: dict[str, str]) -> str:
    rows = [
        f"{image},{','.join('1.0' if name == own else '0.0' for name in ISIC_CLASSES)}"
        for image, own in classes.items()
    ]
    return "\n".join([ISIC_HEADER, *rows]) + "\n"


ISIC = {"ISIC_3": "NV", "ISIC_1": "MEL", "ISIC_2_downsampled": "NV", "ISIC_9": "BCC", "ISIC_4": "BCC"}
GROUND_TRUTH = "ISIC_2019_Training_GroundTruth.csv"
INPUT = "ISIC_2019_Training_Input"


@pytest.fixture
def isic_files(png):
    files = {f"{INPUT}/{image}.jpg": png(seed) for seed, image in enumerate(ISIC) if image != "ISIC_9"}
    metadata = "image,age_approx,anatom_site_general,lesion_id,sex\nISIC_1,,,L7,\nISIC_3,50,,,male\nISIC_77,,,L9,\n"
    return {
        **files,
        f"{INPUT}/ATTRIBUTION.txt": "by somebody",
        GROUND_TRUTH: isic_table(ISIC),
        "ISIC_2019_Training_Metadata.csv": metadata,
    }


def test_isic_labels_groups_and_missing_images(isic_files, tree, settings):
    images = read_images(settings(tree(isic_files)))
    assert images.classes == ("MEL", "NV", "BCC")  # the table's order, not the alphabet's
    stems = [name.rpartition("/")[2].removesuffix(".jpg") for name in images.names]
    assert stems == ["ISIC_1", "ISIC_2_downsampled", "ISIC_3", "ISIC_4"]
    assert [images.classes[label] for label in images.labels_N] == [ISIC[stem] for stem in stems]
    assert images.groups == ("L7", "", "", "")
    order = list(ISIC)
    for image_HWC, stem in zip(images.images_NHWC, stems, strict=True):
        np.testing.assert_array_equal(image_HWC, np.asarray(picture(order.index(stem))))
    assert any("4 of the 5 images" in note and "1 have no file" in note for note in images.notes)


@pytest.mark.parametrize("prefix", [f"{INPUT}/{INPUT}/", "deep/er/", ""])
def test_isic_images_may_lie_in_any_folder(prefix, isic_files, tree, settings):
    moved = {name.replace(f"{INPUT}/", prefix): content for name, content in isic_files.items()}
    assert read_images(settings(tree(moved))).counts() == {"MEL": 1, "NV": 2, "BCC": 1}


def test_isic_image_folder_alone_finds_the_table_beside_it_and_notices_its_change(isic_files, tree, settings):
    root = tree(isic_files)
    config = settings(root / INPUT)
    assert read_images(config).counts() == {"MEL": 1, "NV": 2, "BCC": 1}
    (root / GROUND_TRUTH).write_text(isic_table({**ISIC, "ISIC_3": "VASC"}))
    assert read_images(config).counts() == {"MEL": 1, "NV": 1, "BCC": 1, "VASC": 1}


def test_isic_without_the_downsampled(isic_files, tree, settings):
    images = read_images(settings(tree(isic_files), drop_downsampled=True))
    assert images.counts() == {"MEL": 1, "NV": 1, "BCC": 1}
    assert "left out 1 images named *_downsampled" in images.notes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no rows"),
        (ISIC_HEADER + "\n", "has no rows"),
        ("image,MEL,NV\nISIC_1,1,0\n", "expected the columns image,MEL,NV,BCC"),
        (ISIC_HEADER + ",age\nISIC_1,1,0,0,0,0,0,0,0,0,5\n", "found image,MEL"),
        (ISIC_HEADER + "\nISIC_1,1,1,0,0,0,0,0,0,0\n", "image ISIC_1 has the cells 1,1,0"),
        (ISIC_HEADER + "\nISIC_1,0,0,0,0,0,0,0,0,0\n", "not one 1 among 0s"),
        (ISIC_HEADER + "\nISIC_1,0.5,0.5,0,0,0,0,0,0,0\n", "not one 1 among 0s"),
        (ISIC_HEADER + "\nISIC_1,nan,1,0,0,0,0,0,0,0\n", "not one 1 among 0s"),
        (ISIC_HEADER + "\nISIC_1,yes,0,0,0,0,0,0,0,0\n", "not one 1 among 0s"),
        (ISIC_HEADER + "\nISIC_1,1,0,0\n", "line 2: not 10 cells"),
        (ISIC_HEADER + "\nISIC_1,1,0,0,0,0,0,0,0,0,0,0\n", "line 2: not 10 cells"),
        (isic_table({"ISIC_1": "MEL"}) + isic_table({"ISIC_1": "NV"}).splitlines()[1], "is listed twice"),
        (isic_table({"ISIC_8": "MEL"}), "such as ISIC_8.jpg"),
        (b"\xff\xfe\x00i\x00", "cannot read"),
    ],
)
def test_isic_table_that_is_not_the_original_is_refused(text, reason, tree, settings, png):
    root = tree({"ISIC_1.jpg": png(1), GROUND_TRUTH: text})
    for ask in (read_images, class_names):
        with pytest.raises(DataError) as caught:
            ask(settings(root))
        assert reason in str(caught.value) and GROUND_TRUTH in str(caught.value) and "\n" not in str(caught.value)


def test_isic_two_files_for_one_image(isic_files, tree, settings, png):
    images = read_images(settings(tree({**isic_files, "A copy/ISIC_1.jpg": png(50)})))
    assert "A copy/ISIC_1.jpg" in images.names and len(images) == 4
    assert any(note.startswith("1 image files have the name of another") for note in images.notes)


HAM_HEADER = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]


@pytest.mark.parametrize("name", ["HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab"])
def test_ham_labels_and_lesions(name, tree, settings, png):
    rows = [["L1", "I2", "nv"], ["L1", "I1", "nv"], ["L2", "I3", "akiec"], ["L3", "I4", "mel"]]
    text = table(HAM_HEADER, [[*row, "", "", "", ""] for row in rows])
    if name.endswith(".tab"):
        text = text.replace(",", "\t")
    files = {"HAM10000_images_part_1/I1.jpg": png(1), "HAM10000_images_part_2/I2.jpg": png(2), "x/I3.jpg": png(3)}
    images = read_images(settings(tree({name: text, **files})))
    assert images.counts() == {"AKIEC": 1, "NV": 2}
    assert images.groups == ("L1", "L1", "L2") and images.labels_N.tolist() == [1, 1, 0]
    assert any("3 of the 4 images" in note and "1 have no file" in note for note in images.notes)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([["L1", "I1", "wart"]], "dx 'wart', not one of akiec, bcc"),
        ([["L1", "I1", "nv"], ["L1", "I1", "mel"]], "lists 1 images twice"),
        ([["L1", "I7", "nv"]], "such as I7.jpg"),
    ],
)
def test_ham_table_that_is_not_the_original_is_refused(rows, reason, tree, settings, png):
    root = tree({"HAM10000_metadata.csv": table(HAM_HEADER[:3], rows), "I1.jpg": png(1)})
    with pytest.raises(DataError, match=r"HAM10000_metadata\.csv") as caught:
        read_images(settings(root))
    assert reason in str(caught.value)


FITZ_HEADER = ["md5hash", "three_partition_label", "nine_partition_label", "url_alphanum"]
FITZ_ROWS = [
    ["aa11", "benign", "benign dermal", "httpa.jpg"],
    ["bb22", "malignant", "malignant melanoma", "httpbjpg.jpg"],
    ["cc33", "benign", "benign epidermal", "httpc.jpg"],
    ["aa11", "benign", "benign dermal", "httpa.jpg"],
    ["dd44", "non-neoplastic", "inflammatory", ""],
    ["ee55", "non-neoplastic", "inflammatory", "httpe.jpg"],
]


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ("three", {"benign": 2, "malignant": 1, "non-neoplastic": 1}),
        ("nine", {"benign dermal": 1, "benign epidermal": 1, "inflammatory": 1, "malignant melanoma": 1}),
    ],
)
def test_fitzpatrick_finds_images_by_hash_or_link(labels, counts, tree, settings, png):
    files = {"a/aa11.jpg": png(1), "a/httpbjpg.jpg": png(2), "cc33": png(3), "b/ee55.PNG": png(4)}
    images = read_images(settings(tree({"fitzpatrick17k.csv": table(FITZ_HEADER, FITZ_ROWS), **files}), labels=labels))
    assert images.counts() == counts
    assert images.names == ("a/aa11.jpg", "a/httpbjpg.jpg", "cc33", "b/ee55.PNG")
    assert any("4 of the 5 images" in note and "1 have no file" in note for note in images.notes)
    assert any("lists 1 images twice" in note for note in images.notes)


def test_fitzpatrick_without_images_says_what_was_looked_for(tree, settings):
    with pytest.raises(DataError, match=r"fitzpatrick17k.csv lists 5 images, but none of them \(such as aa11.jpg\)"):
        read_images(settings(tree({"fitzpatrick17k.csv": table(FITZ_HEADER, FITZ_ROWS)})))


FOLDERS = {
    "classes": (["b/1", "a/1", "a/2"], {"a": 2, "b": 1}),
    "folders in classes": (["b/y/1", "a/x/1", "a/z/2"], {"a": 2, "b": 1}),
    "one class": (["MEL/1", "MEL/2"], {"MEL": 2}),
    "wrapped": (["set/a/1", "set/b/1"], {"a": 1, "b": 1}),
    "wrapped twice": (["set/set/a/1", "set/set/b/1"], {"a": 1, "b": 1}),
    "images only": (["1", "2"], {"source": 2}),
    "wrapped images only": (["lesions/1"], {"lesions": 1}),
    "splits": (["train/a/1", "train/b/1", "val/a/2", "test/b/2"], {"a": 1, "b": 1}),
    "wrapped splits": (["set/Train/a/1", "set/Test/a/2"], {"a": 1}),
    "splits without classes": (["train/1", "test/2"], {"source": 1}),
    "train only": (["train/a/1", "train/b/2"], {"a": 1, "b": 1}),
    "hidden": (["a/1", "a/.2", ".git/3", "__MACOSX/a/4"], {"a": 1}),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folder_layouts(case, tree, settings, png):
    names, counts = FOLDERS[case]
    root = tree({f"{name}.png": png(seed) for seed, name in enumerate(names)})
    images = read_images(settings(root))
    assert images.counts() == counts and class_names(settings(root)) == tuple(counts)
    for name, image_HWC in zip(images.names, images.images_NHWC, strict=True):
        np.testing.assert_array_equal(image_HWC, np.asarray(picture(names.index(name.removesuffix(".png")))))
    left_out = any("own splits" in note for note in images.notes)
    assert left_out == (case in ("splits", "wrapped splits", "splits without classes"))


def test_files_that_are_no_images_are_noted(tree, settings, png):
    images = read_images(settings(tree({"a/1.png": png(1), "a/notes.txt": "x", "a/list.csv": "y"})))
    assert "left out 2 files without an image suffix, such as a/list.csv" in images.notes


def test_an_empty_folder_says_what_was_looked_for(tree, settings):
    with pytest.raises(DataError, match=r"no images under .*source: looked for.* found no files$"):
        read_images(settings(tree({})))


@pytest.mark.parametrize("asked", ["b", "B"])
def test_only_the_class_that_is_asked_for_is_decoded(asked, tree, settings, png):
    root = tree({"a/1.png": b"broken", "b/1.png": png(1), "b/2.png": png(2)})
    images = read_images(settings(root, class_name=asked))
    assert images.classes == ("b",) and len(images) == 2 and images.labels_N.tolist() == [0, 0]
    with pytest.raises(DataError, match="cannot be read"):
        read_images(settings(root, class_name="all"))
    with pytest.raises(DataError, match="no class 'c' in the data: choose one of a, b, or 'all'"):
        read_images(settings(root, class_name="c"))


def test_limit_decodes_no_more_than_it_takes(tree, settings, png):
    whole = tree({f"{name}/{number}.png": png(number) for name in "ab" for number in range(5)}, "whole")
    taken = read_images(settings(whole, limit=2))
    assert taken.counts() == {"a": 2, "b": 2}
    files = {
        f"{name}/{number}.png": png(number) if f"{name}/{number}.png" in taken.names else b"broken"
        for name in "ab"
        for number in range(5)
    }
    assert read_images(settings(tree(files), limit=2)).names == taken.names


@given(
    names=st.lists(
        st.lists(st.sampled_from(["a", "b", "train", "test", "x"]), min_size=0, max_size=3).map(tuple),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
def test_whatever_the_folders_each_listed_image_exists_once_and_its_label_is_on_its_path(names):
    files = SimpleNamespace(root=Path("/data/source"), names=sorted("/".join([*parts, "i.png"]) for parts in names))
    try:
        listing = list_class_folders(files, DataConfig())
    except DataError as error:
        assert "--layout folders" in str(error) and "\n" not in str(error)
        return
    assert list(listing.names) == files.names
    assert set(listing.labels) == set(listing.classes)
    for name, label, split in zip(listing.names, listing.labels, listing.splits, strict=True):
        assert label == "source" or label in name.split("/")[:-1]
        assert not split or split in name.split("/")[:-1]
        assert label not in ("train", "test")
