"""Presets: functions that return a whole configuration, by model and name."""

from __future__ import annotations

from collections.abc import Callable

from qgan_qiskit.config import DataConfig, DcganConfig, HybridQConfig, RunConfig, TrainingConfig
from qgan_qiskit.errors import UsageError


def hybridq_default() -> RunConfig:
    """Return what trains well on real lesions in our measurements (docs/results/hybridq_isic_mel)."""
    return RunConfig(preset="default")


def hybridq_quick() -> RunConfig:
    """Return a narrow HybridQ for a first look: same circuits, a discriminator and decoder of half the width."""
    return RunConfig(
        preset="quick",
        model=HybridQConfig(decoder_width=64, discriminator_width=32),
        training=TrainingConfig(epochs=50, ema_decay=0.99, grid_every=100),
    )


def hybridq_paper() -> RunConfig:
    """Return the literal reading of arXiv 2506.21015v1, section 3 and 4.1; where it is silent, DCGAN's habits.

    3.692M parameters in all (the paper says 3.7M), Adam at 0.3 (quantum), 2e-4 (encoder and decoder) and 2e-3
    (discriminator), 100 epochs, adaptive noise, latents of real images fused with noise.
    """
    return RunConfig(
        preset="paper",
        model=HybridQConfig(mode="fusion", decoder="paper", discriminator_width=64, noise="adaptive"),
        data=DataConfig(augment="none"),
        training=TrainingConfig(epochs=100, lr_quantum=0.3, lr_classical=2e-4, lr_discriminator=2e-3),
    )


def dcgan_default() -> RunConfig:
    """Return DCGAN in the usual tutorial sizes and rates: 6,342,272 parameters."""
    return RunConfig(preset="default", model=DcganConfig(), training=TrainingConfig(lr_classical=2e-4))


PRESETS: dict[str, dict[str, Callable[[], RunConfig]]] = {
    "hybridq": {"default": hybridq_default, "quick": hybridq_quick, "paper": hybridq_paper},
    "dcgan": {"default": dcgan_default},
}


def preset(model: str, name: str) -> RunConfig:
    """Return a model's preset.

    Raises:
        UsageError: there is no such model or preset; the message lists them.
    """
    if model not in PRESETS:
        raise UsageError(f"--model '{model}': no such model; there are {', '.join(PRESETS)}")
    if name not in PRESETS[model]:
        raise UsageError(f"--preset '{name}': {model} has {', '.join(PRESETS[model])}")
    return PRESETS[model][name]()
