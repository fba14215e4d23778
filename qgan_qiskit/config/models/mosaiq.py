"""Settings, rules and presets of MosaiQ (Silver et al. 2023, arXiv 2308.11096)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.models import base
from qgan_qiskit.config.models.base import ModelSettings, Preset
from qgan_qiskit.config.training import TrainingConfig


class MosaiqConfig(ModelSettings):
    """MosaiQ (Silver et al. 2023, arXiv 2308.11096): circuits that generate principal components of a class."""

    is_quantum: ClassVar[bool] = True
    halves_images: ClassVar[bool] = False

    name: Literal["mosaiq"] = "mosaiq"
    sub_generators: base.SubGeneratorCount = 10
    num_qubits: base.QubitCount = 10
    reps: base.Reps = 6
    encoding: base.EncodingField = "ry_rx"
    entangler: base.EntanglerField = "cz"
    readout: base.ReadoutField = "x"
    classical_baseline: base.ClassicalBaseline = False
    latent_range: Literal["fixed", "adaptive"] = Field(
        "adaptive", description="Latent range: fixed [0, latent_high), or the adaptive bound from pi/8 to 3pi/4."
    )
    latent_high: base.LatentHigh = 1.5707963267948966
    shared_latent: bool = Field(
        True, description="Give all sub-generators the same noise, as published; off: each its own."
    )

    @property
    def discriminator_input(self) -> str:
        """What the discriminator compares."""
        return "scores of principal components"

    def check(self, data: DataConfig, training: TrainingConfig) -> None:
        """Refuse what does not fit; see the base class."""
        components, numbers = self.sub_generators * self.num_qubits, data.channels * data.resolution**2
        if components > numbers:
            raise ValueError(
                f"model mosaiq makes {components} principal components here (sub_generators x num_qubits), and images of "
                f"data.resolution {data.resolution} have {numbers} numbers: take fewer components or larger images"
            )
        super().check(data, training)


def default() -> Preset:
    """Return MosaiQ at HybridQ's 10x10 circuits on 64x64 color images, with rates that train there: 8,121 parameters.

    With the published rates (preset ``scaled``) the discriminator wins on lesions within a thousand steps, in our trials.
    """
    training = TrainingConfig(
        epochs=100, batch_size=32, r1_weight=1.0, ema_decay=0.0, precision="fp32", snap=1000, grid_every=1000
    )
    model = MosaiqConfig(latent_range="fixed", latent_high=3.141592653589793)
    return Preset(model, DataConfig(augment="none"), training)


def paper() -> Preset:
    """Return MosaiQ as its code has it: 8x5 circuits on 28x28 gray images of one class, 240 + 3,681 = 3,921 parameters."""
    data = DataConfig(resolution=28, color="grayscale", augment="none")
    return Preset(MosaiqConfig(sub_generators=8, num_qubits=5), data, _PUBLISHED_TRAINING)


def scaled() -> Preset:
    """Return MosaiQ as HybridQ's paper scales it (section 4.1): 10x10 circuits on 64x64 color images, published rates."""
    return Preset(MosaiqConfig(), DataConfig(augment="none"), _PUBLISHED_TRAINING)


# As in mosaiq.py of the authors' code; samples come from the weights as they are, not from an average.
_PUBLISHED_TRAINING = TrainingConfig(
    epochs=500,
    batch_size=8,
    optimizer="sgd",
    lr_quantum=0.3,
    lr_discriminator=0.05,
    ema_decay=0.0,
    precision="fp32",
    snap=5000,
    grid_every=5000,
    log_every=100,
)

MosaiqConfig.presets = {"default": default, "paper": paper, "scaled": scaled}
