"""scikit-learn's digits as a source: levels, classes, sizes, and a name that is no path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import absolute_source, class_names, read_images
from qgan_qiskit.errors import DataError


def config(**fields: object) -> DataConfig:
    return DataConfig(**{"path": "sklearn:digits", "resolution": 8, **fields})


def test_all_digits_with_their_labels():
    images, table = read_images(config()), load_digits()
    assert images.images_NHWC.shape == (1797, 8, 8, 3)
    assert images.classes == class_names(config()) == tuple("0123456789")
    np.testing.assert_array_equal(images.labels_N, table.target)
    for channel in range(3):
        np.testing.assert_allclose(images.images_NHWC[..., channel] * (16 / 255), table.images, atol=0.04)
    assert set(np.unique(images.images_NHWC)) == {round(level * 255 / 16) for level in range(17)}
    assert len(set(images.names)) == 1797
    assert images.digest == read_images(config(path="sklearn:digits", augment="none")).digest


def test_one_class_and_a_limit():
    whole = read_images(config())
    for name in ("0", "7"):
        one = read_images(config(class_name=name))
        assert one.classes == (name,)
        assert one.names == whole.select(name).names
        np.testing.assert_array_equal(one.images_NHWC, whole.select(name).images_NHWC)
        assert read_images(config(class_name=name, limit=5)).names == one.limit(5).names
    assert read_images(config(limit=3)).counts() == dict.fromkeys("0123456789", 3)
    assert read_images(config(class_name="all")).digest == whole.digest


def test_other_sizes_are_resized_as_files_are():
    small, large = read_images(config(limit=2)), read_images(config(limit=2, resolution=20))
    for image_HWC, expected_HWC in zip(large.images_NHWC, small.images_NHWC, strict=True):
        resized = Image.fromarray(expected_HWC).resize((20, 20), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(image_HWC, np.asarray(resized))


def test_unknown_names_are_refused():
    with pytest.raises(DataError, match="no class 'zero' in the data: choose one of 0, 1, 2"):
        read_images(config(class_name="zero"))
    with pytest.raises(
        DataError, match=r"no data at sklearn:faces: name a folder, \.zip or \.npz of images, or sklearn:digits"
    ):
        read_images(config(path="sklearn:faces"))


def test_the_name_is_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_source("sklearn:digits") == "sklearn:digits"
    assert absolute_source("images") == str(tmp_path / "images")
    assert absolute_source("~/images") == str(Path.home() / "images")
    assert absolute_source("./sklearn:digits") == str(tmp_path / "sklearn:digits")
