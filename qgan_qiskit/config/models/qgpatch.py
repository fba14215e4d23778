"""Settings, rules and presets of QGPatch (Huang et al., Phys. Rev. Applied 16, 024051, arXiv 2010.06201)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.models import base
from qgan_qiskit.config.models.base import ModelSettings, Preset
from qgan_qiskit.config.training import TrainingConfig


class QgpatchConfig(ModelSettings):
    """QGPatch (Huang et al., Phys. Rev. Applied 16, 024051): probabilities of basis states as patches of a gray image."""

    is_quantum: ClassVar[bool] = True
    halves_images: ClassVar[bool] = False

    name: Literal["qgpatch"] = "qgpatch"
    sub_generators: base.SubGeneratorCount = 4
    num_qubits: int = Field(5, ge=2, le=14, description="Qubits of each sub-generator.")
    num_ancillas: int = Field(1, ge=0, le=4, description="Qubits of each that are projected on 0 and show no pixels.")
    reps: base.Reps = 5
    patch_readout: Literal["paper", "tutorial", "unnormalised"] = Field(
        "paper",
        description="From probabilities to pixels: conditioned on the ancillas (paper), divided by the patch's largest "
        "(tutorial), or not divided (unnormalised); paper and unnormalised are scaled to the real images' brightness.",
    )
    classical_baseline: base.ClassicalBaseline = False
    latent_high: base.LatentHigh = 3.141592653589793

    @property
    def discriminator_input(self) -> str:
        """What the discriminator compares."""
        return "pixels as vectors"

    def check(self, data: DataConfig, training: TrainingConfig) -> None:
        """Refuse what does not fit; see the base class."""
        if data.color != "grayscale":
            raise ValueError("model qgpatch makes gray images: use data.color 'grayscale' with it")
        if self.num_ancillas >= self.num_qubits:
            raise ValueError(
                f"model.num_ancillas is {self.num_ancillas} of {self.num_qubits} qubits: leave at least one for pixels"
            )
        side, pixels = data.resolution, self.sub_generators * 2 ** (self.num_qubits - self.num_ancillas)
        if pixels != side**2:
            raise ValueError(
                f"data.resolution {side} has {side**2} pixels, and these sub-generators make {pixels} "
                "(sub_generators x 2^(num_qubits - num_ancillas)): change one of them"
            )
        super().check(data, training)


_DIGITS = DataConfig(path="sklearn:digits", resolution=8, color="grayscale", augment="none")


def _training(**changes: Any) -> TrainingConfig:
    """Return rates 0.05 and 0.001 (arXiv 2010.06201, appendix B) with changes; samples come from the weights as they are."""
    published = {"batch_size": 8, "lr_quantum": 0.05, "lr_discriminator": 0.001, "ema_decay": 0.0, "precision": "fp32"}
    return TrainingConfig(**{**published, **changes})


def default() -> Preset:
    """Return QGPatch on 8x8 digits with the paper's circuits, read-out and rates, and what makes them train steadily.

    100 angles and a discriminator of 5,217 parameters. Ours: latents up to 1 radian instead of pi, and the R1 penalty.
    """
    return Preset(QgpatchConfig(latent_high=1.0), _DIGITS, _training(steps=1000, batch_size=32, r1_weight=1.0))


def paper() -> Preset:
    """Return QGPatch as published (appendix B): latents up to pi, rates 0.05 and 0.001, 350 steps.

    Where the paper is silent: Adam, batches of 8.
    """
    return Preset(QgpatchConfig(), _DIGITS, _training(steps=350))


def tutorial() -> Preset:
    """Return the variant of PennyLane's tutorial: patches divided by their largest, 6 layers, latents up to pi/2, SGD."""
    model = QgpatchConfig(patch_readout="tutorial", reps=6, latent_high=1.5707963267948966)
    return Preset(model, _DIGITS, _training(steps=500, optimizer="sgd", lr_quantum=0.3, lr_discriminator=0.01))


def unnormalised() -> Preset:
    """Return the default with probabilities that are not divided by that of the ancilla, so patches can be dark."""
    base = default()
    return base._replace(model=QgpatchConfig(patch_readout="unnormalised", latent_high=1.0))


QgpatchConfig.presets = {"default": default, "paper": paper, "tutorial": tutorial, "unnormalised": unnormalised}
