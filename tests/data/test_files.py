"""Fault list F8: hostile or damaged archives are refused in one line, nothing is written, no pickle is ever loaded."""

import stat
import struct
import zipfile
from pathlib import Path

import pytest
from data_sources import encoded, picture

from qgan_qiskit.data import class_names, read_images
from qgan_qiskit.errors import DataError

PNG = encoded(picture(1))


def _zip(path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def _special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    return entry


def _patched(path: Path, *changes: tuple[bytes, int, bytes]) -> Path:
    """Overwrite bytes at an offset from every occurrence of a signature."""
    content = bytearray(path.read_bytes())
    for signature, offset, new in changes:
        at = content.find(signature)
        while at >= 0:
            content[at + offset : at + offset + len(new)] = new
            at = content.find(signature, at + 4)
    path.write_bytes(content)
    return path


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"
GOOD = [("a/1.png", PNG), ("b/1.png", PNG)]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def _twice(path: Path) -> Path:
    return _zip(path, [*GOOD, ("a/1.png", PNG)])


ZIPS = {
    "parent": (lambda p: _zip(p, [*GOOD, ("../evil.png", PNG)]), "leads out"),
    "inner parent": (lambda p: _zip(p, [*GOOD, ("a/../../evil.png", PNG)]), "leads out"),
    "absolute": (lambda p: _zip(p, [*GOOD, ("/tmp/evil.png", PNG)]), "leads out"),
    "backslashes": (lambda p: _zip(p, [*GOOD, ("..\\evil.png", PNG)]), "leads out"),
    "drive": (lambda p: _zip(p, [*GOOD, ("C:\\evil.png", PNG)]), "leads out"),
    "link": (lambda p: _zip(p, [*GOOD, (_special("a/l.png", stat.S_IFLNK), b"/etc/passwd")]), "is a link"),
    "device": (lambda p: _zip(p, [*GOOD, (_special("a/d.png", stat.S_IFCHR), b"")]), "is a link or another special"),
    "encrypted": (lambda p: _patched(_zip(p, GOOD), (LOCAL, 6, b"\1\0"), (CENTRAL, 8, b"\1\0")), "is encrypted"),
    "bomb": (lambda p: _zip(p, [*GOOD, ("a/b.png", bytes(5 * 2**20))]), "over 1,000 times"),
    "huge": (
        lambda p: _patched(_zip(p, GOOD), (CENTRAL, 24, struct.pack("<I", 257 * 2**20))),
        "unpacks to 269,484,032 bytes",
    ),
    "twice": (_twice, "appears twice"),
    "twice in disguise": (lambda p: _zip(p, [*GOOD, ("a//./1.png", PNG)]), "appears twice"),
    "empty file": (lambda p: p.write_bytes(b""), "not a complete .zip"),
    "text": (lambda p: p.write_text("not a zip"), "not a complete .zip"),
    "truncated": (lambda p: p.write_bytes(_zip(p, GOOD).read_bytes()[:-30]), "not a complete .zip"),
    "no entries": (lambda p: _zip(p, []), "found no files"),
    "no images": (lambda p: _zip(p, [("read me.txt", b"hello")]), "such as read me.txt"),
    "nested": (lambda p: _zip(p, [("inner.zip", b"PK")]), "unpack inner.zip"),
    "class case clash": (
        lambda p: _zip(p, [("MEL/1.png", PNG), ("mel/2.png", PNG)]),
        "MEL and mel differ only in case",
    ),
    "damaged entry": (lambda p: _patched(_zip(p, GOOD), (b"IDAT", 30, b"\xff\xff")), "damaged in the archive"),
    "unknown compression": (
        lambda p: _patched(_zip(p, GOOD), (LOCAL, 8, b"\x63\0"), (CENTRAL, 10, b"\x63\0")),
        "compression",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", ZIPS)
def test_bad_zip_is_refused_in_one_line_and_nothing_is_written(case, tmp_path, settings):
    make, reason = ZIPS[case]
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder / "data.zip")
    if case == "damaged entry":  # The bytes in a deflated entry move about: store it instead.
        with zipfile.ZipFile(folder / "data.zip", "w") as archive:
            archive.writestr("a/1.png", PNG)
        _patched(folder / "data.zip", (b"IDAT", 30, b"\xff\xff"))
    with pytest.raises(DataError) as caught:
        read_images(settings(folder / "data.zip"))
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert "data.zip" in str(caught.value) or "a/1.png" in str(caught.value)
    assert [path.name for path in folder.iterdir()] == ["data.zip"]
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_a_good_zip_equals_its_folder(tree, tmp_path, settings, png):
    files = {f"{name}/{number}.png": png(10 * ord(name) + number) for name in "ab" for number in range(3)}
    root = tree(files)
    archive = _zip(tmp_path / "source.zip", [*files.items(), ("__MACOSX/a/._1.png", b"junk"), (".DS_Store", b"junk")])
    inside, unpacked = read_images(settings(archive)), read_images(settings(root))
    assert inside.digest == unpacked.digest and inside.names == unpacked.names
    assert class_names(settings(archive)) == ("a", "b")


def test_names_that_differ_only_in_case_inside_a_class_are_two_images(tmp_path, settings, png):
    archive = _zip(tmp_path / "case.zip", [("a/X.png", png(1)), ("a/x.png", png(2))])
    assert read_images(settings(archive)).names == ("a/X.png", "a/x.png")


def test_the_fault_list_is_long_enough():
    assert len(ZIPS) >= 16


@pytest.mark.parametrize("name", ["gone", "photo.jpg", "table.csv", "nul\0byte"])
def test_a_path_that_is_no_source_is_refused(name, tmp_path, settings):
    if name != "gone" and "\0" not in name:
        (tmp_path / name).write_bytes(PNG)
    with pytest.raises(DataError) as caught:
        read_images(settings(tmp_path / name))
    assert "\n" not in str(caught.value) and name.partition(".")[0].partition("\0")[0] in str(caught.value)
