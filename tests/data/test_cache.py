"""The cache gives what decoding gives, notices every change, heals every damage and is never in the way."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data_sources import encoded, picture
from PIL import Image

from qgan_qiskit.config import DataConfig
from qgan_qiskit.data import cache, read_images


def is_cached(images) -> bool:
    return isinstance(images.images_NHWC, np.memmap)


@pytest.fixture
def source(tree, png):
    return tree({f"{name}/{number}.png": png(7 * number + ord(name)) for name in "ab" for number in range(3)})


def entries(tmp_path):
    return sorted(path for path in (tmp_path / "cache").iterdir() if path.is_dir())


def test_second_read_is_mapped_and_equal(source, settings):
    first, second = read_images(settings(source)), read_images(settings(source))
    assert not is_cached(first) and is_cached(second)
    for field in ("classes", "names", "groups", "notes", "digest"):
        assert getattr(first, field) == getattr(second, field)
    np.testing.assert_array_equal(first.images_NHWC, second.images_NHWC)
    np.testing.assert_array_equal(first.labels_N, second.labels_N)
    with pytest.raises(ValueError, match="read-only"):
        second.images_NHWC[0] = 0
    assert second.select("a").digest == first.select("a").digest  # hashed from the pixels, not taken over


CHANGES = {
    "new file": lambda root: (root / "a" / "new.png").write_bytes(encoded(picture(99))),
    "removed file": lambda root: (root / "a" / "1.png").unlink(),
    "renamed file": lambda root: (root / "a" / "1.png").rename(root / "a" / "9.png"),
    "moved to another class": lambda root: (root / "a" / "1.png").rename(root / "b" / "9.png"),
    "other size": lambda root: (root / "a" / "1.png").write_bytes(encoded(picture(99, (20, 20)))),
    "same size, other time": lambda root: os.utime(root / "a" / "1.png", ns=(1, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_source_is_noticed_and_the_old_entry_dropped(change, source, settings, tmp_path):
    read_images(settings(source))
    CHANGES[change](source)
    again = read_images(settings(source))
    assert not is_cached(again)
    assert len(entries(tmp_path)) == 1 and is_cached(read_images(settings(source)))


@pytest.mark.parametrize("fields", [{"resolution": 32}, {"limit": 2}, {"class_name": "a"}, {"skip_bad": True}])
def test_other_settings_have_their_own_entry(fields, source, settings):
    read_images(settings(source))
    assert not is_cached(read_images(settings(source, **fields)))
    assert is_cached(read_images(settings(source))) and is_cached(read_images(settings(source, **fields)))


@pytest.mark.parametrize("fields", [{"augment": "none"}, {"split": "all"}, {"synthetic_per_class": 9}])
def test_settings_that_change_no_pixel_share_the_entry(fields, source, settings):
    read_images(settings(source))
    assert is_cached(read_images(settings(source, **fields)))


def _flip(name, offset):
    def damage(entry):
        content = bytearray((entry / name).read_bytes())
        content[offset if offset >= 0 else len(content) + offset] ^= 1
        (entry / name).write_bytes(content)

    return damage


def _cut(name, size):
    return lambda entry: os.truncate(entry / name, size)


DAMAGE = {
    "no images": lambda entry: (entry / "images.npy").unlink(),
    "no index": lambda entry: (entry / "index.json").unlink(),
    "empty entry": lambda entry: [path.unlink() for path in entry.iterdir()],
    "empty images": _cut("images.npy", 0),
    "short images": _cut("images.npy", 1000),
    "short header": _cut("images.npy", 20),
    "empty index": _cut("index.json", 0),
    "short index": _cut("index.json", 100),
    "other shape": lambda entry: np.save(entry / "images.npy", np.zeros((6, 16, 16, 3), np.uint8)[:5]),
    "other type": lambda entry: np.save(entry / "images.npy", np.zeros((6, 16, 16, 3), np.int8)),
    "fortran order": lambda entry: np.save(entry / "images.npy", np.zeros((6, 16, 16, 3), np.uint8, order="F")),
    "objects": lambda entry: np.save(entry / "images.npy", np.array([{}], object), allow_pickle=True),
    **{f"bit of images at {at}": _flip("images.npy", at) for at in (0, 7, 30, 60, 130, 2000, -1)},
    **{f"bit of index at {at}": _flip("index.json", at) for at in (0, 64, 65, 300, -2)},
    "a file in its place": lambda entry: [*[path.unlink() for path in entry.iterdir()], entry.rmdir(), entry.touch()],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_made_again_with_a_note(damage, source, settings, tmp_path):
    first = read_images(settings(source))
    (entry,) = entries(tmp_path)
    DAMAGE[damage](entry)
    healed = read_images(settings(source))
    assert not is_cached(healed) and healed.digest == first.digest
    assert any("damaged cache entry" in note for note in healed.notes)
    after = read_images(settings(source))
    assert is_cached(after) and after.digest == first.digest and after.notes == first.notes
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [entry.name]


def test_a_cache_that_cannot_be_written_is_a_note(source, settings, tmp_path):
    (tmp_path / "file").touch()
    images = read_images(settings(source, cache_dir=str(tmp_path / "file" / "cache")))
    assert len(images) == 6 and any("cannot be written (Not a directory)" in note for note in images.notes)


def test_a_full_disk_is_a_note_and_leaves_nothing(source, settings, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    images = read_images(settings(source))
    assert len(images) == 6 and any("No space left on device" in note for note in images.notes)
    assert not list((tmp_path / "cache").iterdir())


def test_readers_at_the_same_time_all_get_the_images(source, settings, tmp_path):
    with ThreadPoolExecutor(6) as pool:
        digests = set(pool.map(lambda _: read_images(settings(source)).digest, range(12)))
    assert len(digests) == 1 and len(list((tmp_path / "cache").iterdir())) == 1


def test_staging_of_a_killed_process_is_removed_after_a_day(source, settings, tmp_path):
    for name, age in ((".stage-old", 100_000), (".stage-new", 100)):
        folder = tmp_path / "cache" / name
        folder.mkdir(parents=True)
        past = folder.stat().st_mtime - age
        os.utime(folder, (past, past))
    read_images(settings(source))
    assert not (tmp_path / "cache" / ".stage-old").exists() and (tmp_path / "cache" / ".stage-new").exists()


def test_zip_and_npz_are_cached_too(tmp_path, settings, png):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/1.png", png(1))
    np.savez(tmp_path / "b.npz", images=np.zeros((2, 16, 16, 3), np.uint8), labels=np.arange(2))
    for name in ("a.zip", "b.npz"):
        first, second = (read_images(settings(tmp_path / name)) for _ in range(2))
        assert is_cached(second) and first.digest == second.digest
    np.savez(tmp_path / "b.npz", images=np.ones((2, 16, 16, 3), np.uint8), labels=np.arange(2))
    os.utime(tmp_path / "b.npz", ns=(5, 5))
    assert read_images(settings(tmp_path / "b.npz")).images_NHWC.max() == 1


def test_bad_images_are_not_cached_away(tree, settings):
    root = tree({"a.png": b""})
    for _ in range(2):
        with pytest.raises(Exception, match="cannot be read"):
            read_images(settings(root))
    Image.new("RGB", (16, 16)).save(root / "a.png")
    assert len(read_images(settings(root))) == 1


def test_the_folder_is_the_users_cache_by_default(monkeypatch, tmp_path, source):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    read_images(DataConfig(path=str(source), resolution=16))
    assert len(list((tmp_path / "xdg" / "qgan_qiskit").iterdir())) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / ".cache" / "qgan_qiskit"
