"""Settings of how samples are measured against real images, during training and afterwards."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, field_validator

from qgan_qiskit.config.base import Settings, expanded

MetricName = Literal["fid", "kid", "is", "ssim", "ms-ssim", "prdc", "memorization"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)
# These compare pixels; all others compare features.
PIXEL_METRICS: tuple[MetricName, ...] = ("ssim", "ms-ssim")


class EvaluationConfig(Settings):
    """Which metrics are measured, and how."""

    metrics: str = Field(
        "none", description=f"What to measure during training: none, all, or a list of {','.join(METRICS)}."
    )
    metrics_every: int = Field(500, ge=1, description="Steps between measurements; the last step is always measured.")
    metrics_number: int = Field(
        1000, ge=2, le=1_000_000, description="Images on each side of a measurement, or all if there are fewer."
    )
    fid_weights: str | None = Field(
        None,
        description="File of Inception weights, such as pt_inception-2015-12-05-6726825d.pth; nothing is downloaded.",
    )
    feature_layer: Literal["64", "192", "768", "2048", "deepest"] = Field(
        "deepest", description="Inception layer of the features, by width; deepest: the last one in the file."
    )
    resize: Literal["bilinear", "bilinear-antialias", "bicubic-antialias"] = Field(
        "bilinear", description="Filter that resizes images to Inception's 299x299."
    )
    bootstrap: int = Field(100, ge=0, le=100_000, description="Resamples behind each interval; 0 for no intervals.")
    evaluation_seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the choice of real images, subsets and resamples."
    )

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, value: str) -> str:
        unknown = [name for name in value.split(",") if name not in METRICS]
        if value not in ("none", "all") and unknown:
            raise ValueError(f"there is no metric '{unknown[0]}'; name none, all, or a list of {','.join(METRICS)}")
        return value

    @field_validator("bootstrap")
    @classmethod
    def _check_bootstrap(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one resample gives no interval: use 0, or a few hundred")
        return value

    def names(self) -> tuple[MetricName, ...]:
        """Return the requested metrics in their fixed order."""
        requested = METRICS if self.metrics == "all" else self.metrics.split(",")
        return tuple(name for name in METRICS if name in requested)

    def lacking_weights(self) -> tuple[MetricName, ...]:
        """Return the requested metrics that compare features, if no weights are named."""
        return tuple(name for name in self.names() if name not in PIXEL_METRICS and self.fid_weights is None)

    def with_absolute_weights(self) -> Self:
        """Return the settings with the absolute path of the weights, which holds in other folders, too."""
        if self.fid_weights is None:
            return self
        return self.model_copy(update={"fid_weights": str(expanded(self.fid_weights).absolute())})
