"""Settings of running a trained generator's circuits on a device, real or simulated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qgan_qiskit.config.settings import Settings

# Those of IBM's Estimator.
EXTRAPOLATORS = (
    "exponential",
    "double_exponential",
    "linear",
    *(f"polynomial_degree_{degree}" for degree in range(1, 8)),
    "fallback",
)


# How often a job is sent at most, unless the user says otherwise.
ATTEMPTS = 3


class HardwareConfig(Settings):
    """Where circuits run, how often, and with which mitigation of errors."""

    backend: str = Field(
        "exact",
        pattern=r"^(exact|shots|(aer|fake|ibm):[A-Za-z0-9_.-]+)$",
        description="Where circuits run: exact, shots (ideal, sampled), aer:NAME (Aer with a device's noise; aer:ibm_NAME: as "
        "calibrated now, needs an account), fake:NAME (a simulated device through IBM's Estimator), ibm:NAME or "
        "ibm:least-busy.",
    )
    shots: int = Field(
        4096, ge=1, le=1_000_000, description="Shots of each circuit and image (with ZNE: at each noise factor)."
    )
    pack: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Sub-generators placed on one chip and run as one circuit. [default: as many as there are and fit]",
    )
    execution_mode: Literal["auto", "session", "batch", "job"] = Field(
        "auto",
        description="IBM's execution mode; auto: a session where the plan allows it, else a batch, or for a single job that "
        "job alone.",
    )
    estimator: Literal["executor", "legacy"] = Field(
        "executor",
        description="IBM's Estimator on ibm:NAME: executor (mitigates here) or legacy (EstimatorV2, which mitigates at IBM and "
        "is deprecated since 0.50).",
    )
    resilience_level: int = Field(
        1,
        ge=0,
        le=2,
        description="Error mitigation: 0 none, 1 twirled readout and its mitigation (TREX), 2 also gate twirling and ZNE.",
    )
    measure_mitigation: bool | None = Field(
        None, description="Mitigation of readout errors (TREX). [default: by resilience level]"
    )
    measure_twirling: bool | None = Field(None, description="Twirling of readouts. [default: by resilience level]")
    gate_twirling: bool | None = Field(
        None, description="Pauli twirling of two-qubit gates. [default: by resilience level]"
    )
    num_randomizations: int | None = Field(
        None, ge=1, le=10_000, description="Random circuits that shots are shared out to by twirling. [default: IBM's]"
    )
    zne: bool | None = Field(None, description="Extrapolation to zero noise (ZNE). [default: by resilience level]")
    zne_factors: str = Field(
        "1,3,5",
        pattern=r"^\d+(\.\d+)?(,\d+(\.\d+)?)+$",
        description="Noise factors of ZNE, at least two, from 1 on.",
    )
    zne_extrapolators: str = Field(
        "exponential,linear",
        description="Extrapolators of ZNE, the first that succeeds is taken: exponential, double_exponential, linear, "
        "polynomial_degree_1 to 7, fallback.",
    )
    zne_amplifier: Literal["gate_folding", "gate_folding_front", "gate_folding_back", "pea"] = Field(
        "gate_folding", description="How ZNE makes more noise; pea needs a noise model, which is learned first."
    )
    pec: bool = Field(
        False, description="Probabilistic error cancellation; needs a noise model, which is learned first."
    )
    pec_max_overhead: float = Field(100.0, gt=1, le=1e6, description="Largest factor of shots that PEC may ask for.")
    noise_learning_shots: int = Field(
        128, ge=1, le=1_000_000, description="Shots of each random circuit that learns the noise, for PEC and PEA."
    )
    noise_learning_randomizations: int = Field(
        32,
        ge=1,
        le=10_000,
        description="Random circuits for each layer, depth and basis when the noise is learned, for PEC and PEA.",
    )
    dynamical_decoupling: Literal["none", "XX", "XpXm", "XY4"] = Field(
        "none", description="Pulses on qubits that wait."
    )
    images_per_job: int = Field(100, ge=1, le=10_000, description="Images of a job.")
    max_execution_time: int | None = Field(
        None, ge=1, le=10_800, description="Seconds on the device after which IBM ends a job. [default: IBM's]"
    )
    max_qpu_seconds: float | None = Field(
        None, gt=0, description="Refuse to submit when the estimate is above this many seconds. [default: none]"
    )
    processes: int | None = Field(
        None, ge=1, le=1024, description="Processes that simulate devices. [default: as many as processors]"
    )
    shot_seed: int = Field(0, ge=0, lt=2**31, description="Seed of simulated shots.")

    @model_validator(mode="after")
    def _check_combinations(self) -> HardwareConfig:
        unknown = [name for name in self.extrapolators() if name not in EXTRAPOLATORS]
        if unknown:
            raise ValueError(f"there is no extrapolator '{unknown[0]}'; there are {', '.join(EXTRAPOLATORS)}")
        if min(self.factors()) < 1:
            raise ValueError(f"zne_factors are at least 1, not {self.zne_factors}")
        zne = self.zne or (self.zne is None and self.resilience_level == 2)
        if self.pec and zne:
            raise ValueError("pec and zne exclude each other: with resilience_level 2 and pec, switch zne off")
        # IBM's Estimator would switch them on again.
        learned = self.pec or (zne and self.zne_amplifier == "pea")
        if learned and self.gate_twirling is False:
            raise ValueError("pec and pea twirl gates: leave gate_twirling on")
        trex = self.resilience_level > 0 if self.measure_mitigation is None else self.measure_mitigation
        if self.measure_twirling is False and (learned or trex):
            raise ValueError(
                "readout mitigation, pec and pea twirl readouts: leave measure_twirling on, or all of them out"
            )
        if self.estimator == "legacy" and not self.backend.startswith("ibm:"):
            raise ValueError("estimator legacy runs at IBM alone: take it with backend ibm:NAME")
        return self

    def factors(self) -> tuple[float, ...]:
        """Return the noise factors of ZNE."""
        return tuple(float(factor) for factor in self.zne_factors.split(","))

    def extrapolators(self) -> tuple[str, ...]:
        """Return the names of ZNE's extrapolators, in the order in which they are tried."""
        return tuple(name.strip() for name in self.zne_extrapolators.split(","))
