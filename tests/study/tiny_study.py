"""Studies that take seconds: presets of tiny networks, added to the library's in a test's own process."""

from __future__ import annotations

from multiprocessing.process import BaseProcess
from pathlib import Path

import child_runs
from tiny_runs import MEDIQ, MODEL

from qgan_qiskit.config import PRESETS, DcganConfig, HybridQConfig, MediqConfig, RunConfig, TrainingConfig

_TRAINING = {"precision": "fp32", "snap": 2, "grid_every": 1000, "log_every": 1, "threads": 1}
# Synthetic lesions of 16x16 pixels and a metric without a network.
OPTIONS = (
    "--synthetic-per-class",
    "20",
    "--resolution",
    "16",
    "--metrics",
    "ssim",
    "--bootstrap",
    "20",
    "--threads",
    "1",
)


def tiny_hybridq() -> RunConfig:
    """Return a HybridQ of a few weights; batches of 8."""
    return RunConfig(preset="tiny", model=HybridQConfig(**MODEL), training=TrainingConfig(batch_size=8, **_TRAINING))


def tiny_dcgan() -> RunConfig:
    """Return a DCGAN of a few weights; batches of 5."""
    model = DcganConfig(latent_size=8, generator_width=8, discriminator_width=8)
    return RunConfig(preset="tiny", model=model, training=TrainingConfig(batch_size=5, **_TRAINING))


def tiny_mediq() -> RunConfig:
    """Return a MediQ-GAN of a few weights; two batches of 5 in a step."""
    training = TrainingConfig(batch_size=5, critic_steps=2, loss="wgan-gp", **_TRAINING)
    return RunConfig(preset="tiny", model=MediqConfig(**MEDIQ), training=training)


def breaking_dcgan() -> RunConfig:
    """Return a DCGAN whose discriminator overflows in the first steps."""
    config = tiny_dcgan().model_dump()
    config["training"] |= {"lr_discriminator": 1.0, "optimizer": "sgd", "r1_weight": 1e20}
    return RunConfig.model_validate(config | {"preset": "breaking"})


def add_presets() -> None:
    """Make ``hybridq:tiny``, ``dcgan:tiny``, ``mediq:tiny`` and ``dcgan:breaking`` known in this process."""
    PRESETS["hybridq"]["tiny"] = tiny_hybridq
    PRESETS["dcgan"]["tiny"] = tiny_dcgan
    PRESETS["mediq"]["tiny"] = tiny_mediq
    PRESETS["dcgan"]["breaking"] = breaking_dcgan


def start_study(arguments: list[object], output: Path, slow_step: float = 0.0) -> BaseProcess:
    """Start ``study compare`` with tiny presets in a process of its own; what it prints goes to a file."""
    words = ["study", "compare", *(str(argument) for argument in arguments)]
    process = child_runs._CONTEXT.Process(target=_study, args=(words, str(output), slow_step))
    process.start()
    return process


def _study(words: list[str], output: str, slow_step: float) -> None:
    add_presets()
    child_runs._main(words, output, slow_step)


def cells_of(study: Path) -> dict[str, dict[str, int]]:
    """Return the times of change of all files of finished cells."""
    return {
        cell.parent.name: {
            str(path): path.stat().st_mtime_ns
            for path in cell.parent.rglob("*")
            if path.is_file() and path.name != ".lock"
        }
        for cell in study.glob("cells/*/cell.json")
    }
