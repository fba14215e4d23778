"""The folder of a comparison: ``study.json`` says what its cells share, and refuses cells that would share something else.

Files: ``study.json``, ``cells/<model>-<preset>[-baseline]-<class>-s<seed>/`` with ``run/``, ``cell.json`` and two
rows of images, and
the report (``report.py``).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from qgan_qiskit.config import weight_files
from qgan_qiskit.config.studies import CompareConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.study.cells import Row, result_of
from qgan_qiskit.study.compare.entries import model_of
from qgan_qiskit.study.shared_file import exclusive, read_file, refuse_other, write_file

# Where files lie may change while their content stays; images are compared cell by cell, weights by digests.
_PLACES = {"data": ("path", "cache_dir"), "evaluation": ("fid_weights",)}


@dataclass(frozen=True)
class Study:
    """What ``study.json`` holds.

    Attributes:
        folder: absolute path of the study.
        identity: made up at the beginning; tells a worker that it sees the same folder.
        settings: what all cells share.
        weights_digest: SHA-256 of the file of Inception weights, None without one.
        models: models in the order they came in, as the user writes them; likewise classes and seeds.
        classes: class names as in the data.
        seeds: seeds of the runs.
        versions: of the libraries, at the beginning.
        commands: the command lines that asked for cells.
        model_digests: ``transfer.weights`` -> SHA-256, of the files that settings of models name; without those that were
            named to a version that did not keep them.
    """

    folder: Path
    identity: str
    settings: CompareConfig
    weights_digest: str | None
    models: tuple[str, ...]
    classes: tuple[str, ...]
    seeds: tuple[int, ...]
    versions: dict[str, str]
    commands: tuple[str, ...]
    model_digests: dict[str, str] = field(default_factory=dict)

    def grown(
        self, models: Iterable[str], classes: Iterable[str], seeds: Iterable[int], commands: Iterable[str]
    ) -> Study:
        """Return the study with more models, classes, seeds and commands; what it has already stays where it is."""
        return replace(
            self,
            models=tuple(dict.fromkeys([*self.models, *models])),
            classes=tuple(dict.fromkeys([*self.classes, *classes])),
            seeds=tuple(dict.fromkeys([*self.seeds, *seeds])),
            commands=tuple(dict.fromkeys([*self.commands, *commands])),
        )

    def joined_by(self, wanted: Study) -> Study:
        """Return the study with what ``wanted`` sets of models that are new to it, and the places that it names now.

        Whatever else the study has stays as it is.
        """
        known = {model_of(entry) for entry in self.models}
        together = dict(self.settings.model_settings)
        for model, own in wanted.settings.model_settings.items():
            if model not in known:
                together[model] = own
            elif model in together:
                before = together[model]
                together[model] = before | {n: v for n, v in own.items() if n in weight_files(model) and n in before}
        # Settings of a model that takes no part may still change, and so may its files.
        fixed = {name: digest for name, digest in self.model_digests.items() if name.partition(".")[0] in known}
        settings = self.settings.model_copy(update={"model_settings": together})
        return replace(self, settings=settings, model_digests=self.model_digests | wanted.model_digests | fixed)

    def rows(self) -> dict[str, Row]:
        """Return the finished cells by the name of their folder, in the order of models, classes and seeds.

        Raises:
            CheckpointError: the result of a cell is damaged.
        """
        found = {path.name: result_of(path) for path in sorted((self.folder / "cells").glob("*"))}
        rows = {name: row for name, row in found.items() if row is not None}
        places = {
            key: {value: place for place, value in enumerate(values)}
            for key, values in (("class", self.classes), ("model", self.models), ("seed", self.seeds))
        }
        return dict(
            sorted(rows.items(), key=lambda item: [order.get(item[1][key], -1) for key, order in places.items()])
        )


def begin(folder: Path, settings: CompareConfig) -> Study:
    """Return a new study that is not written yet."""
    weights = settings.evaluation.fid_weights
    digest = None if weights is None else _digest(weights, "--fid-weights ")
    model_digests = {
        f"{model}.{name}": _digest(value, f"--model-setting {model}.{name}=")
        for model, own in settings.model_settings.items()
        for name, value in own.items()
        if name in weight_files(model)
    }
    identity = uuid.uuid4().hex
    return Study(folder.absolute(), identity, settings, digest, (), (), (), versions(), (), model_digests)


def read(folder: Path) -> Study | None:
    """Return the study of a folder, None if it has none.

    Raises:
        CheckpointError: ``study.json`` is damaged or of another version.
    """
    return read_file(
        folder,
        lambda content: Study(
            folder.absolute(),
            str(content["identity"]),
            CompareConfig.model_validate(content["settings"]),
            content["weights_digest"],
            tuple(content["models"]),
            tuple(content["classes"]),
            tuple(content["seeds"]),
            dict(content["versions"]),
            tuple(content["commands"]),
            dict(content.get("model_digests", {})),
        ),
    )


def join(wanted: Study) -> Study:
    """Write a study, or grow the one that is in its folder, and return what is in the folder then.

    Raises:
        UsageError: the folder's study has other settings.
        StorageError: the folder cannot be written.
    """
    with exclusive(wanted.folder):
        present = read(wanted.folder)
        study = wanted
        if present is not None:
            check_same(present, wanted)
            joined = present.joined_by(wanted)
            study = joined.grown(wanted.models, wanted.classes, wanted.seeds, wanted.commands)
        if study != present:
            write_file(study.folder, _content(study))
        return study


def check_same(present: Study, wanted: Study) -> None:
    """Refuse to join a study of other settings.

    Raises:
        UsageError: naming the first setting that differs.
    """
    # A study grows by models, which bring their settings.
    joined = present.joined_by(wanted)
    refuse_other(present.folder, _comparable(joined), _comparable(wanted))
    for name, digest in wanted.model_digests.items():
        if joined.model_digests[name] != digest:
            raise UsageError(
                f"--model-setting {name}: its file is another one than when this study began ({present.folder}); bring it "
                "back, or take another --outdir"
            )


def _comparable(study: Study) -> dict[str, Any]:
    """Return the settings as ``data.limit`` -> value, without the places of files."""
    found: dict[str, Any] = {}
    for name, value in study.settings.model_dump(mode="json").items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": inner for key, inner in value.items() if key not in _PLACES.get(name, ())}
        else:
            found[name] = value
    return found | {"the digest of the Inception weights": study.weights_digest}


def _content(study: Study) -> dict[str, Any]:
    content = asdict(study) | {"settings": study.settings.model_dump(mode="json")}
    del content["folder"]
    return content


def _digest(path: str, option: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{option}{path}: cannot be read ({error.strerror}); name a file of weights") from None
