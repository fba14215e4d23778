"""All settings of a run together, and the presets that they start from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

from pydantic import model_validator

from qgan_qiskit.config.base import Settings
from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.evaluation import EvaluationConfig
from qgan_qiskit.config.models import MODELS, HybridQConfig, ModelConfig, Preset
from qgan_qiskit.config.training import TrainingConfig
from qgan_qiskit.errors import UsageError


class RunConfig(Settings):
    """Everything that decides a run; ``config.json`` of its folder."""

    format: Literal[1] = 1
    preset: str = "default"
    model: ModelConfig = HybridQConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _check_sections_together(self) -> RunConfig:
        self.model.check(self.data, self.training)
        if needing := self.evaluation.lacking_weights():
            raise ValueError(
                f"evaluation.metrics {','.join(needing)} needs evaluation.fid_weights, a file of Inception weights"
            )
        return self

    def updated(self, changes: dict[str, dict[str, Any]]) -> RunConfig:
        """Return a new, checked configuration with ``{"training": {"seed": 1}}``-like changes applied."""
        dump = self.model_dump()
        for section, fields in changes.items():
            dump[section] = {**dump[section], **fields} if isinstance(fields, dict) else fields
        return RunConfig.model_validate(dump)


def _make_run_config(name: str, make: Callable[[], Preset]) -> Callable[[], RunConfig]:
    @functools.wraps(make)
    def run_config() -> RunConfig:
        return RunConfig(preset=name, **make()._asdict())

    return run_config


# By model and name, functions that return a whole configuration.
PRESETS: dict[str, dict[str, Callable[[], RunConfig]]] = {
    model: {name: _make_run_config(name, make) for name, make in settings.presets.items()}
    for model, settings in MODELS.items()
}


def preset(model: str, name: str) -> RunConfig:
    """Return a model's preset.

    Raises:
        UsageError: there is no such model or preset; the message lists them.
    """
    if model not in PRESETS:
        raise UsageError(f"--model '{model}': no such model; there are {', '.join(PRESETS)}")
    if name not in PRESETS[model]:
        raise UsageError(f"--preset '{name}': {model} has {', '.join(PRESETS[model])}")
    return PRESETS[model][name]()
