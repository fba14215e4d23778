"""Settings of the noise study: what a trained generator's circuits are run under."""

from __future__ import annotations

from pydantic import Field, field_validator

from qgan_qiskit.config.evaluation import EvaluationConfig
from qgan_qiskit.config.hardware import HardwareConfig
from qgan_qiskit.config.settings import Settings

_HARDWARE = HardwareConfig.model_fields
_NUMBERS = r"^\d+(,\d+)*$"


class NoiseChoice(Settings):
    """Under what circuits are run. A study may grow in these, so they are no settings that its cells share."""

    shots: str = Field(
        "256,1024,4096,16384", pattern=_NUMBERS, description="Numbers of shots on an ideal device, as a list."
    )
    devices: str = Field(
        "fez,torino,brisbane",
        pattern=r"^[A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+)*$",
        description="Devices whose noise is simulated, from IBM's snapshots, as a list.",
    )
    levels: str = Field(
        "0,1,2", pattern=r"^[012](,[012])*$", description="Resilience levels on each device, as a list of 0, 1 and 2."
    )

    @field_validator("shots")
    @classmethod
    def _check_shots(cls, value: str) -> str:
        if not all(1 <= int(shots) <= 1_000_000 for shots in value.split(",")):
            raise ValueError("shots are between 1 and 1000000")
        return value

    def shot_numbers(self) -> tuple[int, ...]:
        """Return the numbers of shots, rising, each once."""
        return tuple(sorted({int(shots) for shots in self.shots.split(",")}))

    def device_names(self) -> tuple[str, ...]:
        """Return the devices, in the order given, each once."""
        return tuple(dict.fromkeys(name.casefold().removeprefix("fake_") for name in self.devices.split(",")))

    def resilience_levels(self) -> tuple[int, ...]:
        """Return the levels, rising, each once."""
        return tuple(sorted({int(level) for level in self.levels.split(",")}))


class NoiseConfig(Settings):
    """What all conditions of a noise study share."""

    number: int = Field(500, ge=2, le=100_000, description="Images of each condition: seeds 0 to N-1.")
    device_shots: int = Field(4096, ge=1, le=1_000_000, description="Shots on the devices.")
    shot_seed: int = Field(0, ge=0, lt=2**31, description=_HARDWARE["shot_seed"].description)
    processes: int | None = Field(None, ge=1, le=1024, description=_HARDWARE["processes"].description)
    evaluation: EvaluationConfig = EvaluationConfig(metrics="fid")
