"""Synthetic lesions: the same bytes for the same seed, independent of their neighbors, and three classes that differ."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import class_names, make_synthetic_lesions, read_images
from qgan_qiskit.data.layouts.synthetic import SYNTHETIC_CLASSES
from qgan_qiskit.errors import DataError


def test_an_image_does_not_depend_on_how_many_or_which_others_are_made():
    few, many = make_synthetic_lesions(3, 32, seed=5), make_synthetic_lesions(7, 32, seed=5)
    alone = make_synthetic_lesions(7, 32, seed=5, classes=("keratosis",))
    for name in SYNTHETIC_CLASSES:
        np.testing.assert_array_equal(few.select(name).images_NHWC, many.select(name).images_NHWC[:3])
    np.testing.assert_array_equal(alone.images_NHWC, many.select("keratosis").images_NHWC)
    assert len(np.unique(many.images_NHWC.reshape(21, -1), axis=0)) == 21


def test_another_process_makes_the_same_bytes_and_another_seed_others():
    code = (
        "import hashlib; from qgan_qiskit.data import make_synthetic_lesions;"
        "print(hashlib.sha256(make_synthetic_lesions(2, 32, seed=2**63 - 1).images_NHWC.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert hashlib.sha256(make_synthetic_lesions(2, 32, seed=2**63 - 1).images_NHWC.tobytes()).hexdigest() == other
    assert make_synthetic_lesions(2, 32, seed=1).digest != make_synthetic_lesions(2, 32, seed=0).digest


@pytest.mark.parametrize("resolution", [16, 64, 96])
def test_any_resolution_shows_the_same_composition(resolution):
    # The same random numbers at another size: the coarse image must agree.
    small = make_synthetic_lesions(2, 16, seed=3).images_NHWC.astype(float)
    step = resolution // 16
    large = make_synthetic_lesions(2, resolution, seed=3).images_NHWC.astype(float)
    assert large.shape == (6, resolution, resolution, 3)
    coarse = large.reshape(6, 16, step, 16, step, 3).mean((2, 4))
    assert np.abs(coarse - small).mean() < 12


def _features(images_NHWC: np.ndarray) -> np.ndarray:
    """Mean and spread of each color, and of brightness steps between neighbors, in the middle of each image."""
    middle = images_NHWC[:, 12:-12, 12:-12].astype(float) / 255
    gray = middle.mean(3)
    return np.concatenate(
        [
            middle.mean((1, 2)),
            middle.std((1, 2)),
            np.abs(np.diff(gray, axis=1)).mean((1, 2))[:, None],
            np.quantile(gray.reshape(len(gray), -1), [0.02, 0.1, 0.5, 0.9], axis=1).T,
            (middle[..., 0] - middle[..., 2]).mean((1, 2))[:, None],
        ],
        axis=1,
    )


def test_the_classes_can_be_told_apart_by_simple_features():
    lesions = make_synthetic_lesions(80, 64, seed=9)
    features = _features(lesions.images_NHWC)
    features = np.column_stack([(features - features.mean(0)) / features.std(0), np.ones(len(features))])
    train = np.arange(len(features)) % 2 == 0
    targets = np.eye(3)[lesions.labels_N]
    weights = np.linalg.lstsq(features[train], targets[train], rcond=None)[0]
    right = (features[~train] @ weights).argmax(1) == lesions.labels_N[~train]
    assert right.mean() > 0.7  # 0.33 by chance


def test_skin_surrounds_a_darker_lesion():
    lesions = make_synthetic_lesions(60, 64, seed=2).images_NHWC.astype(float)
    middle = lesions[:, 24:40, 24:40].mean((1, 2, 3))
    ring = np.median(lesions[:, [14, 49], 14:50].mean(3).reshape(len(lesions), -1), axis=1)
    assert (middle < ring).mean() > 0.9
    skin = np.median(lesions[:, 8:16, 24:40].reshape(-1, 3), axis=0)
    assert skin[0] > skin[1] > skin[2] > 80  # reddish, not gray, not dark


def test_reading_without_a_path_generates_lesions_and_caches_them(tmp_path):
    config = DataConfig(resolution=16, synthetic_per_class=8, cache_dir=str(tmp_path))
    images = read_images(config, seed=4)
    assert images.counts() == dict.fromkeys(SYNTHETIC_CLASSES, 8) and class_names(config) == SYNTHETIC_CLASSES
    assert images.digest == make_synthetic_lesions(8, 16, 4).digest == read_images(config, seed=4).digest
    assert read_images(config, seed=5).digest != images.digest
    nevus = read_images(config.model_copy(update={"class_name": "NEVUS", "limit": 2}), seed=4)
    assert nevus.names == ("synthetic/nevus/0", "synthetic/nevus/1") and nevus.classes == ("nevus",)
    assert any("not medical images" in note for note in images.notes)
    with pytest.raises(DataError, match="no class 'MEL' in the data: choose one of nevus, melanoma, keratosis"):
        read_images(config.model_copy(update={"class_name": "MEL"}))
