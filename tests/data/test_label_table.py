"""Label tables that a user names, and Hugging Face's: any columns, encodings and spellings; contradictions are rejected."""

import random

import pytest
from data_sources import table

from qgan_qiskit.data import read_images
from qgan_qiskit.errors import DataError

KINDS = ["isic2018", "isic2019", "isic2020", "pad", "ham", "stylegan", "hf csv", "hf jsonl"]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@pytest.mark.parametrize("seed", range(12))
def test_any_table_by_its_columns(seed, tree, settings, png, tmp_path):
    rng = random.Random(seed)
    truth = {}
    rows = []
    for k in range(10):
        name = f"{rng.choice(['x', 'y/z'])}/im_{k}.png"
        truth[name] = (rng.choice(["naïve", "b, c", "7"]), f"p{k // 3}", rng.choice(["train", "test"]))
        last = name.rpartition("/")[2]
        cell = rng.choice([name, last, last[:-4], name.replace("/", "\\"), "C:\\old\\" + last, "./" + name])
        rows.append([cell, *truth[name][:2], {"train": "Training", "test": "holdout"}[truth[name][2]]])
    rows.append(["gone.png", "7", "p", "train"])
    text = table(["pic", "what", "who", "set"], rows, rng.choice(",;\t"))
    path = tmp_path / "labels.csv"
    # Excel's own first line, as some programs write it.
    first = rng.choice(["", f"sep={text[3]}\n"])
    path.write_bytes((first + text).encode(rng.choice(ENCODINGS)))
    root = tree({**{name: png(k) for k, name in enumerate(truth)}, "x/extra.png": png(99)})
    columns = {"image_column": "pic", "label_column": "what", "group_column": "who", "split_column": "set"}
    images = read_images(settings(root, table=str(path), split="all", **columns))
    found = {
        name: (images.classes[label], group, split)
        for name, label, group, split in zip(images.names, images.labels_N, images.groups, images.splits, strict=True)
    }
    if {split for _, _, split in truth.values()} == {"train"}:
        truth = {name: (label, group, "") for name, (label, group, _) in truth.items()}
    assert found == truth
    assert any("1 rows name no image" in note for note in images.notes)
    assert any("left out 1 images without a row" in note for note in images.notes)


def test_columns_of_hugging_faces_table_need_no_table_option(tree, settings, png):
    rows = [[f"{k}.png", "ab"[k % 2], f"p{k // 2}", ["train", "test"][k // 4]] for k in range(8)]
    root = tree(
        {f"{k}.png": png(k) for k in range(8)} | {"metadata.csv": table(["file_name", "label", "p", "s"], rows)}
    )
    images = read_images(settings(root, group_column="p", split_column="s", split="all"))
    assert images.groups == tuple(row[2] for row in rows) and images.splits == tuple(row[3] for row in rows)
    with pytest.raises(DataError, match="no column x"):
        read_images(settings(root, group_column="x"))


def test_several_columns_of_0_and_1_are_classes(tree, settings, png):
    labels = ["a", "b", "", "c", "b"]
    rows = [[f"{k}.png", *(f"{float(name == label)}" for name in "abc")] for k, label in enumerate(labels)]
    root = tree({f"x/{k}.png": png(k) for k in range(5)} | {"t.csv": table(["image", "a", "b", "c"], rows)})
    images = read_images(settings(root, table="t.csv", label_column="a, b,c"))
    assert images.counts() == {"a": 1, "b": 2, "c": 1} and any("1 rows have no label" in note for note in images.notes)
    (root / "t.csv").write_text(table(["image", "a", "b", "c"], [[*rows[0][:2], "1", "0"], *rows[1:]]))
    with pytest.raises(DataError, match="at most one may be 1"):
        read_images(settings(root, table="t.csv", label_column="a,b,c"))


def test_a_patient_in_several_splits_of_the_source_is_noted(tree, settings, png):
    rows = [[k, "ab"[k % 2], f"p{k % 3}", ["train", "test"][k // 4]] for k in range(5)]
    root = tree({f"{k}.png": png(k) for k in range(5)} | {"t.csv": table(["image", "label", "p", "s"], rows)})
    images = read_images(settings(root, table="t.csv", group_column="p", split_column="s"))
    parted = {row[2] for row in rows[:4]} & {row[2] for row in rows[4:]}
    assert any(f"{len(parted)} patients or lesions have images in several" in note for note in images.notes)


BAD_TABLES = {
    "no column": ("a,b\n1,2\n", "has no column pic"),
    "conflict": ("pic,what\n1,a\n1.png,b\n", "listed twice with another label"),
    "case": ("pic,what\n1,a\n2,A\n", "differ only in case"),
    "none there": ("pic,what\n7,a\n", "none of them"),
    "latin-1": ("pic,what\n1,é\n".encode("latin-1"), "save it as UTF-8"),
    "utf-16 without a mark": ("pic,what\n1,a\n".encode("utf-16-le"), "save it as UTF-8"),
    "empty": ("pic,what\n", "no rows"),
    "two columns": ("pic,pic,what\n1,1,a\n", "two columns of one name"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_is_refused_in_one_line(case, tree, settings, png, tmp_path):
    content, reason = BAD_TABLES[case]
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    root = tree({"1.png": png(1), "2.png": png(2)})
    with pytest.raises(DataError, match=reason) as caught:
        read_images(settings(root, table=str(path), image_column="pic", label_column="what"))
    assert "\n" not in str(caught.value) and "t.csv" in str(caught.value)


def test_one_name_in_two_folders_must_be_named_with_its_folder(tree, settings, png):
    root = tree({"a/1.png": png(1), "b/1.png": png(2), "t.csv": "file,label\n1.png,x\n"})
    with pytest.raises(DataError, match=r"may be a/1\.png or b/1\.png"):
        read_images(settings(root, table="t.csv"))
    (root / "t.csv").write_text("file,label\na/1.png,x\nb/1.png,y\n")
    assert read_images(settings(root, table="t.csv")).counts() == {"x": 1, "y": 1}
