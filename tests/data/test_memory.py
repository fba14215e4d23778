"""Images that do not fit into memory: one line with numbers and the remedy, before anything is taken."""

import subprocess
import sys

import numpy as np
import pytest

from qgan_qiskit import memory
from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import ImageSet, read_images
from qgan_qiskit.errors import DataError
from qgan_qiskit.memory import check_memory_for_images

SAID = (
    r"100 images of 512 x 512 pixels need 78,643,200 bytes \(0\.1 GiB\) of memory, 70,000,000 bytes \(0\.1 GiB\) are available: "
    r"use fewer images with --class or \(without --split\) --limit, or a smaller --resolution"
)


@pytest.fixture
def little(monkeypatch):
    """Leave 70 MB of memory."""
    monkeypatch.setattr("qgan_qiskit.memory.free_memory", lambda: 70_000_000)


@pytest.fixture
def unread() -> ImageSet:
    """Return a hundred images that take no memory."""
    images = np.broadcast_to(np.uint8(7), (100, 512, 512, 3))
    return ImageSet(images, np.repeat([0, 1], 50), ("a", "b"), tuple(f"{row}.png" for row in range(100)), ("",) * 100)


@pytest.fixture
def hundred(tree, png):
    return tree({f"a/{row}.png": png(row) for row in range(100)})


@pytest.mark.usefixtures("little")
def test_files_are_not_decoded(hundred, settings, monkeypatch):
    monkeypatch.setattr("qgan_qiskit.data.decoding.decode_image", None)
    with pytest.raises(DataError, match=SAID):
        read_images(settings(hundred, resolution=512))


def test_the_cache_is_not_mapped_and_not_called_damaged(hundred, settings, monkeypatch):
    read_images(settings(hundred, resolution=512))
    monkeypatch.setattr("qgan_qiskit.memory.free_memory", lambda: 70_000_000)
    with pytest.raises(DataError, match=SAID):
        read_images(settings(hundred, resolution=512))


@pytest.mark.usefixtures("little")
def test_arrays_digits_and_copies_ask_too(tmp_path, unread):
    np.savez(tmp_path / "a.npz", images=np.zeros((100, 8, 8, 3), np.uint8), labels=np.zeros(100, np.int64))
    with pytest.raises(DataError, match=SAID):
        read_images(DataConfig(path=str(tmp_path / "a.npz"), resolution=512, cache_dir=str(tmp_path / "cache")))
    with pytest.raises(DataError, match="1,797 images of 512 x 512"):
        read_images(DataConfig(path="sklearn:digits", resolution=512))
    with pytest.raises(DataError, match="1,800 images of 512 x 512"):
        read_images(DataConfig(resolution=512, cache_dir=str(tmp_path / "cache")))
    with pytest.raises(DataError, match=SAID):
        unread.to_grayscale()
    with pytest.raises(DataError, match=SAID):
        unread.select_classes(["b", "a"])
    assert len(unread.select("a")) == 50  # 39 MB


def test_nothing_is_asked_where_nothing_is_known(monkeypatch):
    monkeypatch.setattr("qgan_qiskit.memory.free_memory", lambda: None)
    check_memory_for_images(10**9, 512)


@pytest.mark.skipif(memory.resource is None, reason="no limits of a process here")
def test_a_limit_of_addresses_counts():
    program = (
        "import resource\n"
        "from qgan_qiskit.memory import free_memory\n"
        "before = free_memory()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "after = free_memory()\n"
        "print(before, after)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 2**28 < after < min(before, 2**30)
