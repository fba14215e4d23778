"""Load the networks of a run: the averaged generator, or the discriminator, of its newest or of one checkpoint."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from qgan_qiskit.config import RunConfig, is_conditional
from qgan_qiskit.device import to_device
from qgan_qiskit.errors import UsageError
from qgan_qiskit.models import Generator, build
from qgan_qiskit.qnn import set_execution
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.checkpoint import load_module
from qgan_qiskit.runs.run_folder import RunFolder

logger = logging.getLogger(__name__)


def build_networks(config: RunConfig) -> tuple[Generator, nn.Module]:
    """Return the untrained generator and discriminator that settings describe, with weights drawn from the run's seed."""
    weights = seeded_generator(config.training.seed, "weights")
    classes = config.data.class_list() if is_conditional(config.model) else ()
    networks = build(config.model, config.data.resolution, weights, channels=config.data.channels, classes=classes)
    set_execution(config.training.execution, *networks)
    return networks


def run_of(source: Path) -> Path:
    """Return the run folder of a run folder or of a checkpoint in one."""
    folder = source.absolute().parent
    return folder.parent if folder.name == "checkpoints" else source


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
    if run_of(source) == source:
        path, _, values, _ = checkpoint.load_newest(RunFolder.open(source).checkpoints)
    else:
        RunFolder.open(run_of(source))
        path, (_, values) = source, checkpoint.load(source)
    return FoundCheckpoint(path, int(values["step"]), checkpoint.digest_of(path, "ema"))


def open_generator(source: Path) -> tuple[Generator, RunConfig]:
    """Return the averaged generator of a run (its newest whole checkpoint) or of one checkpoint, ready to generate.

    Args:
        source: a run folder, or a folder ``checkpoints/step-NNNNNNNN`` in one.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    generator, config, _ = open_with_digest(source)
    return generator, config


def open_with_digest(source: Path, execution: str | None = None) -> tuple[Generator, RunConfig, str]:
    """Return what :func:`open_generator` does, and the SHA-256 of the weights' file ``ema.safetensors``.

    Args:
        source: a run folder, or a checkpoint in one.
        execution: how circuits are simulated, ``fused`` or ``connectors``; None as the run was trained.

    Raises:
        CheckpointError: there is none, or it is damaged.
        UsageError: connectors are asked for, and the model has no circuits.
    """
    config, tensors, path = _opened(source)
    if execution is not None:
        config = config.updated({"training": {"execution": execution}})
    generator, _ = build_networks(_from_checkpoint(config))
    to_device(generator, torch.device("cpu"))
    load_module(generator, checkpoint.part(tensors, "ema"), "ema")
    return generator.eval(), config, checkpoint.digest_of(path, "ema")


def open_discriminator(source: Path) -> tuple[nn.Module, RunConfig]:
    """Return the discriminator of a run or of one checkpoint; see :func:`open_generator`.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    config, tensors, _ = _opened(source)
    _, discriminator = build_networks(_from_checkpoint(config))
    load_module(discriminator, checkpoint.part(tensors, "discriminator"), "discriminator")
    return discriminator.eval(), config


def _from_checkpoint(config: RunConfig) -> RunConfig:
    """Return settings for networks whose weights all come from a checkpoint: no file of others has to be there."""
    return config.updated({"model": {"weights": None}}) if hasattr(config.model, "weights") else config


def _opened(source: Path) -> tuple[RunConfig, dict[str, dict[str, Tensor]], Path]:
    """Return settings, tensors by file, and the checkpoint they are from."""
    folder = run_of(source)
    run = RunFolder.open(folder)
    # Before the weights: they mean nothing without the settings.
    config = run.config()
    if folder != source:
        path, (tensors, _) = source, checkpoint.load(source)
    else:
        path, tensors, _, complaints = checkpoint.load_newest(run.checkpoints)
        for complaint in complaints:
            logger.warning(f"passed over {complaint}")
    return config, tensors, path


def keep_to_class(generator: Generator, config: RunConfig, name: str) -> tuple[int, ...]:
    """Let a conditional generator make images of some classes only.

    Args:
        generator: from :func:`open_generator`.
        config: of its run.
        name: of a class, or of several with commas between them.

    Returns:
        The rows of these classes, in the order given.

    Raises:
        UsageError: it has no such class, makes images of one class anyway, or a class is named twice.
    """
    if not generator.num_classes:
        raise UsageError(f"--class {name}: this run makes images of class {config.data.class_name} alone; leave it out")
    names = config.data.class_list()
    folded = [known.casefold() for known in names]
    wanted = [part.strip().casefold() for part in name.split(",")]
    if any(part not in folded for part in wanted):
        raise UsageError(f"--class {name}: the run has {', '.join(names)}")
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"--class {name} names a class twice; name each once")
    labels = tuple(folded.index(part) for part in wanted)
    generator.set_class(*labels)
    return labels
