"""Settings, rules and presets of HybridQ (arXiv 2506.21015v1)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.models import base
from qgan_qiskit.config.models.base import ModelSettings, Preset
from qgan_qiskit.config.training import TrainingConfig

# Settings that shape the built-in circuit, and mean nothing beside a circuit of the user's own.
CIRCUIT_FIELDS = ("num_qubits", "reps", "encoding", "entangler", "readout")


class HybridQConfig(ModelSettings):
    """HybridQ (arXiv 2506.21015v1): classical encoder, quantum sub-generators, classical decoder, discriminator."""

    is_quantum: ClassVar[bool] = True

    name: Literal["hybridq"] = "hybridq"
    mode: Literal["image", "latent", "fusion"] = Field(
        "image",
        description="Which reading of the paper's training flow: the discriminator sees images, latents, or images whose "
        "angles fuse an encoded real image with noise.",
    )
    sub_generators: base.SubGeneratorCount = 10
    num_qubits: base.QubitCount = 10
    reps: base.Reps = 6
    encoding: base.EncodingField = "ry"
    entangler: base.EntanglerField = "cx"
    readout: base.ReadoutField = "z"
    ansatz: str | None = Field(
        None,
        description="OpenQASM 3 file of your own sub-generator circuit (replaces encoding, entangler, reps and readout).",
    )
    input_names: str | None = Field(
        None,
        description="What inputs are called in the circuit of your own: patterns as in a shell (* for any text, ? for a "
        "character, [0-9]) with commas between them; matches are in natural order, 2 before 10. [default: x_NNN]",
    )
    weight_names: str | None = Field(
        None,
        description="What weights are called in the circuit of your own: patterns as in a shell. [default: theta_NNN]",
    )
    classical_baseline: base.ClassicalBaseline = False
    encoder: Literal["identity", "linear"] = Field("identity", description="Map from noise to angles.")
    decoder: Literal["upsample", "modulated", "paper"] = Field(
        "upsample",
        description="Map from expectations to the image: upsampling convolutions, the same with the expectations steering "
        "every stage, or the paper's.",
    )
    decoder_width: base.DecoderWidth = 128
    discriminator_width: base.DiscriminatorWidth = 48
    discriminator_norm: base.DiscriminatorNorm = "batch"
    minibatch_std: base.MinibatchStd = False
    latent_range: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="Latent range: fixed [0, latent_high), or MosaiQ's adaptive bound from pi/8 to 3pi/4 (not in latent "
        "mode; bce loss only).",
    )
    latent_high: base.LatentHigh = 3.141592653589793

    @property
    def discriminator_input(self) -> str:
        """What the discriminator compares."""
        return "latents in model.mode 'latent'" if self.mode == "latent" else "images"

    def check(self, data: DataConfig, training: TrainingConfig) -> None:
        """Refuse what does not fit; see the base class."""
        super().check(data, training)
        if self.adaptive_latent_range and self.mode == "latent":
            raise ValueError("model.latent_range 'adaptive' needs model.mode 'image' or 'fusion', not 'latent'")
        for field, patterns in (("input_names", self.input_names), ("weight_names", self.weight_names)):
            if patterns is not None and self.ansatz is None:
                raise ValueError(f"model.{field} names parameters of model.ansatz, which is not given")
        if self.ansatz is not None and self.classical_baseline:
            raise ValueError("model.classical_baseline replaces the circuits, so it cannot be used with model.ansatz")

    def ineffective(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return settings that do nothing beside the others, as (reason, names)."""
        discriminator = ("discriminator_width", "discriminator_norm")
        rules = [
            (self.ansatz is not None, "with --ansatz, which brings the whole circuit", CIRCUIT_FIELDS),
            (self.decoder == "paper", "with --decoder paper", ("decoder_width",)),
            (self.mode == "latent", "with --mode latent, whose discriminator sees no images", discriminator),
            (self.mode == "image", "with --mode image, which reconstructs nothing", ("reconstruction_weight",)),
        ]
        return super().ineffective() + [(why, names) for applies, why, names in rules if applies]


# Small batches, and high rates that fall toward 0 over the last 60 % of the run; other models' defaults train so, too.
TUNED_TRAINING = TrainingConfig(batch_size=16, lr_classical=1e-3, lr_discriminator=4e-4, lr_decay_from=0.4)


def default() -> Preset:
    """Return what makes the best images of real lesions in our trials.

    Expectations steer every stage of the decoder; the discriminator sees how much images vary. How each was chosen:
    docs/results/hybridq_levers.
    """
    return Preset(HybridQConfig(decoder="modulated", minibatch_std=True), training=TUNED_TRAINING)


def quick() -> Preset:
    """Return a narrow HybridQ for a first look: same circuits, a discriminator and decoder of half the width."""
    return Preset(
        HybridQConfig(decoder_width=64, discriminator_width=32),
        training=TrainingConfig(epochs=50, ema_decay=0.99, grid_every=100),
    )


def paper() -> Preset:
    """Return the literal reading of arXiv 2506.21015v1, section 3 and 4.1; where it is silent, DCGAN's habits.

    3.692M parameters in all (the paper says 3.7M), Adam at 0.3 (quantum), 2e-4 (encoder and decoder) and 2e-3
    (discriminator), 100 epochs, adaptive latent range, latents of real images fused with noise.
    """
    return Preset(
        HybridQConfig(mode="fusion", decoder="paper", discriminator_width=64, latent_range="adaptive"),
        DataConfig(augment="none"),
        TrainingConfig(epochs=100, lr_quantum=0.3, lr_classical=2e-4, lr_discriminator=2e-3),
    )


HybridQConfig.presets = {"default": default, "quick": quick, "paper": paper}
