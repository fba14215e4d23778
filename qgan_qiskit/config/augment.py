"""Settings of the augmentation study."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from qgan_qiskit.config.device import DeviceName
from qgan_qiskit.config.settings import Settings

# The exact permutation test walks through 2^seeds sign patterns.
MOST_SEEDS = 20


class AugmentConfig(Settings):
    """A classifier on a small share of the real images, with and without generated ones (arXiv 2506.21015v1, section 4.3)."""

    backbone: Literal["resnet50", "mobilenet_v2"] = Field(
        "resnet50", description="Classifier, from torchvision; mobilenet_v2 suits small machines."
    )
    weights: str | None = Field(
        None,
        description="File of weights with torchvision's names to start from, whole or in part; without it the classifier "
        "starts from scratch.",
    )
    normalisation: Literal["imagenet", "symmetric"] = Field(
        "imagenet",
        description="What the weights expect of pixels: ImageNet's mean and standard deviation (torchvision), or the range "
        "-1 to 1 (x / 127.5 - 1).",
    )
    resnet_stride: Literal["conv2", "conv1"] = Field(
        "conv2",
        description="Convolution that halves the image in the first block of layers 2 to 4: conv2 as in torchvision, conv1 "
        "as in the original ResNet, whose weights carry the same names (resnet50 only).",
    )
    input_size: int | None = Field(
        None,
        ge=16,
        le=512,
        description="Side in pixels of what the classifier sees (resized bilinearly). [default: that of the images]",
    )
    real_share: float = Field(
        0.1, gt=0, le=1, description="Share of the train part's images that the classifier trains on, in each class."
    )
    alphas: str = Field(
        "0.1,0.3,0.5,0.7",
        description="Shares of generated images among all training images to try, between 0 and 1.",
    )
    generated_classes: Literal["as-real", "balanced"] = Field(
        "as-real",
        description="Classes of the generated images: in the shares of the real ones, or so that all training images are as "
        "even over the classes as alpha allows.",
    )
    seeds: str = Field(
        "0,1,2,3,4",
        description=f"Seeds of the study, at most {MOST_SEEDS}: each draws other real images and starts other classifiers.",
    )
    steps: int = Field(
        300, ge=1, le=1_000_000, description="Optimiser steps of every classifier, whatever it is trained on."
    )
    batch_size: int = Field(32, ge=2, le=4096, description="Images in a step.")
    lr: float = Field(1e-3, gt=0, le=1, description="Step size of Adam at the start; it falls to 0 along a cosine.")
    bootstrap: int = Field(
        1000, ge=100, le=100_000, description="Resamplings of the test lesions behind each interval."
    )
    device: DeviceName = Field("cpu", description="Where torch computes: cpu, cuda or cuda:N.")
    threads: int | None = Field(None, ge=1, le=1024, description="Processor threads. [default: all]")

    def alpha_values(self) -> tuple[float, ...]:
        """Return the alphas, rising."""
        return tuple(sorted(float(part) for part in self.alphas.split(",")))

    def seed_values(self) -> tuple[int, ...]:
        """Return the seeds, rising."""
        return tuple(sorted(int(part) for part in self.seeds.split(",")))

    @field_validator("alphas")
    @classmethod
    def _check_alphas(cls, text: str) -> str:
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = [-1.0]
        if any(not 0 < value < 1 for value in values):
            raise ValueError("a list of numbers between 0 and 1, such as 0.1,0.3 (no augmentation is always measured)")
        if len({f"{value:g}" for value in values}) != len(values):
            raise ValueError("names an alpha twice")
        return text

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, text: str) -> str:
        parts = text.split(",")
        if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
            raise ValueError("a list of whole numbers, such as 0,1,2")
        values = [int(part) for part in parts]
        if len(set(values)) != len(values) or len(values) > MOST_SEEDS or max(values) >= 2**63:
            raise ValueError(f"at most {MOST_SEEDS} different seeds below 2**63")
        return text

    @model_validator(mode="after")
    def _check_combinations(self) -> AugmentConfig:
        if self.resnet_stride == "conv1" and self.backbone != "resnet50":
            raise ValueError(f"augment.resnet_stride 'conv1' has no effect on {self.backbone}: leave it out")
        return self
