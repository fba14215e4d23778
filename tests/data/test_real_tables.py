"""The readers on the real label tables and images, compared with another way of counting them."""

import csv
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from qgan_qiskit.data import class_names, read_images
from qgan_qiskit.data.files import FolderFiles
from qgan_qiskit.data.layouts import list_images


class Everything(FolderFiles):
    """A folder in which every image that a table asks for exists (as a name)."""

    def __init__(self, root, images):
        super().__init__(root)
        self.names = sorted([*self.names, *images])


def _rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _place(shared, tmp_path, source, name):
    shutil.copyfile(shared / "labels" / source, tmp_path / name)
    return _rows(tmp_path / name)


def test_isic_small_set_has_the_counts_of_its_readme(shared, settings):
    config = settings(shared / "isic2019_64")
    listing = list_images(FolderFiles(shared / "isic2019_64"), config)
    assert Counter(listing.labels) == {"MEL": 3_362, "NV": 9_649, "BCC": 2_486}
    assert listing.classes == class_names(config) == ("MEL", "NV", "BCC")
    truth = {row["image"]: row for row in _rows(shared / "isic2019_64" / "collections.csv")}
    for name, label in zip(listing.names, listing.labels, strict=True):
        assert truth[name.rpartition("/")[2].removesuffix(".jpg")]["class"] == label


def test_isic_images_are_the_files_pixels_and_come_from_the_cache_next_time(shared, settings):
    config = settings(shared / "isic2019_64", limit=40, resolution=64)
    first, second = read_images(config), read_images(config)
    assert first.counts() == {"MEL": 40, "NV": 40, "BCC": 40}
    assert not isinstance(first.images_NHWC, np.memmap) and isinstance(second.images_NHWC, np.memmap)
    assert first.digest == second.digest
    for row in range(0, 120, 13):
        with Image.open(shared / "isic2019_64" / first.names[row]) as image:
            np.testing.assert_array_equal(first.images_NHWC[row], np.asarray(image))


def test_one_class_is_its_part_of_all(shared, settings):
    everything = read_images(settings(shared / "isic2019_64", limit=25))
    melanoma = read_images(settings(shared / "isic2019_64", limit=25, class_name="mel"))
    assert melanoma.digest == everything.select("MEL").digest and len(melanoma) == 25


def test_isic_whole_table(shared, tmp_path, settings):
    rows = _place(shared, tmp_path, "ISIC_2019_Training_GroundTruth.full.csv", "ISIC_2019_Training_GroundTruth.csv")
    files = Everything(tmp_path, [f"ISIC_2019_Training_Input/{row['image']}.jpg" for row in rows])
    listing = list_images(files, settings(tmp_path))
    assert Counter(listing.labels) == {
        "NV": 12_875, "MEL": 4_522, "BCC": 3_323, "BKL": 2_624, "AK": 867, "SCC": 628, "VASC": 253, "DF": 239,
    }  # fmt: skip
    fewer = list_images(files, settings(tmp_path, drop_downsampled=True))
    assert len(fewer.names) == 25_331 - 2_074
    assert Counter(fewer.labels)["NV"] == 11_559 and Counter(fewer.labels)["MEL"] == 4_148


def test_ham_whole_table(shared, tmp_path, settings):
    rows = _place(shared, tmp_path, "HAM10000_metadata.csv", "HAM10000_metadata.csv")
    files = Everything(
        tmp_path, [f"HAM10000_images_part_{1 + n % 2}/{row['image_id']}.jpg" for n, row in enumerate(rows)]
    )
    listing = list_images(files, settings(tmp_path))
    assert Counter(listing.labels) == Counter(row["dx"].upper() for row in rows)
    assert len(listing.names) == 10_015 and Counter(listing.labels)["NV"] == 6_705
    group_of = {row["image_id"]: row["lesion_id"] for row in rows}
    assert all(group_of[n[-16:-4]] == group for n, group in zip(listing.names, listing.groups, strict=True))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("three", {"non-neoplastic": 12_080, "malignant": 2_263, "benign": 2_234}),
        (
            "nine",
            {
                "inflammatory": 10_886,
                "malignant epidermal": 1_352,
                "genodermatoses": 1_194,
                "benign dermal": 1_067,
                "benign epidermal": 931,
                "malignant melanoma": 573,
                "benign melanocyte": 236,
                "malignant cutaneous lymphoma": 182,
                "malignant dermal": 156,
            },
        ),
    ],
)
def test_fitzpatrick_whole_table(labels, expected, shared, tmp_path, settings):
    rows = _place(shared, tmp_path, "fitzpatrick17k.csv", "fitzpatrick17k.csv")
    files = Everything(tmp_path, [f"finalfitz17k/{row['md5hash']}.jpg" for row in rows])
    assert Counter(list_images(files, settings(tmp_path, labels=labels)).labels) == expected


def test_fitzpatrick_by_link_names(shared, tmp_path, settings):
    rows = _place(shared, tmp_path, "fitzpatrick17k.csv", "fitzpatrick17k.csv")
    listing = list_images(Everything(tmp_path, [row["url_alphanum"] for row in rows if row["url"]]), settings(tmp_path))
    assert len(listing.names) == 16_536
    label_of = {row["url_alphanum"]: row["three_partition_label"] for row in rows}
    assert list(listing.labels) == [label_of[name] for name in listing.names]
