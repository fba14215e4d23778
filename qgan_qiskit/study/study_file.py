"""``study.json``, what the cells of a study share; and ``cell.json``, the result of one.

A study can be extended: the same command with more seeds, models or files adds cells to it. Settings that all cells share cannot
change.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.base import expanded, first_problem
from qgan_qiskit.data import absolute_source, absolute_table
from qgan_qiskit.errors import CheckpointError, StorageError, UsageError
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.storage import FileLock, atomic_write

Row = dict[str, Any]
FILE, RESULT = "study.json", "cell.json"
FORMAT = 2


class Study(BaseModel):
    """What ``study.json`` holds. Each kind of study adds its settings.

    Attributes:
        kind: name of the study's command.
        folder: absolute path of the study; not stored.
        identity: random; tells a worker whether it sees the same folder.
        versions: of the libraries, when the study began.
        commands: the command lines that asked for cells.
        cells: names of the cells asked for, in that order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]

    folder: Path = Field(exclude=True)
    identity: str = Field(default_factory=lambda: uuid.uuid4().hex)
    versions: dict[str, str] = Field(default_factory=versions)
    commands: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()

    def shared(self) -> dict[str, Any]:
        """Return what all cells share, by the names that error messages use."""
        raise NotImplementedError

    def extend(self, wanted: Self) -> Self:
        """Return this study with the cells and the command of another one.

        Raises:
            UsageError: the two share other settings.
        """
        self.refuse_other(wanted)
        return wanted.model_copy(
            update={
                "identity": self.identity,
                "versions": self.versions,
                "commands": union(self.commands, wanted.commands),
                "cells": union(self.cells, wanted.cells),
            }
        )

    def refuse_other(self, wanted: Self) -> None:
        """Refuse a study with other shared settings.

        Raises:
            UsageError: naming the first that differs.
        """
        before = self.shared()
        for name, value in wanted.shared().items():
            if before.get(name) != value:
                raise UsageError(
                    f"{self.folder}: {name} is {value!r} and was {before.get(name)!r} when this study began; restore it, or "
                    "choose another --outdir"
                )

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the study of a folder, None if it has none.

        Raises:
            CheckpointError: ``study.json`` is damaged, of another kind of study, or of another version.
        """
        path = folder / FILE
        try:
            content = json.loads(path.read_bytes())
            if content.pop("format") != FORMAT:
                raise CheckpointError(
                    f"{path}: of another version (format {FORMAT} is read here); choose another --outdir"
                )
            if content.pop("kind", None) != cls.kind:
                raise CheckpointError(f"{path}: not of a study of {cls.kind}; choose another --outdir")
            return cls(folder=folder.absolute(), **content)
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise CheckpointError(f"{first_problem(error).at(path)}; choose another --outdir") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error!r}); choose another --outdir") from None

    def preview(self) -> Self:
        """Return what :meth:`join` would make of this study; nothing is written."""
        present = type(self).read(self.folder)
        return self if present is None else present.extend(self)

    def join(self) -> Self:
        """Write this study, or extend the one in its folder, and return what the folder holds then.

        Raises:
            UsageError: the folder's study has other settings.
            StorageError: the folder cannot be written.
        """
        with _exclusive(self.folder):
            study = self.preview()
            atomic_write(self.folder / FILE, to_json({"format": FORMAT, "kind": self.kind, **study.content()}))
            return study

    def content(self) -> dict[str, Any]:
        """Return the study as JSON values."""
        return self.model_dump(mode="json")

    def rows(self, fresh: Mapping[str, Row] | None = None) -> dict[str, Row]:
        """Return the results of the finished cells by name, in the order of the report.

        Args:
            fresh: results just returned by workers, whose files this machine may not see yet.

        Raises:
            CheckpointError: a result is damaged.
        """
        found = {
            name: (fresh or {}).get(name) or read_result(self.folder / "cells" / name) for name in self.cell_names()
        }
        return self.sort({name: row for name, row in found.items() if row is not None})

    def cell_names(self) -> Iterable[str]:
        """Return the names of the cells that may have results."""
        return self.cells

    def sort(self, rows: dict[str, Row]) -> dict[str, Row]:
        """Return results in the order of the report: by default as they were asked for."""
        return rows


def read_result(folder: Path) -> Row | None:
    """Return the result in a cell's folder, None while the cell is not finished.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / RESULT
    try:
        row = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); remove it to run the cell again") from None
    if not isinstance(row, dict):
        raise CheckpointError(f"{path}: not the result of a cell; remove it to run the cell again")
    return row


def write_result(folder: Path, row: Row) -> None:
    """Store the result of a cell.

    Raises:
        StorageError: the folder cannot be written.
    """
    with _storage_errors(folder):
        atomic_write(folder / RESULT, to_json(row))


def write_output(path: Path, data: bytes, remedy: str = "repeat the command") -> None:
    """Write a file of a cell or report atomically.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        atomic_write(path, data)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free some space and {remedy}"
        ) from None


def to_json(content: Any) -> bytes:
    """Return indented JSON."""
    return (json.dumps(content, indent=1) + "\n").encode()


def union(first: Iterable[Any], second: Iterable[Any]) -> tuple[Any, ...]:
    """Return the different values of both, in order."""
    return tuple(dict.fromkeys([*first, *second]))


def flatten(settings: BaseModel, prefix: str = "", skip: Iterable[str] = ()) -> dict[str, Any]:
    """Return settings by dotted name, those of a section as ``section.name``.

    Args:
        settings: of a study.
        prefix: put before each name.
        skip: dotted names to leave out, prefix included: where files lie, what changes no number.
    """
    found: dict[str, Any] = {}
    for name, value in settings.model_dump(mode="json").items():
        inner = {f"{prefix}{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else None
        found |= {f"{prefix}{name}": value} if inner is None else inner
    return {name: value for name, value in found.items() if name not in skip}


def absolute_paths(data: DataConfig) -> dict[str, str]:
    """Return the absolute paths of images, table and cache, as far as they are given."""
    paths = {}
    if data.path is not None:
        paths["path"] = absolute_source(data.path)
    if data.table is not None:
        paths["table"] = absolute_table(data.table)
    if data.cache_dir is not None:
        paths["cache_dir"] = str(expanded(data.cache_dir).absolute())
    return paths


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Create the folder, and keep other processes away from its ``study.json`` inside a ``with`` block."""
    with _storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            yield


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another --outdir"
        ) from None
