"""Settings of each model, and which images it can make."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qgan_qiskit.config.base import Settings
from qgan_qiskit.config.data import DataConfig

Encoding = Literal["ry", "ry_rx"]
Entangler = Literal["cx", "cz"]
Readout = Literal["z", "x"]
# Settings of models that name files a run reads when it starts.
MODEL_FILES = ("weights", "prototype_file")


class HybridQConfig(Settings):
    """HybridQ (arXiv 2506.21015v1): classical encoder, quantum sub-generators, classical decoder, discriminator."""

    name: Literal["hybridq"] = "hybridq"
    mode: Literal["image", "latent", "fusion"] = Field(
        "image",
        description="Which reading of the paper's training flow: the discriminator sees images, latents, or images whose "
        "angles fuse an encoded real image with noise.",
    )
    sub_generators: int = Field(10, ge=1, le=64, description="Number of quantum sub-generators.")
    num_qubits: int = Field(10, ge=1, le=20, description="Qubits of each sub-generator.")
    reps: int = Field(6, ge=1, le=200, description="Repetitions of the rotation + entangler layer.")
    encoding: Encoding = Field("ry", description="Angle encoding of the inputs: RY, or RY then RX of the same angle.")
    entangler: Entangler = Field("cx", description="Two-qubit gate of the ladder 0-1, 1-2, ….")
    readout: Readout = Field("z", description="Pauli measured on each qubit.")
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
    classical_baseline: bool = Field(
        False, description="Replace the circuits by classical layers of equal parameter count."
    )
    encoder: Literal["identity", "linear"] = Field("identity", description="Map from noise to angles.")
    decoder: Literal["upsample", "modulated", "paper"] = Field(
        "upsample",
        description="Map from expectations to the image: upsampling convolutions, the same with the expectations steering "
        "every stage, or the paper's.",
    )
    decoder_width: int = Field(
        128, ge=8, le=1024, multiple_of=8, description="Channels of the upsampling decoder's first stage."
    )
    discriminator_width: int = Field(
        48, ge=8, le=512, multiple_of=8, description="Channels of the discriminator's first stage."
    )
    discriminator_norm: Literal["batch", "spectral"] = Field("batch", description="Normalization in the discriminator.")
    minibatch_std: bool = Field(
        False,
        description="Show the discriminator how much images vary in groups of 4 (not in latent mode).",
    )
    latent_range: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="Noise range: fixed [0, latent_high), or MosaiQ's adaptive bound from pi/8 to 3pi/4 (not in latent mode; "
        "bce loss only).",
    )
    latent_high: float = Field(
        3.141592653589793, gt=0, le=6.3, description="Upper end of the uniform noise in radians."
    )


class DcganConfig(Settings):
    """DCGAN (Radford et al. 2015) in the usual 64x64 tutorial sizes."""

    name: Literal["dcgan"] = "dcgan"
    latent_size: int = Field(100, ge=1, le=4096, description="Numbers in a latent vector.")
    generator_width: int = Field(64, ge=8, le=512, multiple_of=8, description="Channels of the generator's last stage.")
    discriminator_width: int = Field(
        64, ge=8, le=512, multiple_of=8, description="Channels of the discriminator's first stage."
    )
    discriminator_norm: Literal["batch", "spectral"] = Field("batch", description="Normalization in the discriminator.")
    minibatch_std: bool = Field(
        False,
        description="Show the discriminator how much images vary in groups of 4 (not in latent mode).",
    )


class MosaiqConfig(Settings):
    """MosaiQ (Silver et al. 2023, arXiv 2308.11096): circuits that generate principal components of a class."""

    name: Literal["mosaiq"] = "mosaiq"
    sub_generators: int = Field(10, ge=1, le=64, description="Number of quantum sub-generators.")
    num_qubits: int = Field(10, ge=1, le=20, description="Qubits of each sub-generator.")
    reps: int = Field(6, ge=1, le=200, description="Repetitions of the rotation + entangler layer.")
    encoding: Encoding = Field(
        "ry_rx", description="Angle encoding of the inputs: RY, or RY then RX of the same angle."
    )
    entangler: Entangler = Field("cz", description="Two-qubit gate of the ladder 0-1, 1-2, ….")
    readout: Readout = Field("x", description="Pauli measured on each qubit.")
    classical_baseline: bool = Field(
        False, description="Replace the circuits by classical layers of equal parameter count."
    )
    latent_range: Literal["fixed", "adaptive"] = Field(
        "adaptive", description="Noise range: fixed [0, latent_high), or the adaptive bound from pi/8 to 3pi/4."
    )
    latent_high: float = Field(
        1.5707963267948966, gt=0, le=6.3, description="Upper end of the uniform noise in radians."
    )
    shared_latent: bool = Field(
        True, description="Give all sub-generators the same noise, as published; off: each its own."
    )


class QgpatchConfig(Settings):
    """QGPatch (Huang et al., Phys. Rev. Applied 16, 024051): probabilities of basis states as patches of a gray image."""

    name: Literal["qgpatch"] = "qgpatch"
    sub_generators: int = Field(4, ge=1, le=64, description="Number of quantum sub-generators.")
    num_qubits: int = Field(5, ge=2, le=14, description="Qubits of each sub-generator.")
    num_ancillas: int = Field(1, ge=0, le=4, description="Qubits of each that are projected on 0 and show no pixels.")
    reps: int = Field(5, ge=1, le=200, description="Repetitions of the rotation + entangler layer.")
    patch_readout: Literal["paper", "tutorial", "unnormalised"] = Field(
        "paper",
        description="From probabilities to pixels: conditioned on the ancillas (paper), divided by the patch's largest "
        "(tutorial), or not divided (unnormalised); paper and unnormalised are scaled to the real images' brightness.",
    )
    classical_baseline: bool = Field(
        False, description="Replace the circuits by classical layers of equal parameter count."
    )
    latent_high: float = Field(
        3.141592653589793, gt=0, le=6.3, description="Upper end of the uniform noise in radians."
    )


class MediqConfig(Settings):
    """MediQ-GAN (arXiv 2506.21015v2): one conditional generator of all classes with a classical and a quantum stream."""

    name: Literal["mediq"] = "mediq"
    latent_size: int = Field(128, ge=1, le=4096, description="Normal numbers in a latent vector.")
    encoder: Literal["cnn", "fc"] = Field(
        "cnn", description="From class and latent to the features that both streams share."
    )
    quantum_fraction: float = Field(
        0.5, gt=0, lt=1, description="Share of the 32 feature channels that the quantum stream gives."
    )
    quantum_stream: Literal["faithful", "full"] = Field(
        "faithful",
        description="Circuits at some of the 16 sites with one number each, as published, or at all sites with a number for "
        "each qubit.",
    )
    sub_generators: int = Field(5, ge=1, le=16, description="Number of quantum sub-generators.")
    num_qubits: int = Field(16, ge=1, le=20, description="Qubits of each sub-generator.")
    reps: int = Field(8, ge=1, le=200, description="Repetitions of the rotation + entangler layer.")
    angle_norm: Literal["none", "layer"] = Field(
        "none",
        description="Bring the angles of each site to mean 0 and deviation 1 radian, however large the features grow; none as "
        "published.",
    )
    classical_baseline: bool = Field(
        False, description="Replace the circuits by classical layers of equal parameter count."
    )
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
        description="What judges images and their class: the published critic without normalization, or DCGAN's "
        "discriminator (with batch norm), told the class in the same way.",
    )
    critic_width: int = Field(64, ge=8, le=512, multiple_of=8, description="Channels of the critic's first stage.")
    minibatch_std: bool = Field(
        False, description="Show the critic dcgan how much images vary in groups of 4, of whatever class."
    )


class TransferConfig(Settings):
    """GANs with transfer learning (arXiv 2507.09706): classical or quantum blocks, and a pretrained discriminator."""

    name: Literal["transfer"] = "transfer"
    quantum: Literal["none", "generator", "discriminator", "both"] = Field(
        "both",
        description="Which of the two blocks are circuits; the others are classical ones of equal parameter count.",
    )
    num_qubits: int = Field(5, ge=1, le=16, description="Qubits of a block, and numbers in a latent vector.")
    reps: int = Field(3, ge=1, le=200, description="Repetitions of the rotation + entangler layer.")
    latent_high: float = Field(
        3.141592653589793, gt=0, le=6.3, description="Upper end of the uniform noise in radians."
    )
    decoder_width: int = Field(
        128, ge=8, le=1024, multiple_of=8, description="Channels of the upsampling decoder's first stage."
    )
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


ModelConfig = Annotated[
    HybridQConfig | DcganConfig | MosaiqConfig | QgpatchConfig | MediqConfig | TransferConfig,
    Field(discriminator="name"),
]


def is_conditional(model: Settings) -> bool:
    """Return whether one run of a model makes images of several classes."""
    return isinstance(model, MediqConfig)


def check_shape(model: Settings, data: DataConfig) -> None:
    """Refuse images that a model cannot make.

    Raises:
        ValueError: naming the setting and what would fit.
    """
    side = data.resolution
    if isinstance(model, (HybridQConfig, DcganConfig, MediqConfig, TransferConfig)) and (
        side & (side - 1) or side < 16
    ):
        raise ValueError(
            f"data.resolution must be 16, 32, 64, 128, 256 or 512, which these networks halve down to 4, not {side}"
        )
    if isinstance(model, MosaiqConfig):
        components, numbers = model.sub_generators * model.num_qubits, data.channels * side**2
        if components > numbers:
            raise ValueError(
                f"model mosaiq makes {components} principal components here (sub_generators x num_qubits), and images of "
                f"data.resolution {side} have {numbers} numbers: take fewer components or larger images"
            )
    if isinstance(model, QgpatchConfig):
        if data.color != "grayscale":
            raise ValueError("model qgpatch makes gray images: use data.color 'grayscale' with it")
        if model.num_ancillas >= model.num_qubits:
            raise ValueError(
                f"model.num_ancillas is {model.num_ancillas} of {model.num_qubits} qubits: leave at least one for pixels"
            )
        pixels = model.sub_generators * 2 ** (model.num_qubits - model.num_ancillas)
        if pixels != side**2:
            raise ValueError(
                f"data.resolution {side} has {side**2} pixels, and these sub-generators make {pixels} "
                "(sub_generators x 2^(num_qubits - num_ancillas)): change one of them"
            )
