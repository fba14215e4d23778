"""Faults in the calls by which files are changed: a kill, or an error of the disk, at any one of them."""

from __future__ import annotations

import builtins
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Everything that changes a folder goes through one of these, also from pathlib and shutil.
_CALLS = ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync")


@contextmanager
def watched(reached: Callable[[str], None]) -> Iterator[None]:
    """Call ``reached`` with a name before and after every change of the file system, and in the middle of every write."""
    originals = {name: getattr(os, name) for name in _CALLS}
    open_file = io.open

    def around(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            reached(f"before {name}")
            result = originals[name](*arguments, **options)
            reached(f"after {name}")
            return result

        return call

    class Halved:
        """A binary file whose writes go out in two parts."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            reached("before write")
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            reached("half of write")
            self.file.write(data[len(data) // 2 :])
            self.file.flush()
            reached("after write")
            return len(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> Halved:
            return self

        def __exit__(self, *exc: object) -> None:
            self.file.close()

    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if mode not in ("wb", "w", "a"):
            return open_file(file, mode, *arguments, **options)
        reached("before open")
        made = open_file(file, mode, *arguments, **options)
        reached("after open")
        return Halved(made)

    for name in _CALLS:
        setattr(os, name, around(name))
    io.open = builtins.open = opened
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(os, name, original)
        io.open = builtins.open = open_file


def points(action: Callable[[], object]) -> list[str]:
    """Return the names of the points that an action passes."""
    names: list[str] = []
    with watched(names.append):
        action()
    return names


def killed_at(number: int, action: Callable[[], object]) -> None:
    """Run an action in a child process that SIGKILLs itself when it reaches its n-th point, counted from 0."""
    child = os.fork()
    if child == 0:
        passed = 0

        def reached(_name: str) -> None:
            nonlocal passed
            if passed == number:
                os.kill(os.getpid(), signal.SIGKILL)
            passed += 1

        try:
            with watched(reached):
                action()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the point was not reached"
    assert os.WTERMSIG(status) == signal.SIGKILL


@contextmanager
def failing_at(number: int, code: int) -> Iterator[None]:
    """Let the n-th point, counted from 0, raise the OSError of an errno, and every later change of that kind too."""
    passed = 0
    kind = None

    def reached(name: str) -> None:
        nonlocal passed, kind
        if passed == number:
            kind = name
        passed += 1
        # A full or broken disk does not heal; but removing things still works.
        if kind is not None and name == kind:
            raise OSError(code, os.strerror(code))

    with watched(reached):
        yield
