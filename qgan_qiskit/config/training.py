"""Settings of training, and the names of torch devices."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from qgan_qiskit.config.base import Settings


def device_name(text: str) -> str:
    """Return the name of a torch device, if it is ``cpu``, ``cuda`` or ``cuda:N``; raise ValueError otherwise."""
    if re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", text):
        return text
    if text.partition(":")[0] == "mps":
        raise ValueError("circuits are computed in float64, which mps does not have: use cpu")
    raise ValueError("a device is cpu, cuda or cuda:N")


DeviceName = Annotated[str, AfterValidator(device_name)]


class TrainingConfig(Settings):
    """How the two networks are trained."""

    epochs: int = Field(30, ge=1, description="Passes over the real images (ignored when steps is given).")
    steps: int | None = Field(None, ge=1, description="Discriminator + generator updates; overrides epochs.")
    batch_size: int = Field(64, ge=2, le=4096, description="Images in a batch.")
    critic_steps: int = Field(
        1, ge=1, le=100, description="Discriminator updates per generator update, each on a batch of its own."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of weights, noise, data order and synthetic lesions.")
    loss: Literal["bce", "hinge", "wgan-gp"] = Field(
        "bce", description="Adversarial loss (bce: non-saturating, on logits)."
    )
    optimizer: Literal["adam", "sgd"] = Field("adam", description="Optimizer of both networks.")
    r1_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the R1 penalty, half the squared gradient norm of the discriminator at real samples; 0: off.",
    )
    gp_weight: float = Field(10.0, ge=0, description="Weight of the gradient penalty of wgan-gp.")
    reconstruction_weight: float = Field(
        10.0, ge=0, description="Weight of the reconstruction term (latent and fusion modes)."
    )
    lr_quantum: float = Field(0.01, gt=0, le=10, description="Learning rate of the quantum weights, in radians.")
    lr_classical: float = Field(5e-4, gt=0, le=1, description="Learning rate of encoder and decoder.")
    lr_discriminator: float = Field(2e-4, gt=0, le=1, description="Learning rate of the discriminator.")
    lr_decay_from: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Fraction of the run after which all learning rates decay linearly, to 0 at its end; 1: never.",
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first-moment decay (adam only).")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second-moment decay (adam only).")
    beta1_discriminator: float | None = Field(
        None, ge=0, lt=1, description="beta1 of the discriminator. [default: beta1]"
    )
    beta2_discriminator: float | None = Field(
        None, ge=0, lt=1, description="beta2 of the discriminator. [default: beta2]"
    )
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the moving average of the generator's weights that samples come from; 0: off.",
    )
    diff_augment: str = Field(
        "none",
        pattern=r"^(none|(color|translation|cutout)(,(color|translation|cutout))*)$",
        description="Differentiable augmentation of everything the discriminator sees: none, or a list of "
        "color,translation,cutout.",
    )
    diff_augment_from: int = Field(0, ge=0, description="First step that diff_augment applies to.")
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "auto", description="Number format of convolutions; auto is bf16 if the device has it in hardware."
    )
    execution: Literal["fused", "connectors"] = Field(
        "fused",
        description="How circuits are simulated: all together, or each sub-generator through its own TorchConnector and "
        "EstimatorQNN, which is slower.",
    )
    device: DeviceName = Field("cpu", description="Device of the networks: cpu, cuda or cuda:N.")
    devices: int = Field(1, ge=1, le=1024, description="Processes that share each batch, one device each.")
    threads: int | None = Field(None, ge=1, le=1024, description="Processor threads. [default: all]")
    snap: int = Field(500, ge=1, description="Steps between checkpoints (one is always written at the end).")
    keep: int = Field(2, ge=1, description="Newest checkpoints kept.")
    grid_every: int = Field(250, ge=1, description="Steps between pictures of samples.")
    log_every: int = Field(10, ge=1, description="Steps between lines of stats.jsonl.")
    tensorboard: bool = Field(False, description="Also write TensorBoard events (needs the tensorboard extra).")

    @property
    def images_per_step(self) -> int:
        """Real images that a step sees."""
        return self.batch_size * self.critic_steps

    @model_validator(mode="after")
    def _check_batch_divides(self) -> TrainingConfig:
        if self.batch_size % self.devices:
            raise ValueError(
                f"training.batch_size is {self.batch_size}, which {self.devices} devices cannot share equally: "
                f"take a multiple of {self.devices}"
            )
        return self


# Settings that may differ when a run resumes: they change neither its losses nor its weights at a given step.
RESUMABLE = ("epochs", "steps", "snap", "keep", "grid_every", "log_every", "tensorboard", "devices")
