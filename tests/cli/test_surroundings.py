"""Machines that lack something: a home, room on the disk, locks, an extra."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from qgan_qiskit.config.base import expanded
from qgan_qiskit.data import cache
from qgan_qiskit.data.dataset import ImageSet
from qgan_qiskit.errors import UsageError


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """A user without a home folder, whose temporary files lie in a folder of the test."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def unknown(path):
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", unknown)
    return tmp_path


def images():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    return ImageSet(pixels, np.zeros(4, np.int64), ("a",), ("0", "1", "2", "3"), ("",) * 4, ())


def test_without_a_home_images_are_kept_among_temporary_files_and_that_is_said(homeless):
    folder = cache.default_folder()
    first = cache.cache_images(folder, "source", "state", images)
    assert folder.is_relative_to(homeless)
    assert any(str(folder) in note and "--cache-dir" in note for note in first.notes)
    assert folder.stat().st_mode & 0o077 == 0
    again = cache.cache_images(cache.default_folder(), "source", "state", lambda: pytest.fail("made again"))
    assert again.digest == first.digest


@pytest.mark.skipif(os.getuid() != 0, reason="giving a folder away needs root")
def test_a_folder_that_another_user_left_there_is_not_used(homeless):
    folder = cache.default_folder()
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    assert cache.default_folder() != folder


@pytest.mark.parametrize("path", ["~/x", "~nobody_at_all/x", "~"])
def test_a_tilde_that_stands_for_nothing(path, homeless, main):
    with pytest.raises(UsageError, match="write the whole path"):
        expanded(path)
    status, _, err = main("fit", "--data", path, "--outdir", homeless / "runs")
    assert (status, err.count("\n")) == (2, 1)
    assert path in err


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("196608 requested and 1000 written")]
)
def test_a_full_cache_is_a_note_with_reason_place_and_bytes(error, tmp_path, monkeypatch):
    def full(path, array, **_options):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(np, "save", full)
    found = cache.cache_images(tmp_path / "cache", "source", "state", images)
    [note] = found.notes
    assert "None" not in note
    assert str(error.strerror or error) in note
    assert str(tmp_path / "cache") in note
    assert f"{4 * 8 * 8 * 3} bytes" in note
    assert list((tmp_path / "cache").iterdir()) == []
    assert np.array_equal(found.images_NHWC, images().images_NHWC)


def test_without_fcntl_a_run_is_trained(tiny_options, tmp_path):
    program = (
        "import sys; sys.modules['fcntl'] = None; sys.argv[0] = 'qgan'; "
        "from qgan_qiskit.cli.__main__ import main; main()"
    )
    arguments = ["fit", *tiny_options, "--steps", "1", "--outdir", str(tmp_path / "runs")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [run] = (tmp_path / "runs").iterdir()
    assert (run / "checkpoints" / "step-00000001").is_dir()


def without(monkeypatch, module):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else found(name, *rest))


def test_a_dry_run_needs_no_matplotlib_and_a_study_says_what_to_install(main, tmp_path, monkeypatch, image_cache):
    without(monkeypatch, "matplotlib")
    options = [
        "--models",
        "dcgan",
        "--class",
        "nevus",
        "--epochs",
        "1",
        "--metrics",
        "ssim",
        "--synthetic-per-class",
        "64",
    ]
    options += ["--cache-dir", image_cache]
    study = tmp_path / "study"
    status, out, err = main("study", "compare", *options, "--outdir", study, "-n")
    assert (status, out.count("to do")) == (0, 1), err
    status, _, err = main("study", "compare", *options, "--outdir", study)
    assert (status, err.count("\n")) == (2, 1)
    assert "pip install -e '.[draw]'" in err
    assert not study.exists()
