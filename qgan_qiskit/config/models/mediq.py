"""Settings, rules and presets of MediQ-GAN (arXiv 2506.21015v2)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.models import base
from qgan_qiskit.config.models.base import ModelSettings, Preset
from qgan_qiskit.config.models.hybridq import TUNED_TRAINING
from qgan_qiskit.config.training import TrainingConfig


class MediqConfig(ModelSettings):
    """MediQ-GAN (arXiv 2506.21015v2): one conditional generator of all classes with a classical and a quantum stream."""

    conditional: ClassVar[bool] = True
    is_quantum: ClassVar[bool] = True
    weight_files: ClassVar[tuple[str, ...]] = ("prototype_file",)

    name: Literal["mediq"] = "mediq"
    latent_size: int = Field(128, ge=1, le=4096, description="Normal numbers in a latent vector.")
    encoder: Literal["cnn", "fc"] = Field(
        "cnn", description="From class and latent to the features that both streams share."
    )
    quantum_fraction: float = Field(
        0.5, gt=0, lt=1, description="Fraction of the 32 feature channels that the quantum stream gives."
    )
    quantum_stream: Literal["faithful", "full"] = Field(
        "faithful",
        description="Circuits at some of the 16 sites with one number each, as published, or at all sites with a number for "
        "each qubit.",
    )
    sub_generators: int = Field(5, ge=1, le=16, description="Number of quantum sub-generators.")
    num_qubits: base.QubitCount = 16
    reps: base.Reps = 8
    angle_norm: Literal["none", "layer"] = Field(
        "none",
        description="Bring the angles of each site to mean 0 and deviation 1 radian, however large the features grow; none as "
        "published.",
    )
    classical_baseline: base.ClassicalBaseline = False
    decoder: Literal["style2", "vanilla"] = Field(
        "style2", description="Map from features to the image: residual upsampling with noise, or a wide layer."
    )
    decoder_norm: Literal["none", "batch"] = Field(
        "none", description="Normalize what the small decoder style2 computes over the batch; none as published."
    )
    prototypes: bool = Field(
        True, description="Draw latents around a vector that each class learns, instead of around 0."
    )
    prototype_file: str | None = Field(
        None, description="File of the prototypes command that these vectors start from. [default: random ones]"
    )
    prototype_width: int = Field(1280, ge=1, le=8192, description="Numbers in a class prototype.")
    prototype_skips: bool = Field(True, description="Show the class prototype to every scale of the decoder, too.")
    critic: Literal["projection", "dcgan"] = Field(
        "projection",
        description="Discriminator of images and their class: the published critic without normalization, or DCGAN's "
        "(with batch norm), given the class in the same way.",
    )
    critic_width: int = Field(64, ge=8, le=512, multiple_of=8, description="Channels of the critic's first stage.")
    minibatch_std: bool = Field(
        False, description="Show the critic dcgan how much images vary in groups of 4, of whatever class."
    )

    def check(self, data: DataConfig, training: TrainingConfig) -> None:
        """Refuse what does not fit; see the base class."""
        super().check(data, training)
        if self.critic == "dcgan":
            base.refuse_gradient_penalty(training, "use model.critic 'projection' with it")
        if self.minibatch_std and self.critic != "dcgan":
            raise ValueError(f"model.minibatch_std is for model.critic 'dcgan', not '{self.critic}'")
        if self.angle_norm == "layer" and self.num_qubits == 1:
            raise ValueError("model.angle_norm 'layer' makes the only angle of a circuit 0: take more model.num_qubits")
        if self.decoder_norm != "none" and self.decoder != "style2":
            raise ValueError(
                f"model.decoder_norm '{self.decoder_norm}' is for model.decoder 'style2', not '{self.decoder}'"
            )


def default() -> Preset:
    """Return MediQ-GAN with its small decoder, trained as HybridQ's default is, against DCGAN's discriminator with the class.

    One update of the discriminator for each of the generator: a step takes 16 real images, as published 30.
    """
    model = MediqConfig(angle_norm="layer", decoder_norm="batch", critic="dcgan", critic_width=48, minibatch_std=True)
    return Preset(model, training=TUNED_TRAINING)


def style2() -> Preset:
    """Return MediQ-GAN with its small decoder, skips from the prototypes to the decoder's scales (ours), and published rates."""
    return Preset(MediqConfig(), training=_published_training())


def paper() -> Preset:
    """Return MediQ-GAN as its authors' code has it for ISIC (mediq-gan.py): wide decoder, no skips, no augmentation.

    WGAN-GP at weight 10, three critic updates, batches of 10, 200 passes; rates 0.3 (quantum), 1e-4 and 2e-4 (critic).
    """
    model = MediqConfig(decoder="vanilla", prototype_skips=False)
    return Preset(model, DataConfig(augment="none"), _published_training(epochs=200, ema_decay=0.0))


def _published_training(**changes: Any) -> TrainingConfig:
    published = {
        "batch_size": 10,
        "critic_steps": 3,
        "loss": "wgan-gp",
        "lr_quantum": 0.3,
        "lr_classical": 1e-4,
        "lr_discriminator": 2e-4,
        "beta1_discriminator": 0.0,
        "beta2_discriminator": 0.9,
        "precision": "fp32",
    }
    return TrainingConfig(**{**published, **changes})


MediqConfig.presets = {"default": default, "style2": style2, "paper": paper}
