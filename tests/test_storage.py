"""Atomic files and folders under errors, and locks; kills and a full disk at every change are in tests/runs."""

import errno
import os
import subprocess
import sys

import pytest

from qgan_qiskit import storage
from qgan_qiskit.storage import (
    FileLock,
    HeldError,
    atomic_folder,
    atomic_write,
    holder_of,
    manifest,
    remove_staging,
    sha256,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1.


def test_digests_are_those_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(b"abc") == sha256(tmp_path / "abc") == ABC
    assert manifest(tmp_path) == {"abc": {"bytes": 3, "sha256": ABC}}


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_file_as_it_was(error, sync, tmp_path):
    path = tmp_path / "file"
    atomic_write(path, b"old", sync=sync)

    def fail(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        atomic_write(path, fail, sync=sync)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]
    atomic_write(path, lambda file: file.write(b"new"), sync=sync)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_appears_whole_and_replaces_only_what_it_may(replace, tmp_path):
    path = tmp_path / "folder"
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as staging:
        (staging / "half").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    path.mkdir()  # An empty folder may be there.
    with atomic_folder(path) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a").write_text("first")
    if replace:
        with atomic_folder(path, replace=True) as staging:
            (staging / "b").write_text("second")
    else:
        with pytest.raises(OSError, match="not empty"), atomic_folder(path):
            pass
    assert [file.name for file in path.rglob("*") if file.is_file()] == ["b" if replace else "a"]
    (tmp_path / ".left.staging").mkdir()
    remove_staging(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_locks_name_their_holder_and_end_with_its_process(tmp_path):
    path = tmp_path / ".lock"
    assert holder_of(path) is None
    program = (
        "import sys, pathlib; from qgan_qiskit.storage import FileLock\n"
        "with FileLock(pathlib.Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"locked\n"
    for _ in range(2):
        assert holder_of(path).startswith(f"process {child.pid} on ")
    with pytest.raises(HeldError, match=f"process {child.pid} on "), FileLock(path, wait=False):
        pass
    child.kill()
    child.wait()
    assert holder_of(path) is None
    with FileLock(path, wait=False):
        assert holder_of(path).startswith(f"process {os.getpid()} on ")
    assert holder_of(path) is None


def test_without_locks_a_marker_file_keeps_others_out(tmp_path, monkeypatch):
    """As on a file system without locks; the same as what is left of a POSIX Python without fcntl."""

    def missing(*_arguments, **_options):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(storage, "lock_descriptor", missing)
    path = tmp_path / ".lock"
    with FileLock(path, wait=False):
        assert holder_of(path).startswith(f"process {os.getpid()} on ")
        with pytest.raises(HeldError), FileLock(path, wait=False):
            pass
    assert holder_of(path) is None
    with FileLock(path, wait=False):
        pass
