"""Settings of each model, and which images it can make."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.settings import Settings

Encoding = Literal["ry", "ry_rx"]
Entangler = Literal["cx", "cz"]
Readout = Literal["z", "x"]


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
    twin: bool = Field(False, description="Replace the circuits by classical layers of equal parameter count.")
    encoder: Literal["identity", "linear"] = Field("identity", description="Map from noise to angles.")
    decoder: Literal["upsample", "paper"] = Field("upsample", description="Map from expectations to the image.")
    decoder_width: int = Field(
        128, ge=8, le=1024, multiple_of=8, description="Channels of the upsampling decoder's first stage."
    )
    discriminator_width: int = Field(
        48, ge=8, le=512, multiple_of=8, description="Channels of the discriminator's first stage."
    )
    discriminator_norm: Literal["batch", "spectral"] = Field("batch", description="Normalisation in the discriminator.")
    noise: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="Noise range: fixed [0, noise_high), or MosaiQ's adaptive bound from pi/8 to 3pi/4 (not in latent mode; "
        "bce loss only).",
    )
    noise_high: float = Field(3.141592653589793, gt=0, le=6.3, description="Upper end of the uniform noise in radians.")


class DcganConfig(Settings):
    """DCGAN (Radford et al. 2015) in the usual 64x64 tutorial sizes."""

    name: Literal["dcgan"] = "dcgan"
    latent_size: int = Field(100, ge=1, le=4096, description="Numbers in a latent vector.")
    generator_width: int = Field(64, ge=8, le=512, multiple_of=8, description="Channels of the generator's last stage.")
    discriminator_width: int = Field(
        64, ge=8, le=512, multiple_of=8, description="Channels of the discriminator's first stage."
    )
    discriminator_norm: Literal["batch", "spectral"] = Field("batch", description="Normalisation in the discriminator.")


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
    twin: bool = Field(False, description="Replace the circuits by classical layers of equal parameter count.")
    noise: Literal["fixed", "adaptive"] = Field(
        "adaptive", description="Noise range: fixed [0, noise_high), or the adaptive bound from pi/8 to 3pi/4."
    )
    noise_high: float = Field(
        1.5707963267948966, gt=0, le=6.3, description="Upper end of the uniform noise in radians."
    )
    shared_noise: bool = Field(
        True, description="Give all sub-generators the same noise, as published; off: each its own."
    )


class QgpatchConfig(Settings):
    """QGPatch (Huang et al., Phys. Rev. Applied 16, 024051): probabilities of basis states as patches of a grey image."""

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
    twin: bool = Field(False, description="Replace the circuits by classical layers of equal parameter count.")
    noise_high: float = Field(3.141592653589793, gt=0, le=6.3, description="Upper end of the uniform noise in radians.")


ModelConfig = Annotated[
    HybridQConfig | DcganConfig | MosaiqConfig | QgpatchConfig,
    Field(discriminator="name"),
]


def check_shape(model: Settings, data: DataConfig) -> None:
    """Refuse images that a model cannot make.

    Raises:
        ValueError: naming the setting and what would fit.
    """
    side = data.resolution
    if isinstance(model, (HybridQConfig, DcganConfig)) and (side & (side - 1) or side < 16):
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
        if data.colour != "grey":
            raise ValueError("model qgpatch makes grey images: use data.colour 'grey' with it")
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
