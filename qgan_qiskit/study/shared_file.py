"""What every study does with its ``study.json``: read it, compare it, and change it while nobody else does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from qgan_qiskit.config.base import first_problem
from qgan_qiskit.errors import CheckpointError, StorageError, UsageError
from qgan_qiskit.storage import FileLock
from qgan_qiskit.study.cells import atomic_write

NAME = "study.json"
FORMAT = 2
T = TypeVar("T")
CellsT = TypeVar("CellsT", bound=Sized)


def read_file(folder: Path, build: Callable[[dict[str, Any]], T]) -> T | None:
    """Return what is made of the content of a folder's file, None if there is no file.

    Args:
        folder: of the study.
        build: from the content to what is wanted; may raise what damaged content makes it raise.

    Raises:
        CheckpointError: the file is damaged or of another version, or ``build`` says so.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise CheckpointError(
                f"{path}: format {content['format']}, this version reads {FORMAT}; use another --outdir"
            )
        return build(content)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise CheckpointError(f"{first_problem(error).at(path)}; use another --outdir") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error!r}); use another --outdir") from None


def write_file(folder: Path, content: dict[str, Any]) -> None:
    """Write the content, with the format's number, whole or not at all.

    Raises:
        OSError: the disk refused.
    """
    atomic_write(folder / NAME, (json.dumps({"format": FORMAT, **content}, indent=1) + "\n").encode())


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Make the folder and keep other processes from its file for the length of a ``with`` block.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            yield
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another --outdir"
        ) from None


def refuse_other(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with something else than the study began with.

    Args:
        folder: of the study.
        before: what its cells share, by name.
        now: the same as wanted now.

    Raises:
        UsageError: naming the first that differs.
    """
    for name, value in now.items():
        if before.get(name) != value:
            raise UsageError(
                f"{folder}: {name} is {value!r} and was {before.get(name)!r} when this study began; "
                "bring it back, or take another --outdir"
            )


def known(folder: Path, study: T | None) -> T:
    """Return the study that was read from a folder, for a report.

    Raises:
        CheckpointError: there is none.
    """
    if study is None:
        raise CheckpointError(f"{folder}: no study (it has no {NAME}); name another --outdir")
    return study


def some_finished(folder: Path, cells: CellsT, what: str = "cell") -> CellsT:
    """Return the finished cells of a study, for a report.

    Args:
        folder: of the study.
        cells: that are finished.
        what: one of them is called.

    Raises:
        CheckpointError: there are none.
    """
    if not len(cells):
        raise CheckpointError(f"{folder}: no {what} is finished yet; run the study first")
    return cells
