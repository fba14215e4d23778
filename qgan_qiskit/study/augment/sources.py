"""The runs behind each generator, refused if they may have seen validation or test images."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qgan_qiskit.config import DataConfig, RunConfig
from qgan_qiskit.errors import CheckpointError, UsageError
from qgan_qiskit.runs.load import find_checkpoint, find_run
from qgan_qiskit.runs.run_folder import RunFolder
from qgan_qiskit.study.augment.training_sets import read_class

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
# A run that shares these with the study has seen nothing but the train split.
_SPLIT_SETTINGS = ("validation_fraction", "test_fraction", "split_seed")


@dataclass(frozen=True)
class Source:
    """One checkpoint that makes images of one class.

    Attributes:
        class_name: which class, as the data spell it.
        checkpoint: absolute path of the checkpoint.
        step: training steps done.
        digest: SHA-256 of its averaged generator.
        model: name of the model.
        classical_baseline: whether classical layers replace its circuits.
    """

    class_name: str
    checkpoint: str
    step: int
    digest: str
    model: str
    classical_baseline: bool


def parse_generators(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Return the runs of each generator, of texts such as ``hybridq=RUN,RUN,RUN``.

    Raises:
        UsageError: a text is not of that form, or a name comes twice.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        name, equals, runs = text.partition("=")
        if not equals or not _NAME.fullmatch(name) or not all(runs.split(",")):
            raise UsageError(
                f"--generator '{text}': not of the form NAME=RUN,RUN,… with a name of letters, digits, '_', '.' and '-'"
            )
        if name in found:
            raise UsageError(f"--generator {name} is given twice; give all its runs in one list")
        found[name] = tuple(Path(run) for run in runs.split(","))
    return found


def open_sources(
    name: str, runs: Sequence[Path], data: DataConfig, classes: tuple[str, ...]
) -> dict[str, tuple[Source, ...]]:
    """Return the checkpoints of a generator for each class, in the order given.

    Args:
        name: of the generator, for messages.
        runs: run folders, of which the newest valid checkpoint counts, or checkpoints.
        data: the study's images and their splits.
        classes: the study's classes.

    Raises:
        CheckpointError: a run or checkpoint cannot be used.
        UsageError: a run may have seen images outside the train split, makes images of another size or of
            a class that is not studied; or a class has no run.
    """
    sources = [source for path in runs for source in _open(path, data, classes)]
    of_class = {c: tuple(source for source in sources if source.class_name == c) for c in classes}
    missing = [c for c, found in of_class.items() if not found]
    if missing:
        raise UsageError(f"--generator {name}: has no run of class {', '.join(missing)}; name one of every class")
    return of_class


def _open(path: Path, data: DataConfig, classes: tuple[str, ...]) -> list[Source]:
    """Return the sources of a run: one, or one for each class of a conditional model."""
    folder = RunFolder.open(find_run(path))
    config = folder.config()
    names = {c.casefold(): c for c in classes}
    trained_on = config.data.class_list() if config.model.conditional else (str(config.data.class_name),)
    found = [names[name.casefold()] for name in trained_on if name.casefold() in names]
    if not found:
        raise UsageError(
            f"{path}: trained on class {config.data.class_name}, which is not one of {', '.join(classes)}; leave it out"
        )
    for setting in ("resolution", "color"):
        theirs, ours = getattr(config.data, setting), getattr(data, setting)
        if theirs != ours:
            raise UsageError(f"{path}: its images have {setting} {theirs}, those of the study {ours}; set --{setting}")
    _check_seen_images(path, folder, config, data, found[0])
    saved = find_checkpoint(path)
    baseline = config.model.is_baseline
    checkpoint = str(saved.path.absolute())
    return [Source(name, checkpoint, saved.step, saved.digest, config.model.name, baseline) for name in found]


def _check_seen_images(path: Path, folder: RunFolder, config: RunConfig, data: DataConfig, class_name: str) -> None:
    """Refuse a run that was not trained on the study's train split.

    Raises:
        UsageError: it may have seen validation or test images.
    """
    ours, theirs = ({name: getattr(one, name) for name in _SPLIT_SETTINGS} for one in (data, config.data))
    if config.data.split != "train" or theirs != ours:
        which = f"split {config.data.split}" + ("" if theirs == ours else " by other fractions or another seed")
        wanted = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in ours.items())
        raise UsageError(
            f"{path}: may have seen validation or test images ({which}); train it with fit --split train {wanted}"
        )
    if _location(config.data) == _location(data):
        return
    if _recorded_digest(folder) != read_class(data, "train", class_name).digest:
        raise UsageError(
            f"{path}: its images ({config.data.path or 'synthetic lesions'}) are not the train split of the study's class "
            f"{class_name}, so it may have seen validation or test images; train it on --data {data.path or '(none)'}"
        )


def _location(data: DataConfig) -> str | None:
    # Synthetic lesions have none: those of another seed are other images, those of the same seed are split alike.
    return None if data.path is None else str(Path(data.path).resolve())


def _recorded_digest(folder: RunFolder) -> str:
    path = folder.path / "data.json"
    try:
        return str(json.loads(path.read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error!r}); name another run") from None
