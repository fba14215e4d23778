"""``study.json``: what all cells of a study share, which cells were asked for, and by which commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from qgan_qiskit.config import Settings
from qgan_qiskit.errors import CheckpointError
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.study.cells import Row, result_of
from qgan_qiskit.study.shared_file import NAME, exclusive, read_file, refuse_other, write_file

# A file that may lie elsewhere; whether there is one changes what is measured.
_FILES = ("fid_weights",)
SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True, eq=False)
class StudyFile(Generic[SettingsT]):
    """What the file holds.

    Attributes:
        kind: of study, the name of its command.
        folder: absolute path of the study.
        settings: what all cells share.
        versions: of the libraries, at the beginning.
        cells: names of the cells asked for, in that order; each is a folder in ``cells``.
        commands: the command lines that asked for them.
    """

    kind: str
    folder: Path
    settings: SettingsT
    versions: dict[str, str]
    cells: tuple[str, ...]
    commands: tuple[str, ...]

    def rows(self) -> list[Row]:
        """Return the results of the finished cells, in the order asked for.

        Raises:
            CheckpointError: a result is damaged.
        """
        found = [result_of(self.folder / "cells" / name) for name in self.cells]
        return [row for row in found if row is not None]

    def content(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "study": self.kind,
            "settings": self.settings.model_dump(mode="json"),
            "versions": self.versions,
            "cells": list(self.cells),
            "commands": list(self.commands),
        }


def begin(kind: str, folder: Path, settings: SettingsT, cells: Sequence[str], command: str) -> StudyFile[SettingsT]:
    """Return the file of a new study, which is not written yet.

    Raises:
        CheckpointError: the folder's own file is damaged, of another kind or of another version.
        UsageError: the folder's study has other settings.
    """
    wanted = StudyFile(kind, folder.absolute(), settings, versions(), tuple(cells), (command,))
    present = read(kind, wanted.folder, type(settings))
    if present is not None:
        check_same(present, wanted)
    return wanted


def read(kind: str, folder: Path, settings: type[SettingsT]) -> StudyFile[SettingsT] | None:
    """Return the file of a folder, None if it has none.

    Args:
        kind: of study.
        folder: of the study.
        settings: the class of what the cells share.

    Raises:
        CheckpointError: it is damaged, of another kind or of another version.
    """

    def build(content: dict[str, Any]) -> StudyFile[SettingsT]:
        if content.get("study") != kind:
            raise CheckpointError(f"{folder / NAME}: not of a study of {kind}; use another --outdir")
        return StudyFile(
            kind,
            folder.absolute(),
            settings.model_validate(content["settings"]),
            dict(content["versions"]),
            tuple(content["cells"]),
            tuple(content["commands"]),
        )

    return read_file(folder, build)


def join(wanted: StudyFile[SettingsT]) -> StudyFile[SettingsT]:
    """Write a study, or its cells and command into the one in its folder, and return what is in the folder then.

    Raises:
        UsageError: the folder's study has other settings.
        StorageError: the folder cannot be written.
    """
    with exclusive(wanted.folder):
        present = read(wanted.kind, wanted.folder, type(wanted.settings))
        study = wanted
        if present is not None:
            check_same(present, wanted)
            study = replace(
                wanted,
                versions=present.versions,
                cells=tuple(dict.fromkeys([*present.cells, *wanted.cells])),
                commands=tuple(dict.fromkeys([*present.commands, *wanted.commands])),
            )
        write_file(study.folder, study.content())
        return study


def check_same(present: StudyFile[SettingsT], wanted: StudyFile[SettingsT]) -> None:
    """Refuse to go on with other settings.

    Raises:
        UsageError: naming the first that differs.
    """
    before, now = (dict(_flat(study.settings.model_dump(mode="json"))) for study in (present, wanted))
    refuse_other(present.folder, before, now)


def _flat(settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value)
        elif key in _FILES:
            yield key, "none" if value is None else "a file"
        else:
            yield key, value
