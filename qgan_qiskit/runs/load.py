"""Build the networks that settings describe; load trained ones, or what a run resumes from.

A run resumes only with the images and settings that its checkpoint was made with.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qgan_qiskit.circuits import circuit_digest
from qgan_qiskit.config import RESUMABLE, RunConfig
from qgan_qiskit.device import to_device
from qgan_qiskit.errors import CheckpointError, UsageError
from qgan_qiskit.models import Discriminator, Generator, build, build_circuit_spec
from qgan_qiskit.qnn import set_execution
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.run_folder import RunFolder

logger = logging.getLogger(__name__)

# Tensors by file, and values of ``state.json``.
Saved = tuple[dict[str, checkpoint.Tensors], dict[str, Any]]


def build_networks(config: RunConfig) -> tuple[Generator, Discriminator]:
    """Return an untrained generator and discriminator, initialized from the run's seed."""
    weights = seeded_generator(config.training.seed, "weights")
    classes = config.data.class_list() if config.model.conditional else ()
    networks = build(config.model, config.data.resolution, weights, channels=config.data.channels, classes=classes)
    set_execution(config.training.execution, *networks)
    return networks


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint on disk.

    Attributes:
        path: its folder.
        step: training steps done.
        digest: SHA-256 of the averaged generator in it.
    """

    path: Path
    step: int
    digest: str


def find_checkpoint(source: Path) -> FoundCheckpoint:
    """Return a checkpoint, or the newest valid one of a run, after checking its files against their digests.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    if find_run(source) == source:
        path, _, values, _ = checkpoint.load_newest(RunFolder.open(source).checkpoints)
    else:
        RunFolder.open(find_run(source))
        path, (_, values) = source, checkpoint.load(source)
    return FoundCheckpoint(path, int(values["step"]), checkpoint.read_digest(path, "ema"))


def load_generator(source: Path) -> tuple[Generator, RunConfig]:
    """Load the averaged generator of a run's newest whole checkpoint, or of one checkpoint, ready to sample.

    Args:
        source: a run folder, or a folder ``checkpoints/step-NNNNNNNN`` in one.

    Returns:
        The generator in evaluation mode, and the settings of its run.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    generator, config, _ = load_with_digest(source)
    return generator, config


def load_with_digest(source: Path, execution: str | None = None) -> tuple[Generator, RunConfig, str]:
    """Load like :func:`load_generator`; return the SHA-256 of ``ema.safetensors`` as well.

    Args:
        source: a run folder, or a checkpoint in one.
        execution: how circuits are simulated, ``fused`` or ``connectors``; None as in training.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
        UsageError: connectors are asked for, and the model has no circuits.
    """
    config, tensors, path = _read(source)
    if execution is not None:
        config = config.updated({"training": {"execution": execution}})
    generator, _ = build_networks(_without_weight_files(config))
    to_device(generator, torch.device("cpu"))
    checkpoint.load_module(generator, checkpoint.require_file(tensors, "ema"), "ema")
    return generator.eval(), config, checkpoint.read_digest(path, "ema")


def load_discriminator(source: Path) -> tuple[Discriminator, RunConfig]:
    """Load the discriminator of a run or of one checkpoint; see :func:`load_generator`."""
    config, tensors, _ = _read(source)
    _, discriminator = build_networks(_without_weight_files(config))
    checkpoint.load_module(discriminator, checkpoint.require_file(tensors, "discriminator"), "discriminator")
    return discriminator.eval(), config


def _load_newest(run: RunFolder) -> tuple[Path, dict[str, checkpoint.Tensors], dict[str, Any]]:
    """Read a run's newest whole checkpoint: its folder, tensors and values; log which damaged ones were skipped.

    Raises:
        CheckpointError: there is no whole checkpoint.
    """
    path, tensors, values, problems = checkpoint.load_newest(run.checkpoints)
    for problem in problems:
        logger.warning(f"skipped {problem}")
    return path, tensors, values


def load_resumable(run: RunFolder, config: RunConfig, data_digest: str, steps: int) -> Saved | None:
    """Read a run's newest checkpoint, None for a new run; log what is skipped and what differs.

    Args:
        run: the run.
        config: its settings now.
        data_digest: of its images now.
        steps: that it is to take in all.

    Raises:
        CheckpointError: no checkpoint is whole, or the images or settings are not those of the checkpoint.
    """
    if not checkpoint.published(run.checkpoints):
        return None
    path, tensors, values = _load_newest(run)
    if values.get("data_digest") != data_digest:
        raise CheckpointError(
            f"{run.path}: the images differ from those that the run started with; restore them, or start a new run"
        )
    check_settings(run, config, values.get("settings", {}))
    if config.training.lr_decay_from < 1 and values.get("steps") != steps:
        # The rates that a longer run would have had until here are unknown.
        logger.warning(
            f"learning rates decayed toward step {values.get('steps')} and now decay toward step {steps}: "
            "a run of that length from the start would differ"
        )
    logger.info(f"resuming {path.name}")
    return tensors, values


def decisive_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that determine a run's numbers; images and circuits are compared by digest instead of path."""
    dump = config.model_dump(mode="json")
    sections = {name: dump[name] for name in ("model", "data", "training")}
    for section, excluded in (("data", ("path", "cache_dir")), ("training", RESUMABLE)):
        sections[section] = {key: value for key, value in sections[section].items() if key not in excluded}
    if config.model.circuit_file is not None:
        # The digest covers the order of inputs and weights, so the patterns that selected them are left out.
        sections["model"] |= {
            "ansatz": circuit_digest(build_circuit_spec(config.model)),
            "input_names": None,
            "weight_names": None,
        }
    return sections


def check_settings(run: RunFolder, config: RunConfig, saved: dict[str, Any]) -> None:
    """Refuse to resume if config.json or circuit.qasm was edited since the checkpoint."""
    for section, now in decisive_settings(config).items():
        # A setting added since then had the effect of its default.
        before = {**type(getattr(config, section))().model_dump(mode="json"), **saved.get(section, {})}
        for key in sorted({*now, *saved.get(section, {})}):
            if now.get(key) != before.get(key):
                raise CheckpointError(
                    f"{run.path}: {section}.{key} is {now.get(key)!r} and was {before.get(key)!r} when the checkpoint was "
                    "written; restore it, or start a new run"
                )


def find_run(source: Path) -> Path:
    """Return the run folder, given it or a checkpoint in it."""
    folder = source.absolute().parent
    return folder.parent if folder.name == "checkpoints" else source


def select_classes(generator: Generator, config: RunConfig, names: str) -> tuple[int, ...]:
    """Make a conditional generator sample some of its classes only.

    Args:
        generator: from :func:`load_generator`.
        config: of its run.
        names: of one or more classes, separated by commas.

    Returns:
        The indices of these classes, in the order given.

    Raises:
        UsageError: there is no such class, the generator has no classes, or one is named twice.
    """
    if not generator.num_classes:
        raise UsageError(
            f"--class {names}: this run makes images of class {config.data.class_name} alone; leave --class out"
        )
    known = [name.casefold() for name in config.data.class_list()]
    wanted = [name.strip().casefold() for name in names.split(",")]
    if any(name not in known for name in wanted):
        raise UsageError(f"--class {names}: the run has {', '.join(config.data.class_list())}")
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"--class {names} names a class twice; name each once")
    labels = tuple(known.index(name) for name in wanted)
    generator.set_class(*labels)
    return labels


def _without_weight_files(config: RunConfig) -> RunConfig:
    """Return settings that need no file of pretrained weights: all weights come from the checkpoint."""
    # Not checked again: rules for training, such as those of the loss, may ask for the file.
    model = config.model.model_copy(update=dict.fromkeys(config.model.weight_files))
    return config.model_copy(update={"model": model})


def _read(source: Path) -> tuple[RunConfig, dict[str, checkpoint.Tensors], Path]:
    """Return settings, tensors by file, and the folder of the checkpoint."""
    folder = find_run(source)
    run = RunFolder.open(folder)
    config = run.config()
    if folder != source:
        tensors, _ = checkpoint.load(source)
        return config, tensors, source
    path, tensors, _ = _load_newest(run)
    return config, tensors, path
