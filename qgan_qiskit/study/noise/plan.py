"""The conditions of a noise study and its folder.

Files: ``study.json`` says what the cells share, and refuses others; ``cells/<condition>/`` with ``cell.json``, ``readings.npz``
and ``samples.png``; and the report (``report.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qgan_qiskit.config import DataConfig, HardwareConfig
from qgan_qiskit.config.studies import NoiseChoice, NoiseConfig
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.study.cells import Row, result_of
from qgan_qiskit.study.shared_file import exclusive, read_file, refuse_other, write_file

# Where files lie, and what changes no number.
_FREE = {"data": ("path", "cache_dir"), "settings": ("processes",)}


@dataclass(frozen=True, eq=False)
class Study:
    """What ``study.json`` holds.

    Attributes:
        folder: absolute path of the study.
        source: run or checkpoint folder, absolute.
        step: of the checkpoint.
        digest: of the generator's weights.
        data: the real images.
        settings: what all cells share.
        versions: of the libraries, at the beginning.
        commands: the command lines that asked for cells.
    """

    folder: Path
    source: Path
    step: int
    digest: str
    data: DataConfig
    settings: NoiseConfig
    versions: dict[str, str]
    commands: tuple[str, ...]

    def rows(self) -> list[Row]:
        """Return the finished cells: exact, shots rising, then devices with levels rising.

        Raises:
            CheckpointError: the result of a cell is damaged.
        """
        found = [result_of(path) for path in sorted((self.folder / "cells").glob("*"))]
        rows = [row for row in found if row is not None]
        kinds = ("exact", "shots", "aer")
        return sorted(rows, key=lambda row: (kinds.index(row["kind"]), row["place"]))


@dataclass(frozen=True)
class Cell:
    """One condition.

    Attributes:
        study: whose cell it is.
        name: ``exact``, ``shots-1024``, ``fez-level1``.
        hardware: where the circuits run.
        place: among those of its kind.
    """

    study: Study
    name: str
    hardware: HardwareConfig
    place: tuple[Any, ...]

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def folder(self) -> Path:
        """Where its result is kept."""
        return self.study.folder / "cells" / self.name


def cells(study: Study, choice: NoiseChoice) -> list[Cell]:
    """Return the conditions asked for."""
    settings = study.settings
    shared = {"shot_seed": settings.shot_seed, "processes": settings.processes}
    found = [Cell(study, "exact", HardwareConfig(), ())]
    for shots in choice.shot_numbers():
        hardware = HardwareConfig(backend="shots", shots=shots, **shared)
        found.append(Cell(study, f"shots-{shots}", hardware, (shots,)))
    for number, device in enumerate(choice.device_names()):
        for level in choice.resilience_levels():
            hardware = HardwareConfig(
                backend=f"aer:{device}", shots=settings.device_shots, resilience_level=level, **shared
            )
            found.append(Cell(study, f"{device}-level{level}", hardware, (number, device, level)))
    return found


def read(folder: Path) -> Study | None:
    """Return the study of a folder, None if it has none.

    Raises:
        CheckpointError: ``study.json`` is damaged or of another version.
    """
    return read_file(
        folder,
        lambda content: Study(
            folder.absolute(),
            Path(content["source"]),
            int(content["step"]),
            str(content["digest"]),
            DataConfig.model_validate(content["data"]),
            NoiseConfig.model_validate(content["settings"]),
            dict(content["versions"]),
            tuple(content["commands"]),
        ),
    )


def join(wanted: Study) -> Study:
    """Write a study, or the new command into the one that is in its folder, and return what is in the folder then.

    Raises:
        UsageError: the folder's study is of another generator, of other images or settings.
        StorageError: the folder cannot be written.
    """
    with exclusive(wanted.folder):
        present, study = read(wanted.folder), wanted
        if present is not None:
            check_same(present, wanted)
            commands = tuple(dict.fromkeys([*present.commands, *wanted.commands]))
            study = replace(wanted, versions=present.versions, commands=commands)
        write_file(study.folder, _content(study))
        return study


def begin(
    folder: Path, source: Path, step: int, digest: str, data: DataConfig, settings: NoiseConfig, command: str
) -> Study:
    """Return a new study that is not written yet."""
    return Study(folder.absolute(), source.absolute(), step, digest, data, settings, versions(), (command,))


def check_same(present: Study, wanted: Study) -> None:
    """Refuse to go on with other settings.

    Raises:
        UsageError: naming the first that differs.
    """
    refuse_other(present.folder, _comparable(present), _comparable(wanted))


def _comparable(study: Study) -> dict[str, Any]:
    found: dict[str, Any] = {"the generator": study.digest}
    for section, settings in (("data", study.data), ("settings", study.settings)):
        for key, value in settings.model_dump(mode="json").items():
            if key in _FREE[section]:
                continue
            if isinstance(value, dict):
                found |= {f"{key}.{inner}": content for inner, content in value.items() if inner != "fid_weights"}
            else:
                found[key] = value
    return found


def _content(study: Study) -> dict[str, Any]:
    return {
        "source": str(study.source),
        "step": study.step,
        "digest": study.digest,
        "data": study.data.model_dump(mode="json"),
        "settings": study.settings.model_dump(mode="json"),
        "versions": study.versions,
        "commands": list(study.commands),
    }
