"""Settings of the comparison of models; the models bring the rest from their presets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.device import DeviceName
from qgan_qiskit.config.evaluation import EvaluationConfig
from qgan_qiskit.config.settings import Settings
from qgan_qiskit.config.training import TrainingConfig

_TRAINING = TrainingConfig.model_fields


# Lists of models that belong together, by name.
SUITES = {
    "data-reduction": ",".join(
        f"transfer{preset}{share}"
        for share in ("", "@0.5", "@0.2", "@0.1")
        for preset in (":none", ":generator", ":discriminator", "")
    )
}


class CompareChoice(Settings):
    """What is compared. A study may grow in these, so they are no settings that its cells share."""

    models: str = Field(
        "hybridq,hybridq+twin,dcgan,mosaiq",
        description="Models, as NAME, NAME:PRESET, with +twin for circuits replaced by classical layers, or with @0.5 for "
        "half of the images to train on.",
    )
    seeds: str = Field("0", description="Seeds of the runs, such as 0,1,2 or 0-4.")


class CompareConfig(Settings):
    """What all cells of a comparison share."""

    epochs: int = Field(
        _TRAINING["epochs"].default,
        ge=1,
        description="Budget of every model, in passes over the images of the class; all models see as many images.",
    )
    curve_every: int = Field(5, ge=0, description="Epochs from one point of the curves to the next; 0 draws none.")
    curve_number: int | None = Field(
        None, ge=2, description="Images behind each point of the curves. [default: --metrics-number]"
    )
    augment: Literal["none", "flip", "dihedral"] | None = Field(
        None,
        description="Turn real images at random while training: left-right flips, or all eight turns and flips of the "
        "square. [default: each preset's own]",
    )
    device: DeviceName = Field(_TRAINING["device"].default, description=_TRAINING["device"].description)
    threads: int | None = Field(None, ge=1, le=1024, description=_TRAINING["threads"].description)
    model_settings: dict[str, dict[str, str]] = Field(
        {},
        description="A setting of a model that its presets leave open, as MODEL.SETTING=VALUE, such as "
        "transfer.weights=FILE; may be given several times. [default: none]",
    )
    data: DataConfig = DataConfig()
    evaluation: EvaluationConfig = EvaluationConfig(metrics="fid,kid,prdc")

    def curve(self, steps_of_an_epoch: float) -> EvaluationConfig:
        """Return what a run measures while it is trained: the first metric alone, without intervals."""
        if self.curve_every == 0:
            return self.evaluation.model_copy(update={"metrics": "none"})
        return EvaluationConfig.model_validate(
            self.evaluation.model_dump()
            | {
                "metrics": self.evaluation.names()[0],
                "metrics_every": max(1, round(self.curve_every * steps_of_an_epoch)),
                "metrics_number": self.curve_number or self.evaluation.metrics_number,
                "bootstrap": 0,
            }
        )
