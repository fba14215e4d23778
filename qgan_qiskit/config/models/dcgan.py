"""Settings, rules and presets of DCGAN (Radford et al. 2015, arXiv 1511.06434)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qgan_qiskit.config.models import base
from qgan_qiskit.config.models.base import ModelSettings, Preset
from qgan_qiskit.config.models.hybridq import TUNED_TRAINING
from qgan_qiskit.config.training import TrainingConfig


class DcganConfig(ModelSettings):
    """DCGAN (Radford et al. 2015) in the usual 64x64 tutorial sizes."""

    name: Literal["dcgan"] = "dcgan"
    latent_size: int = Field(100, ge=1, le=4096, description="Numbers in a latent vector.")
    generator_width: int = Field(64, ge=8, le=512, multiple_of=8, description="Channels of the generator's last stage.")
    discriminator_width: base.DiscriminatorWidth = 64
    discriminator_norm: base.DiscriminatorNorm = "batch"
    minibatch_std: base.MinibatchStd = False


def default() -> Preset:
    """Return DCGAN in the usual tutorial sizes and rates: 6,342,272 parameters."""
    return Preset(DcganConfig(), training=TrainingConfig(lr_classical=2e-4))


def matched() -> Preset:
    """Return DCGAN trained as HybridQ's default is: batches, rates, averages, augmentation, what its discriminator sees."""
    return Preset(DcganConfig(minibatch_std=True), training=TUNED_TRAINING)


DcganConfig.presets = {"default": default, "matched": matched}
