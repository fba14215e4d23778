"""Settings of the geometry study: what is measured of a trained generator's map from latents to images."""

from __future__ import annotations

from pydantic import Field

from qgan_qiskit.config.evaluation import EvaluationConfig
from qgan_qiskit.config.settings import Settings


class GeometryConfig(Settings):
    """What is measured, the same for every run of the study."""

    number: int = Field(64, ge=2, le=10_000, description="Latents at which Jacobians are taken: seeds 0 to N-1.")
    feature_number: int = Field(
        2000, ge=2, le=1_000_000, description="Latents whose features make the feature matrix: seeds 0 to N-1."
    )
    pairs: int = Field(
        256,
        ge=2,
        le=100_000,
        description="Pairs of latents for path lengths and fidelities: seeds 0 and 1, 2 and 3, and so on.",
    )
    path_step: float = Field(
        1e-4, ge=1e-5, le=0.1, description="Step of a path length, as a share of the way from one latent to the other."
    )
    rows: int = Field(4, ge=1, le=64, description="Rows of interpolated images; row R goes from seed R to seed R+1.")
    frames: int = Field(9, ge=2, le=64, description="Images in each of these rows, both ends among them.")
    evaluation: EvaluationConfig = EvaluationConfig()
