"""Which layout, class, split and group each image gets, against the generator of small copies; what is ambiguous is refused."""

import csv
import gzip
import io
import json
import random
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from data_sources import picture, small_copy, table
from PIL import Image

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import class_names, layouts, read_images, resolve_split
from qgan_qiskit.data.files import Files, FolderFiles
from qgan_qiskit.data.layouts.class_folders import list_class_folders, parse_split
from qgan_qiskit.data.layouts.listing import Listing
from qgan_qiskit.errors import DataError, UsageError

KINDS = ["isic2018", "isic2019", "isic2020", "pad", "ham", "stylegan", "hf csv", "hf jsonl"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_each_image_has_the_class_group_and_split_of_its_table(kind, zipped, tree, settings, png, tmp_path):
    files, truth = small_copy(kind, png)
    path = tree(files)
    if zipped:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    images = read_images(settings(path, split="all"))
    found = {
        name: (images.classes[label], group, split)
        for name, label, group, split in zip(images.names, images.labels_N, images.groups, images.splits, strict=True)
    }
    assert found == truth
    own = {split for _, _, split in truth.values()} - {""}
    assert resolve_split(settings(path)) == ("train" if own else "all")
    trained = read_images(settings(path))
    assert set(trained.names) == {name for name, (_, _, split) in truth.items() if split in ("", "train")}
    for name, image_HWC in zip(images.names, images.images_NHWC, strict=True):
        with Image.open(io.BytesIO(files[name])) as oracle:
            np.testing.assert_array_equal(image_HWC, np.asarray(oracle.convert("RGB")))


SPELLINGS = {
    "train": ["train", "Training", "train_set", "trainset", "train_images", "TrainingData", "tr", "training-set"],
    "validation": ["val", "valid", "validation", "validate", "val_set", "dev", "Validation_Images"],
    "test": ["test", "testing", "test_set", "test_images", "holdout", "hold-out", "eval", "TestData"],
}


@pytest.mark.parametrize("seed", range(24))
def test_splits_of_any_spelling_depth_and_order_are_splits(seed):
    rng = random.Random(seed)
    spelled = {split: rng.choice(names) for split, names in SPELLINGS.items()}
    used = rng.sample(sorted(spelled), rng.randint(2, 3))
    classes = rng.choice([["mel", "nv"], ["benign", "malignant", "normal"], []])
    outer = rng.choice(["", "data/", "set/set/"])
    class_first = rng.random() < 0.5
    truth = {}
    for split in used:
        for label in classes or [None]:
            parts = [spelled[split]] + ([label] if label else [])
            folder = "/".join(reversed(parts) if class_first else parts)
            for k in range(2):
                truth[f"{outer}{folder}/{split}{k}.png"] = (label, split)
    listing = list_class_folders(SimpleNamespace(root=Path("/data/source"), names=sorted(truth)), DataConfig())
    for name, label, split in zip(listing.names, listing.labels, listing.splits, strict=True):
        assert (label if classes else None, split) == truth[name]
    assert len(listing.names) == len(truth)


@pytest.mark.parametrize(
    "name", ["mel", "nevus", "trained", "attest", "contest", "normal", "evaluated nevus", "0", "IV"]
)
def test_names_of_classes_are_no_splits(name):
    assert parse_split(name) is None


AMBIGUOUS = {
    "folds": ["fold_0/a/1", "fold_1/a/2"],
    "folds in classes": ["a/fold0/1", "b/fold1/2"],
    "a class next to splits": ["train/a/1", "test/a/2", "other/3"],
    "download parts": ["imgs_part_1/1", "imgs_part_2/2"],
    "a nested copy": ["mel/1", "nv/2", "data/mel/1", "data/nv/2"],
    "a class in itself": ["mel/1", "mel/mel/1", "nv/2"],
    "loose images": ["mel/1", "nv/2", "montage"],
    "several depths": ["mel/1", "mel/x/2", "nv/3"],
    "patients": [f"P{k:03}/{k}" for k in range(9)],
    "sites or classes": ["hospital_a/mel/1", "hospital_b/mel/2"],
    "holders": ["images/1", "labels/2"],
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_may_be_no_classes_is_refused_naming_the_option(case, tree, settings, png):
    root = tree({f"{name}.png": png(k) for k, name in enumerate(AMBIGUOUS[case])})
    for ask in (read_images, class_names):
        with pytest.raises(DataError, match="--layout folders") as caught:
            ask(settings(root))
        assert "\n" not in str(caught.value)
    tops = {name.partition("/")[0] for name in AMBIGUOUS[case] if "/" in name}
    assert set(class_names(settings(root, layout="folders"))) == tops
    assert read_images(settings(root, layout="flat")).counts() == {"source": len(AMBIGUOUS[case])}


def test_val_and_test_without_train_are_trained_on_only_when_asked(tree, settings, png):
    root = tree({f"{split}/{label}/1.png": png(1) for split in ("val", "test") for label in ("a", "b")})
    with pytest.raises(DataError, match=r"own splits \(test, validation\)"):
        read_images(settings(root))
    assert set(read_images(settings(root, split="test")).names) == {"test/a/1.png", "test/b/1.png"}


UNLABELLED = {
    "test images next to class folders": (["train/a/1", "train/b/2", "test/3", "test/4"], 2),
    "in a folder of images": (["x/train/a/1", "x/train/b/2", "x/val/a/5", "x/val/b/6", "x/test/images/3"], 1),
}


@pytest.mark.parametrize("case", UNLABELLED)
def test_unlabeled_test_images_beside_labeled_training_images_are_left_out(case, tree, settings, png):
    names, count = UNLABELLED[case]
    images = read_images(settings(tree({f"{name}.png": png(k) for k, name in enumerate(names)})))
    assert images.counts() == {"a": 1, "b": 1} and all("train/" in name for name in images.names)
    assert any(f"left out {count} images of the test split" in note for note in images.notes)


def test_unlabeled_training_images_beside_labeled_test_images_are_refused(tree, settings, png):
    with pytest.raises(DataError, match="--layout folders"):
        read_images(settings(tree({f"{name}.png": png(1) for name in ("train/1", "test/a/2", "test/b/3")})))


def test_a_folder_of_images_in_every_class_is_stepped_over(tree, settings, png):
    names = [f"{label}/{kind}/{label}-{k}.png" for label in ("a", "b") for kind in ("images", "masks") for k in (1, 2)]
    assert read_images(settings(tree({n: png(k) for k, n in enumerate(names)}))).counts() == {"a": 2, "b": 2}


@pytest.mark.parametrize("column", ["label_column", "group_column", "split_column"])
def test_a_column_without_a_table_that_has_it_is_refused(column, tree, settings, png):
    root = tree({"a/1.png": png(1), "b/2.png": png(2)})
    for ask in (read_images, class_names):
        with pytest.raises(UsageError, match="name the table with --table"):
            ask(settings(root, **{column: "x"}))


@pytest.mark.parametrize(
    "option", [{"table": "t.csv"}, {"layout": "folders"}, {"exclude": ("a",)}, {"label_column": "y"}]
)
@pytest.mark.parametrize("path", [None, "sklearn:digits"])
def test_options_on_files_are_refused_where_there_are_none(option, path, tmp_path):
    with pytest.raises(UsageError, match=f"--{next(iter(option)).replace('_', '-')} has no effect"):
        read_images(DataConfig(path=path, resolution=16, cache_dir=str(tmp_path), **option))


@pytest.mark.parametrize("kind", ["isic2018", "isic2019"])
def test_a_one_hot_table_of_another_name_is_known_by_its_columns(kind, tree, settings, png):
    files, truth = small_copy(kind, png)
    (name,) = (name for name in files if name.endswith("Training_GroundTruth.csv"))
    training = {name: label for name, (label, _, split) in truth.items() if split == "train"}
    root = tree({**{name: files[name] for name in training}, "labels (1).csv": files[name]})
    images = read_images(settings(root))
    assert dict(zip(images.names, (images.classes[k] for k in images.labels_N), strict=True)) == training


def test_classes_may_have_photos_in_their_names_and_folders_below_are_noted(tree, settings, png):
    names = ["train/Acne Photos/a/1", "train/Nail Photos/b/2", "test/Acne Photos/3", "test/Nail Photos/4"]
    images = read_images(settings(tree({f"{name}.png": png(k) for k, name in enumerate(names)}), layout="folders"))
    assert images.counts() == {"train": 2, "test": 2}
    only = {f"{name}.png": png(k) for k, name in enumerate(names[:2])}
    images = read_images(settings(tree({f"two/{name}": content for name, content in only.items()}, "other")))
    assert images.counts() == {"Acne Photos": 1, "Nail Photos": 1}
    assert any("such as Acne Photos/a" in note for note in images.notes)


@pytest.mark.parametrize("name", ["labels.csv", "labels.json", "x/labels.tsv"])
def test_a_table_that_nobody_asked_for_is_not_ignored(name, tree, settings, png):
    rows = [["im_1.png", "a"], ["im_2.png", "b"]]
    text = json.dumps(dict(rows)) if name.endswith("json") else table(["f", "y"], rows, "\t")
    root = tree({"x/im_1.png": png(1), "x/im_2.png": png(2), name: text})
    with pytest.raises(DataError, match="--table"):
        read_images(settings(root))
    assert len(read_images(settings(root, layout="flat"))) == 2


OWN = {
    "two classes in splits": (["train/good", "train/bad", "test/good", "test/bad"], {"bad": 1, "good": 1}),
    "two classes": (["good", "bad", "good", "bad"], {"bad": 2, "good": 2}),
    "classes with numbers": (["grade 1", "grade 2", "grade 1", "grade 2"], {"grade 1": 2, "grade 2": 2}),
    "one class in splits": (["train/moles", "train/moles", "test/moles", "test/moles"], {"moles": 2}),
}


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize("case", OWN)
def test_own_folders_precede_a_table_that_was_not_asked_for(case, outside, tree, settings, png):
    text = small_copy("ham", png)[0]["labels of dermatology.csv"]
    folders, counts = OWN[case]
    root = tree({f"mine/{folder}/ISIC_{k}.jpg": png(k) for k, folder in enumerate(folders)})
    (root / ("" if outside else "mine") / "HAM10000_metadata.csv").write_text(text)
    images = read_images(settings(root / "mine"))
    assert images.counts() == counts
    (note,) = (note for note in images.notes if "the folders are used" in note)
    assert "HAM10000_metadata.csv" in note and "--layout ham10000" in note
    assert set(read_images(settings(root / "mine", layout="ham10000")).classes) <= {"MEL", "NV", "BCC"}


@pytest.mark.parametrize("folders", [["set_1", "set_2"], ["archive", "archive (1)"], ["imgs_a", "imgs_b"], ["all"]])
def test_folders_that_only_count_do_not_precede_the_table_inside(folders, tree, settings, png):
    files, truth = small_copy("ham", png)
    text = files["labels of dermatology.csv"]
    root = tree({f"{folders[k % len(folders)]}/ISIC_{k}.jpg": png(k) for k in range(8)} | {"t.csv": text})
    truth = {name.rpartition("/")[2]: label for name, (label, _, _) in truth.items()}
    images = read_images(settings(root))
    assert {
        n.rpartition("/")[2]: images.classes[k] for n, k in zip(images.names, images.labels_N, strict=True)
    } == truth


def test_a_table_of_the_folders_classes_that_says_otherwise_is_refused(tree, settings, png):
    rows = [["1.png", "mel"], ["2.png", "nv"], ["3.png", "mel"]]
    root = tree({"mel/1.png": png(1), "nv/2.png": png(2), "nv/3.png": png(3), "t.csv": table(["f", "y"], rows)})
    with pytest.raises(DataError, match="gives 3 another class than its folder nv"):
        read_images(settings(root))
    (root / "t.csv").write_text(table(["f", "y"], [*rows[:2], ["3.png", "NV"]]))
    images = read_images(settings(root))
    assert images.counts() == {"mel": 1, "nv": 2} and any("the same classes" in note for note in images.notes)


def test_the_table_of_isic_2020_is_found_beside_its_images_and_the_second_version_is_taken(tree, settings, png):
    files, truth = small_copy("isic2020", png)
    header, *rows = csv.reader(io.StringIO(files.pop("train.csv")))
    first = table(header, rows)
    second = table([*header, "lesion_id"], [[*row, f"IL_{row[0]}"] for row in rows])
    root = tree({**files, "ISIC_2020_Training_GroundTruth.csv": first})
    assert read_images(settings(root / "train")).counts() == read_images(settings(root)).counts()
    (root / "ISIC_2020_Training_GroundTruth_v2.csv").write_text(second)
    images = read_images(settings(root))
    assert {images.classes[k] for k in images.labels_N} == {label for label, _, _ in truth.values()}
    assert any("_v2.csv is used, and not ISIC_2020_Training_GroundTruth.csv" in note for note in images.notes)


@pytest.mark.parametrize("main", ["HAM10000_metadata.csv", "renamed.csv"])
def test_the_test_images_in_a_copy_of_ham_are_its_test_split(main, tree, settings, png):
    files, truth = small_copy("ham", png)
    files[main] = text = files.pop("labels of dermatology.csv")
    header = text.splitlines()[0].split(",")
    rows = [[f"T_{k}", f"ISIC_9{k}", "nv", "histo", "50.0", "male", "back"] for k in range(3)]
    test = {f"ISIC2018_Task3_Test_Images/ISIC_9{k}.jpg": png(90 + k) for k in range(3)}
    root = tree({**files, **test, "ISIC2018_Task3_Test_GroundTruth.csv": table(header, rows)})
    assert set(read_images(settings(root)).names) == set(truth)
    assert set(read_images(settings(root, split="test")).names) == set(test)


@pytest.mark.parametrize("name", ["labels.csv.gz", "labels.csv.zip", "labels.xlsx", "labels.parquet", "labels.ods"])
def test_a_table_that_is_not_read_is_not_ignored_where_nothing_else_says_what_images_are(name, tree, settings, png):
    text = table(["f", "y"], [["im_1.png", "a"], ["im_2.png", "b"]])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/sharedStrings.xml" if name.endswith("xlsx") else "labels.csv", text)
    content = packed.getvalue() if name.endswith(("zip", "xlsx")) else gzip.compress(text.encode())
    root = tree({"x/im_1.png": png(1), "x/im_2.png": png(2), name: content})
    with pytest.raises(DataError, match=r"saved as \.csv"):
        read_images(settings(root))
    assert len(read_images(settings(root, layout="flat"))) == 2
    with pytest.raises(DataError, match=r"save it as \.csv|unpack"):
        read_images(settings(root, table=name))


@pytest.mark.parametrize("name", ["ISIC_2019_Training_Input", "ISIC_2020_Training_JPEG", "HAM10000_images_part_1"])
def test_images_of_a_challenge_without_its_table_are_no_class(name, tree, settings, png):
    root = tree({f"{name}/ISIC_1.jpg": png(1), f"{name}/ISIC_2.jpg": png(2)})
    for source in (root, root / name):
        with pytest.raises(DataError, match="--layout flat"):
            read_images(settings(source))
    assert len(read_images(settings(root, layout="flat"))) == 2


def test_masks_and_thumbnails_are_left_out_with_a_note_and_come_back_when_named(tree, settings, png):
    names = [
        "b/b (1).png",
        "b/b (1)_mask.png",
        "b/b (1)_mask_1.png",
        "b/x_Segmentation.png",
        "b/x_thumb.jpg",
        "masks/y.png",
    ]
    root = tree({name: png(k) for k, name in enumerate(names)})
    images = read_images(settings(root))
    assert images.names == ("b/b (1).png",)
    assert any("left out 4 masks" in note for note in images.notes)
    assert any("left out 1 thumbnails" in note for note in images.notes)
    assert set(read_images(settings(root, include=("*",), layout="flat")).names) == set(names)
    assert read_images(settings(root, include=("masks/*",))).names == ("masks/y.png",)
    assert len(read_images(settings(root, exclude=("*(1)*",), include=("b/*",)))) == 2
    with pytest.raises(DataError, match="matches none of the 6 images"):
        read_images(settings(root, exclude=("nothing*",)))


@pytest.mark.parametrize("name", ["all", "ALL", "none", "auto"])
def test_no_class_name_is_reserved(name, tree, settings, png):
    root = tree({f"{name}/1.png": png(1), "other/2.png": png(2)})
    assert read_images(settings(root)).counts() == {name: 1, "other": 1}
    assert read_images(settings(root, class_name=name)).counts() == {name: 1}


def test_a_folder_name_that_is_no_utf8_is_shown_as_windows_has_it(tree, settings, png, tmp_path):
    root = tree({"nv/1.png": png(1)})
    folder = bytes(root) + b"/m\xe9lanome"
    import os

    os.makedirs(folder)  # noqa: PTH103 - a name of bytes
    with open(folder + b"/2.png", "wb") as file:  # noqa: PTH123
        file.write(png(2))
    images = read_images(settings(root))
    assert images.counts() == {"mélanome": 1, "nv": 1} and images.names == ("mélanome/2.png", "nv/1.png")
    np.testing.assert_array_equal(images.images_NHWC[0], np.asarray(picture(2)))


def list_toy(files: Files, config: DataConfig) -> Listing | None:
    """Classes by the first letter of the names in ``toy.txt``."""
    if "toy.txt" not in files.names:
        return None
    names = files.read("toy.txt").decode().split()
    return Listing(names, [name[0] for name in names], [], tuple(sorted({name[0] for name in names})), layout="toy set")


def test_a_layout_is_one_function_and_one_line_in_the_list(tree, settings, png, monkeypatch):
    root = tree({"a1.png": png(1), "b2.png": png(2), "b3.png": png(3), "toy.txt": "b2.png a1.png"})
    with pytest.raises(UsageError, match=r"--layout toy is not one of .*ham10000"):
        read_images(settings(root, layout="toy"))
    monkeypatch.setattr(layouts, "LAYOUTS", (*layouts.LAYOUTS, layouts.Layout("toy", list_toy)))
    for layout in ("auto", "toy"):
        images = read_images(settings(root, layout=layout))
        assert (images.names, images.classes, images.layout) == (("b2.png", "a1.png"), ("a", "b"), "toy set")
        np.testing.assert_array_equal(images.images_NHWC[0], np.asarray(picture(2)))
    (root / "toy.txt").unlink()
    with pytest.raises(DataError, match="--layout toy"):
        read_images(settings(root, layout="toy"))


@pytest.mark.parametrize("split", [None, "train"])
def test_reading_scans_a_source_once_and_lists_it_once_for_all_questions(split, tree, settings, png, monkeypatch):
    calls = []
    scan, detect = FolderFiles.__init__, layouts._detect
    monkeypatch.setattr(FolderFiles, "__init__", lambda self, root: (calls.append("scan"), scan(self, root))[1])
    monkeypatch.setattr(layouts, "_detect", lambda *given: (calls.append("list"), detect(*given))[1])
    root = tree({f"{label}/{k}.png": png(k + 50 * (label == "b")) for label in "ab" for k in range(20)})
    config = settings(root, split=split)
    read_images(config)
    assert calls == ["scan", "list"]
    class_names(config)
    resolve_split(settings(root))
    assert calls == ["scan", "list", "scan", "scan"]
    (root / "c").mkdir()
    (root / "c" / "1.png").write_bytes(png(99))
    assert class_names(config) == ("a", "b", "c")
