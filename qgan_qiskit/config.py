"""The settings of a run: frozen models that are the only home of defaults, ranges and units.

Every field carries one sentence of help; the command line is generated from these fields, ``config.json`` of a run folder
is a dump of :class:`RunConfig`, and a value out of range is refused when the model is built.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Encoding = Literal["ry", "ry_rx"]
Entangler = Literal["cx", "cz"]
Readout = Literal["z", "x"]


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class DataConfig(Settings):
    """Where the real images come from and how they are brought to one shape."""

    path: str | None = Field(
        None,
        description="Folder, zip or .npz of images; without it lesion-like images are made procedurally.",
    )
    class_name: str | None = Field(
        None,
        description="Class to train on, by name (MEL); 'all' trains one GAN per class in turn. "
        "[default: the only class, else 'all']",
    )
    resolution: int = Field(
        64, ge=16, le=512, multiple_of=16, description="Side of the square images in pixels, a power of two."
    )
    made_per_class: int = Field(600, ge=8, le=100_000, description="Images made per class when no data path is given.")
    skip_bad: bool = Field(False, description="Leave unreadable images out (they are listed) and go on.")
    drop_downsampled: bool = Field(False, description="ISIC 2019: leave out the images named *_downsampled.")
    labels: Literal["three", "nine"] = Field(
        "three", description="Fitzpatrick17k: three_partition_label or nine_partition_label."
    )
    limit: int | None = Field(None, ge=2, description="Use only the first N images of each class (by name order).")
    cache_dir: str | None = Field(
        None, description="Folder of the cache of decoded images. [default: the user's cache folder]"
    )
    augment: Literal["none", "flip", "dihedral"] = Field(
        "dihedral",
        description="Turn real images at random: left-right flips, or all eight turns and flips of the square.",
    )


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


ModelConfig = Annotated[HybridQConfig | DcganConfig, Field(discriminator="name")]


class TrainingConfig(Settings):
    """How the two networks are trained."""

    epochs: int = Field(30, ge=1, description="Passes over the real images (ignored when steps is given).")
    steps: int | None = Field(None, ge=1, description="Discriminator + generator updates; overrides epochs.")
    batch_size: int = Field(64, ge=2, le=4096, description="Images in a step.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of weights, noise, data order and made images.")
    loss: Literal["bce", "hinge", "wgan-gp"] = Field(
        "bce", description="Adversarial loss (bce: non-saturating, on logits)."
    )
    gp_weight: float = Field(10.0, ge=0, description="Weight of the gradient penalty of wgan-gp.")
    reconstruction_weight: float = Field(
        10.0, ge=0, description="Weight of the reconstruction term (latent and fusion modes)."
    )
    lr_quantum: float = Field(0.01, gt=0, le=10, description="Adam step size of the quantum weights, in radians.")
    lr_classical: float = Field(5e-4, gt=0, le=1, description="Adam step size of encoder and decoder.")
    lr_discriminator: float = Field(2e-4, gt=0, le=1, description="Adam step size of the discriminator.")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first-moment decay.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second-moment decay.")
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the running average of the generator's weights that samples are drawn from; 0 switches it off.",
    )
    diff_augment: str = Field(
        "none",
        pattern=r"^(none|(color|translation|cutout)(,(color|translation|cutout))*)$",
        description="Differentiable augmentation of everything the discriminator sees: none, or a list of "
        "color,translation,cutout.",
    )
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "auto", description="Arithmetic of the convolutions; auto takes bf16 where the processor gains from it."
    )
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="Where torch computes: cpu, cuda or cuda:N.")
    threads: int | None = Field(None, ge=1, le=1024, description="Processor threads. [default: all]")
    snap: int = Field(500, ge=1, description="Steps between checkpoints (one is always written at the end).")
    keep: int = Field(2, ge=1, description="Newest checkpoints kept.")
    grid_every: int = Field(250, ge=1, description="Steps between pictures of samples.")
    log_every: int = Field(10, ge=1, description="Steps between lines of stats.jsonl.")
    tensorboard: bool = Field(False, description="Also write TensorBoard events (needs the tensorboard extra).")


# Settings of the training section that may differ when a run goes on: how long it lasts and how often it reports.
# Anything else would be another run.
RESUMABLE = ("epochs", "steps", "snap", "keep", "grid_every", "log_every", "tensorboard")


class RunConfig(Settings):
    """Everything that decides a run; ``config.json`` of its folder."""

    format: Literal[1] = 1
    preset: str = "default"
    model: ModelConfig = HybridQConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _check_combinations(self) -> RunConfig:
        model = self.model
        resolution = self.data.resolution
        if resolution & (resolution - 1):
            raise ValueError(
                f"data.resolution must be 16, 32, 64, 128, 256 or 512, which these networks halve down to 4, not {resolution}"
            )
        has_batch_norm = model.discriminator_norm == "batch" and getattr(model, "mode", "image") != "latent"
        if self.training.loss == "wgan-gp" and has_batch_norm:
            raise ValueError(
                "training.loss 'wgan-gp' penalises the gradient of each image, which batch norm mixes: "
                "use model.discriminator_norm 'spectral' with it"
            )
        if isinstance(model, HybridQConfig):
            if model.mode == "latent" and self.training.diff_augment != "none":
                raise ValueError(
                    "training.diff_augment changes images, in model.mode 'latent' there are none to compare"
                )
            if model.noise == "adaptive" and self.training.loss != "bce":
                raise ValueError(
                    "model.noise 'adaptive' needs training.loss 'bce' (the bound is a ratio of its two losses), "
                    f"not '{self.training.loss}'"
                )
            if model.noise == "adaptive" and model.mode == "latent":
                raise ValueError("model.noise 'adaptive' needs model.mode 'image' or 'fusion', not 'latent'")
            if model.ansatz is not None and model.twin:
                raise ValueError("model.twin replaces the circuits, so it cannot be used with model.ansatz")
        return self

    def updated(self, changes: dict[str, dict[str, Any]]) -> RunConfig:
        """Return a new, checked configuration with ``{"training": {"seed": 1}}``-like changes applied."""
        dump = self.model_dump()
        for section, fields in changes.items():
            dump[section] = {**dump[section], **fields} if isinstance(fields, dict) else fields
        return RunConfig.model_validate(dump)
