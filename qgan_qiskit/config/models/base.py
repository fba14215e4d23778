"""The base of every model's settings: what the rest of the library may ask about a model without knowing which one it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from qgan_qiskit.config.base import Settings
from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.training import TrainingConfig

Encoding = Literal["ry", "ry_rx"]
Entangler = Literal["cx", "cz"]
Readout = Literal["z", "x"]

# Settings that several models share.
SubGeneratorCount = Annotated[int, Field(ge=1, le=64, description="Number of quantum sub-generators.")]
QubitCount = Annotated[int, Field(ge=1, le=20, description="Qubits of each sub-generator.")]
Reps = Annotated[int, Field(ge=1, le=200, description="Repetitions of the rotation + entangler layer.")]
EncodingField = Annotated[
    Encoding, Field(description="Angle encoding of the inputs: RY, or RY then RX of the same angle.")
]
EntanglerField = Annotated[Entangler, Field(description="Two-qubit gate of the ladder 0-1, 1-2, ….")]
ReadoutField = Annotated[Readout, Field(description="Pauli measured on each qubit.")]
ClassicalBaseline = Annotated[
    bool, Field(description="Replace the circuits by classical layers of equal parameter count.")
]
LatentHigh = Annotated[float, Field(gt=0, le=6.3, description="Upper end of the uniform latent range in radians.")]
DecoderWidth = Annotated[
    int, Field(ge=8, le=1024, multiple_of=8, description="Channels of the upsampling decoder's first stage.")
]
DiscriminatorWidth = Annotated[
    int, Field(ge=8, le=512, multiple_of=8, description="Channels of the discriminator's first stage.")
]
DiscriminatorNorm = Annotated[Literal["batch", "spectral"], Field(description="Normalization in the discriminator.")]
MinibatchStd = Annotated[
    bool, Field(description="Show the discriminator how much images vary in groups of 4 (not in latent mode).")
]


class Preset(NamedTuple):
    """The sections of a run's settings that a preset decides."""

    model: ModelSettings
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()


class ModelSettings(Settings):
    """Settings of one model, with its traits.

    Attributes:
        name: what the command line calls the model; its networks are in ``models/NAME.py``.
        conditional: whether one run makes images of several classes.
        is_quantum: whether the generator is built around a circuit, or a classical block of the circuit's shape.
        halves_images: whether the networks need images whose side is a power of two.
        weight_files: settings that name files of weights, which a run reads only when it starts.
        presets: functions that return the settings of each preset, by name.
    """

    conditional: ClassVar[bool] = False
    is_quantum: ClassVar[bool] = False
    halves_images: ClassVar[bool] = True
    weight_files: ClassVar[tuple[str, ...]] = ()
    presets: ClassVar[dict[str, Callable[[], Preset]]] = {}

    name: str

    @classmethod
    def has_classical_baseline(cls) -> bool:
        """Return whether the model's circuits can be replaced by classical layers of equal parameter count."""
        return "classical_baseline" in cls.model_fields

    @property
    def is_baseline(self) -> bool:
        """Whether the circuits are replaced."""
        return bool(getattr(self, "classical_baseline", False))

    @property
    def adaptive_latent_range(self) -> bool:
        """Whether training moves the upper end of the latent range."""
        return getattr(self, "latent_range", "fixed") == "adaptive"

    @property
    def circuit_file(self) -> str | None:
        """The user's own circuit, None for a built-in one."""
        return getattr(self, "ansatz", None)

    @property
    def discriminator_input(self) -> str:
        """What the discriminator compares: ``images``, or the name of something else."""
        return "images"

    def check(self, data: DataConfig, training: TrainingConfig) -> None:
        """Refuse images and ways of training that the model cannot work with; models add their own rules.

        Raises:
            ValueError: naming the settings and what would fit.
        """
        side, devices = data.resolution, training.devices
        if self.halves_images and (side & (side - 1) or side < 16):
            raise ValueError(
                f"data.resolution must be 16, 32, 64, 128, 256 or 512, which these networks halve down to 4, not {side}"
            )
        if self.discriminator_input == "images" and getattr(self, "discriminator_norm", None) == "batch":
            refuse_gradient_penalty(training, "use model.discriminator_norm 'spectral' with it")
        if self.adaptive_latent_range and training.loss != "bce":
            raise ValueError(
                "model.latent_range 'adaptive' needs training.loss 'bce' (the bound is a ratio of its two losses), "
                f"not '{training.loss}'"
            )
        if training.diff_augment != "none" and self.discriminator_input != "images":
            raise ValueError(
                f"training.diff_augment changes color images, and the discriminator of {self.name} sees "
                f"{self.discriminator_input}: leave it out"
            )
        if devices > 1 and getattr(self, "minibatch_std", False) and training.batch_size // devices % 4:
            raise ValueError(
                f"model.minibatch_std compares images in groups of 4, which {devices} devices cannot share out of "
                f"training.batch_size {training.batch_size}: take a multiple of {4 * devices}"
            )

    def ineffective(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return settings that do nothing beside the others, as (reason, names)."""
        if self.adaptive_latent_range:
            return [("with --latent-range adaptive, which sets the range itself", ("latent_high",))]
        return []


def refuse_gradient_penalty(training: TrainingConfig, remedy: str) -> None:
    """Refuse WGAN-GP for a discriminator with batch norm.

    Raises:
        ValueError: the loss is WGAN-GP; the message ends in the remedy.
    """
    if training.loss == "wgan-gp":
        raise ValueError(
            f"training.loss 'wgan-gp' penalizes the gradient of each image, which batch norm mixes: {remedy}"
        )
