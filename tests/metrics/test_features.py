"""Cached features of real images equal computed ones, and are not used if anything they depend on differs."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from qgan_qiskit.config import EvaluationConfig
from qgan_qiskit.metrics import Evaluator
from qgan_qiskit.metrics.inception import Inception

pytestmark = pytest.mark.usefixtures("small_inception")


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def seen(monkeypatch) -> list[int]:
    """The size of each batch that went through the network."""
    counts: list[int] = []
    forward = Inception.forward

    def counted(self, images_NCHW, outputs):
        counts.append(len(images_NCHW))
        return forward(self, images_NCHW, outputs)

    monkeypatch.setattr(Inception, "forward", counted)
    return counts


@pytest.fixture
def measure(small_weights, tmp_path):
    """Return a function: real images, settings -> results of 12 generated images, with a cache in tmp_path/cache."""

    def measured(real: np.ndarray, folder: str = "cache", held_out: np.ndarray | None = None, **settings):
        config = EvaluationConfig(
            **{"metrics": "fid,memorization", "bootstrap": 0, "fid_weights": str(small_weights), **settings}
        )
        evaluator = Evaluator(config, real, held_out, cache_dir=tmp_path / folder)
        return [result.as_dict() for result in evaluator.measure(images(12, seed=9))]

    return measured


def test_second_measurement_computes_generated_images_alone(measure, seen):
    real, held_out = images(20), images(10, seed=1)
    first, computed = measure(real, held_out=held_out), sum(seen)
    seen.clear()
    assert measure(real, held_out=held_out) == first
    assert sum(seen) == computed - 30


def test_generated_images_are_not_cached(measure, tmp_path):
    measure(images(20), held_out=images(10, seed=1))
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("change", ["one pixel", "filter", "weights", "order"])
def test_anything_else_is_computed_again(change, measure, seen, tmp_path, weights_up_to):
    real, settings = images(20), {}
    measure(real)
    if change == "one pixel":
        real[7, 3, 3, 1] ^= 1
    elif change == "order":
        real = real[::-1]
    elif change == "filter":
        settings["resize"] = "bicubic-antialias"
    else:
        settings = {"fid_weights": str(weights_up_to(192)), "feature_layer": "64"}
    fresh = measure(real, folder="other", **settings)
    computed = sum(seen)
    seen.clear()
    measure(real, folder="other", **settings)
    assert sum(seen) < computed
    seen.clear()
    assert measure(real, **settings) == fresh
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text", "rows"])
def test_damaged_file_is_replaced(damage, measure, tmp_path):
    first = measure(images(20))
    (path,) = (tmp_path / "cache").iterdir()
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[len(data) // 2] ^= 4
    if damage == "rows":
        np.savez(path, np.zeros((3, 64), np.float32))
    else:
        path.write_bytes({"cut": data[:-40], "bit": data, "empty": b"", "text": b"PK features"}[damage])
    assert measure(images(20)) == first
    assert path.read_bytes() != bytes(data) if damage == "bit" else path.stat().st_size > 1000


def test_folder_that_cannot_be_made(measure, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert measure(images(20), folder="file/cache") == measure(images(20))


def test_files_long_unread_are_removed(measure, tmp_path):
    measure(images(20))
    (old,) = (tmp_path / "cache").iterdir()
    os.utime(old, (0, time.time() - 100 * 86_400))
    measure(images(21))
    assert not old.exists()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_reading_renews_a_file(measure, tmp_path):
    measure(images(20))
    (path,) = (tmp_path / "cache").iterdir()
    os.utime(path, (0, time.time() - 100 * 86_400))
    measure(images(20))
    assert path.stat().st_mtime > time.time() - 1000
