"""The folder of an augmentation study: ``study.json`` says what its cells share, and refuses others.

Files: ``study.json``; ``parts.json`` with class and lesion of every validation and test image; ``generated/…`` with the images of
each run; ``cells/<condition>-s<seed>/`` with ``cell.json`` and ``predictions.npz``; and the report (``report.py``).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.base import expanded, first_problem
from qgan_qiskit.config.studies import AugmentConfig
from qgan_qiskit.data import absolute_source, absolute_table
from qgan_qiskit.errors import UsageError
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.study.augment.parts import PARTS, read_part
from qgan_qiskit.study.augment.sources import Source
from qgan_qiskit.study.shared_file import exclusive, read_file, refuse_other, write_file

PARTS_FILE = "parts.json"
# What may differ when a study goes on: where files lie (their content is compared), what only adds cells, and what decides
# no number.
_FREE = {
    "data": ("path", "cache_dir", "class_name", "split", "augment"),
    "augment": ("weights", "alphas", "seeds", "bootstrap", "device", "threads"),
}
Generators = Mapping[str, Mapping[str, tuple[Source, ...]]]


@dataclass(frozen=True)
class Study:
    """What ``study.json`` holds.

    Attributes:
        folder: absolute path of the study.
        identity: made up at the beginning; tells a worker that it sees the same folder.
        data: source and division of the real images.
        classes: to tell apart, as the data spell them.
        settings: of the classifier; alphas and seeds are all that have been asked for.
        weights_digest: SHA-256 of the weights file, None without one.
        digests: digest of the images of each part.
        generators: name -> class -> checkpoints.
        versions: of the libraries, at the beginning.
    """

    folder: Path
    identity: str
    data: DataConfig
    classes: tuple[str, ...]
    settings: AugmentConfig
    weights_digest: str | None
    digests: dict[str, str]
    generators: Generators
    versions: dict[str, str]


def begin(
    folder: Path, data: DataConfig, classes: tuple[str, ...], settings: AugmentConfig, generators: Generators
) -> Study:
    """Return a study that is not written yet; the images are read.

    Raises:
        DataError: the images cannot be read, or a class lacks in a part.
        UsageError: the weights file cannot be read.
    """
    changes: dict[str, Any] = {}
    if data.path is not None:
        changes["path"] = absolute_source(data.path)
    if data.table is not None:
        changes["table"] = absolute_table(data.table)
    if data.cache_dir is not None:
        changes["cache_dir"] = str(expanded(data.cache_dir).absolute())
    data = data.model_copy(update={**changes, "class_name": None, "split": "all"})
    digest = None
    if settings.weights is not None:
        path = expanded(settings.weights).absolute()
        settings = settings.model_copy(update={"weights": str(path)})
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UsageError(f"--weights {path}: cannot be read ({error.strerror}); name another file") from None
    digests = {part: read_part(data, part, classes).digest for part in PARTS}
    identity = uuid.uuid4().hex
    return Study(folder.absolute(), identity, data, classes, settings, digest, digests, generators, versions())


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
            DataConfig.model_validate(content["data"]),
            tuple(content["classes"]),
            AugmentConfig.model_validate(content["augment"]),
            content["weights_digest"],
            dict(content["digests"]),
            {
                name: {c: tuple(Source(**source) for source in sources) for c, sources in of_class.items()}
                for name, of_class in content["generators"].items()
            },
            dict(content["versions"]),
        ),
    )


def merged(present: Study | None, wanted: Study) -> Study:
    """Return the study that is there with the alphas, seeds and generators of the one that is wanted.

    Raises:
        UsageError: the two differ in what all cells share.
    """
    if present is None:
        return wanted
    before, now = _comparable(present), _comparable(wanted)
    for name, sources in wanted.generators.items():
        if name in present.generators:
            before[f"--generator {name}"] = _digests(present.generators[name])
            now[f"--generator {name}"] = _digests(sources)
    refuse_other(present.folder, before, now)
    settings = {
        **wanted.settings.model_dump(),
        "alphas": ",".join(
            f"{a:g}" for a in sorted({*present.settings.alpha_values(), *wanted.settings.alpha_values()})
        ),
        "seeds": ",".join(str(s) for s in sorted({*present.settings.seed_values(), *wanted.settings.seed_values()})),
    }
    try:
        grown = AugmentConfig.model_validate(settings)
    except ValidationError as error:
        raise UsageError(f"{present.folder}: with what it has, --seeds: {first_problem(error).message}") from None
    # Images and checkpoints may lie elsewhere by now; a generator that was there keeps its place in the order.
    return replace(present, data=wanted.data, settings=grown, generators={**present.generators, **wanted.generators})


def join(wanted: Study) -> Study:
    """Write a study, or grow the one that is in its folder, and return what is in the folder then.

    Raises:
        UsageError: the folder's study shares other things.
        StorageError: the folder cannot be written.
    """
    with exclusive(wanted.folder):
        study = merged(read(wanted.folder), wanted)
        write_file(study.folder, _content(study))
        return study


def _comparable(study: Study) -> dict[str, Any]:
    found: dict[str, Any] = {"classes": list(study.classes)}
    for section, settings in (("data", study.data), ("augment", study.settings)):
        dump = settings.model_dump(mode="json")
        found |= {f"{section}.{key}": value for key, value in dump.items() if key not in _FREE[section]}
    found |= {f"the digest of the {part} part": digest for part, digest in study.digests.items()}
    return found | {"the digest of the weights file": study.weights_digest}


def _digests(sources: Mapping[str, tuple[Source, ...]]) -> dict[str, list[str]]:
    return {name: [source.digest[:12] for source in found] for name, found in sources.items()}


def _content(study: Study) -> dict[str, Any]:
    return {
        "identity": study.identity,
        "data": study.data.model_dump(mode="json"),
        "classes": study.classes,
        "augment": study.settings.model_dump(mode="json"),
        "weights_digest": study.weights_digest,
        "digests": study.digests,
        "generators": {
            name: {c: [asdict(source) for source in sources] for c, sources in of_class.items()}
            for name, of_class in study.generators.items()
        },
        "versions": study.versions,
    }
