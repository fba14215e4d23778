"""Settings, rules and presets of GANs with transfer learning (arXiv 2507.09706)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field

from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.models import base
from qgan_qiskit.config.models.base import ModelSettings, Preset
from qgan_qiskit.config.models.hybridq import TUNED_TRAINING
from qgan_qiskit.config.training import TrainingConfig

# Stages of each backbone, from the image on; only the last ones may be trained.
BACKBONE_STAGES = {"resnet18": 5, "resnet50": 5, "mobilenet_v2": 19}


class TransferConfig(ModelSettings):
    """GANs with transfer learning (arXiv 2507.09706): classical or quantum blocks, and a pretrained discriminator."""

    is_quantum: ClassVar[bool] = True
    weight_files: ClassVar[tuple[str, ...]] = ("weights",)

    name: Literal["transfer"] = "transfer"
    quantum: Literal["none", "generator", "discriminator", "both"] = Field(
        "both",
        description="Which of the two blocks are circuits; the others are classical ones of equal parameter count.",
    )
    num_qubits: int = Field(5, ge=1, le=16, description="Qubits of a block, and numbers in a latent vector.")
    reps: base.Reps = 3
    latent_high: base.LatentHigh = 3.141592653589793
    decoder_width: base.DecoderWidth = 128
    backbone: Literal["resnet18", "resnet50", "mobilenet_v2"] = Field(
        "resnet18", description="Network of torchvision that the discriminator looks through."
    )
    weights: str | None = Field(
        None, description="File of its weights, with torchvision's names; without it all of it learns from scratch."
    )
    normalization: Literal["imagenet", "symmetric"] = Field(
        "imagenet", description="What the weights expect of pixels: ImageNet's mean and deviation, or -1 to 1."
    )
    resnet_stride: Literal["conv2", "conv1"] = Field(
        "conv2",
        description="Convolution that halves the image in a ResNet-50's layers 2 to 4: torchvision's, or the original's.",
    )
    input_size: int | None = Field(
        None, ge=16, le=512, description="Side that images are brought to for the backbone. [default: their own]"
    )
    head_angles: Literal["tanh", "linear"] = Field(
        "tanh",
        description="Angles of the discriminator's block: pi/2 (1 + tanh x) of what the linear layer makes of the features, or "
        "pi/2 + x, which never levels off.",
    )
    trained_stages: int = Field(
        0,
        ge=0,
        le=19,
        description="Last stages of the pretrained backbone that learn, too: of a ResNet's 5, of MobileNetV2's 19.",
    )

    @property
    def quantum_generator(self) -> bool:
        """Whether the generator's block is a circuit."""
        return self.quantum in ("generator", "both")

    @property
    def quantum_discriminator(self) -> bool:
        """Whether the discriminator's block is a circuit."""
        return self.quantum in ("discriminator", "both")

    def check(self, data: DataConfig, training: TrainingConfig) -> None:
        """Refuse what does not fit; see the base class."""
        super().check(data, training)
        if self.weights is None:
            base.refuse_gradient_penalty(training, "a backbone that starts from scratch has it; name model.weights")
        if self.quantum_discriminator and (training.loss == "wgan-gp" or training.r1_weight):
            raise ValueError(
                "training.loss 'wgan-gp' and training.r1_weight differentiate the discriminator twice, which its circuit cannot: "
                "use another loss, or model.quantum 'none' or 'generator'"
            )
        stages = BACKBONE_STAGES[self.backbone]
        if self.trained_stages > stages:
            raise ValueError(
                f"model.trained_stages is {self.trained_stages}, and model.backbone {self.backbone} has {stages}"
            )


def default() -> Preset:
    """Return the GAN with circuits in both networks, trained as HybridQ's default is, with bce and a frozen backbone.

    Angles of the discriminator's block do not level off: with tanh all of them ended where it is flat, and nothing learned.
    """
    return Preset(TransferConfig(head_angles="linear"), training=TUNED_TRAINING)


def _with_circuits_in(quantum: Literal["none", "generator", "discriminator"]) -> Callable[[], Preset]:
    def preset() -> Preset:
        """Return a preset with circuits elsewhere; all else is the default's."""
        return default()._replace(model=TransferConfig(head_angles="linear", quantum=quantum))

    return preset


def unfrozen() -> Preset:
    """Return the classical GAN (``none``) as it learns best in our trials: MobileNetV2's last six stages learn, too.

    What suits circuits in the discriminator, a frozen backbone, does not suit the classical block, and the other way round.
    """
    model = TransferConfig(head_angles="linear", quantum="none", backbone="mobilenet_v2", trained_stages=6)
    return default()._replace(model=model)


TransferConfig.presets = {
    "default": default,
    "none": _with_circuits_in("none"),
    "generator": _with_circuits_in("generator"),
    "discriminator": _with_circuits_in("discriminator"),
    "unfrozen": unfrozen,
}
