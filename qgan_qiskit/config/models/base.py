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
EncodingSetting = Annotated[
    Encoding, Field(description="Angle encoding of the inputs: RY, or RY then RX of the same angle.")
]
EntanglerSetting = Annotated[Entangler, Field(description="Two-qubit gate of the ladder 0-1, 1-2, ….")]
ReadoutSetting = Annotated[Readout, Field(description="Pauli measured on each qubit.")]
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
MinibatchStdSetting = Annotated[
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
        weight_files: settings that name files of weights, which a run reads only when it starts.
        presets: functions that return the settings of each preset, by name.
    """

    conditional: ClassVar[bool] = False
    is_quantum: ClassVar[bool] = False
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
    def discriminator_sees_images(self) -> bool:
        """Whether the discriminator compares images, not vectors."""
        return True

    @property
    def batch_norm_remedy(self) -> str | None:
        """What to change for a discriminator without batch norm; None if it has none."""
        return None

    def check(self, data: DataConfig, training: TrainingConfig) -> None:
        """Refuse images and ways of training that the model cannot work with; models add their own rules.

        Raises:
            ValueError: naming the settings and what would fit.
        """
        if training.loss == "wgan-gp" and self.batch_norm_remedy is not None:
            raise ValueError(
                "training.loss 'wgan-gp' penalizes the gradient of each image, which batch norm mixes: "
                + self.batch_norm_remedy
            )
        if self.adaptive_latent_range and training.loss != "bce":
            raise ValueError(
                "model.latent_range 'adaptive' needs training.loss 'bce' (the bound is a ratio of its two losses), "
                f"not '{training.loss}'"
            )
        if training.diff_augment != "none" and not self.discriminator_sees_images:
            raise ValueError(
                f"training.diff_augment changes color images, and the discriminator of {self.name}"
                f"{self._mode_suffix()} sees none"
            )
        devices = training.devices
        if devices > 1 and getattr(self, "minibatch_std", False) and training.batch_size // devices % 4:
            raise ValueError(
                f"model.minibatch_std compares images in groups of 4, which {devices} devices cannot share out of "
                f"training.batch_size {training.batch_size}: take a multiple of {4 * devices}"
            )

    def _mode_suffix(self) -> str:
        return ""

    def ineffective(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return settings that do nothing beside the others, as (``why``, names)."""
        if self.adaptive_latent_range:
            return [("with --latent-range adaptive, which sets the range itself", ("latent_high",))]
        return []


def check_power_of_two(data: DataConfig) -> None:
    """Refuse images that convolutions of stride 2 do not bring down to 4x4.

    Raises:
        ValueError: naming the sides that fit.
    """
    side = data.resolution
    if side & (side - 1) or side < 16:
        raise ValueError(
            f"data.resolution must be 16, 32, 64, 128, 256 or 512, which these networks halve down to 4, not {side}"
        )
