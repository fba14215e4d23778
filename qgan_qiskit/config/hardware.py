"""Settings of running a trained generator's circuits on a device, real or simulated.

Which settings of a device's run mean something on which kind of device, so that none is ignored in silence.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator, model_validator

from qgan_qiskit.config.base import Settings

# Those of IBM's Estimator.
EXTRAPOLATORS = (
    "exponential",
    "double_exponential",
    "linear",
    *(f"polynomial_degree_{degree}" for degree in range(1, 8)),
    "fallback",
)


# Noise factors that each of them needs at least.
FACTORS_NEEDED = {
    "linear": 2,
    "exponential": 2,
    "double_exponential": 4,
    "fallback": 1,
    **{f"polynomial_degree_{degree}": degree + 1 for degree in range(1, 8)},
}

# How often a job is sent at most, unless the user says otherwise.
ATTEMPTS = 3


class HardwareConfig(Settings):
    """Where circuits run, how often, and with which mitigation of errors."""

    backend: str = Field(
        "exact",
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
        description="Noise factors of ZNE, at least two, rising, from 1 on.",
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

    @field_validator("backend")
    @classmethod
    def _check_backend(cls, text: str) -> str:
        if text in ("exact", "shots"):
            return text
        kind, colon, name = text.partition(":")
        if kind not in ("aer", "fake", "ibm") or not colon:
            raise ValueError("a backend is exact, shots, aer:NAME, fake:NAME, ibm:NAME or ibm:least-busy")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise ValueError(f"the name of a device is of letters, digits and _ . - alone, as in {kind}:fez")
        return text

    @field_validator("zne_factors")
    @classmethod
    def _check_factors(cls, text: str) -> str:
        parts = [part.strip() for part in text.split(",")]
        if not all(re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", part) for part in parts):
            raise ValueError("noise factors are numbers with commas between them, such as 1,3,5")
        factors = [float(part) for part in parts]
        if len(factors) < 2:
            raise ValueError("an extrapolation needs at least two noise factors, such as 1,3,5")
        if min(factors) < 1:
            raise ValueError("noise factors are at least 1: less noise than the device has cannot be made")
        if any(later <= earlier for earlier, later in itertools.pairwise(factors)):
            raise ValueError("noise factors rise, and each stands once, as in 1,3,5")
        return ",".join(parts)

    @model_validator(mode="after")
    def _check_combinations(self) -> HardwareConfig:
        unknown = [name for name in self.extrapolators() if name not in EXTRAPOLATORS]
        if unknown:
            raise ValueError(f"there is no extrapolator '{unknown[0]}'; there are {', '.join(EXTRAPOLATORS)}")
        zne = self.extrapolates()
        if self.pec and zne:
            raise ValueError("pec and zne exclude each other: with resilience_level 2 and pec, switch zne off")
        # IBM's Estimator would switch them on again.
        learned = self.learns_noise()
        if learned and self.gate_twirling is False:
            raise ValueError("pec and pea twirl gates: leave gate_twirling on")
        trex = self.mitigates_readout()
        if self.measure_twirling is False and (learned or trex):
            raise ValueError(
                "readout mitigation, pec and pea twirl readouts: leave measure_twirling on, or all of them out"
            )
        needed = max(FACTORS_NEEDED[name] for name in self.extrapolators())
        if zne and len(self.factors()) < needed:
            name = next(name for name in self.extrapolators() if FACTORS_NEEDED[name] == needed)
            raise ValueError(f"--zne-factors {self.zne_factors}: {name} requires at least {needed} noise_factors")
        if self.estimator == "legacy" and not self.backend.startswith("ibm:"):
            raise ValueError("estimator legacy runs at IBM alone: take it with backend ibm:NAME")
        return self

    def kind(self) -> str:
        """Return what kind of backend it is: exact, shots, aer, fake or ibm."""
        return self.backend.partition(":")[0]

    def extrapolates(self) -> bool:
        """Return whether there is ZNE: as asked, or by the resilience level."""
        return self.resilience_level == 2 if self.zne is None else self.zne

    def learns_noise(self) -> bool:
        """Return whether the noise of layers of gates has to be learned: for PEC, and for ZNE by PEA."""
        return self.pec or (self.extrapolates() and self.zne_amplifier == "pea")

    def mitigates_readout(self) -> bool:
        """Return whether errors of readouts are mitigated: as asked, or by the resilience level."""
        return self.resilience_level > 0 if self.measure_mitigation is None else self.measure_mitigation

    def twirls_readout(self) -> bool:
        """Return whether readouts are twirled: as asked, by the resilience level, or as mitigation needs it."""
        asked = self.resilience_level > 0 if self.measure_twirling is None else self.measure_twirling
        return asked or self.mitigates_readout() or self.learns_noise()

    def twirls_gates(self) -> bool:
        """Return whether gates are twirled: as asked, by the resilience level, or as PEC and PEA need it."""
        asked = self.resilience_level == 2 if self.gate_twirling is None else self.gate_twirling
        return asked or self.learns_noise()

    def twirls(self) -> bool:
        """Return whether anything is twirled."""
        return self.twirls_readout() or self.twirls_gates()

    def factors(self) -> tuple[float, ...]:
        """Return the noise factors of ZNE."""
        return tuple(float(factor) for factor in self.zne_factors.split(","))

    def extrapolators(self) -> tuple[str, ...]:
        """Return the names of ZNE's extrapolators, in the order in which they are tried."""
        return tuple(name.strip() for name in self.zne_extrapolators.split(","))


# Kinds of backends, and the settings that each looks at besides ``backend`` itself.
_MITIGATION = {
    "resilience_level",
    "measure_mitigation",
    "measure_twirling",
    "gate_twirling",
    "zne",
    "zne_factors",
    "zne_extrapolators",
    "zne_amplifier",
    "pec",
    "pec_max_overhead",
}
_SIMULATED = {"shots", "processes", "shot_seed"}
_LEARNING = {"noise_learning_shots", "noise_learning_randomizations"}
_SENT = {"execution_mode", "estimator", "images_per_job", "max_execution_time", "max_qpu_seconds"}
_CLIENT = {"num_randomizations", "dynamical_decoupling"}
LOOKED_AT: dict[str, set[str]] = {
    "exact": set(),
    "shots": _SIMULATED,
    # Twirling is averaged over exactly there, and time that passes without gates is not simulated.
    "aer": _SIMULATED | _MITIGATION | {"pack"},
    "fake": _SIMULATED | _MITIGATION | {"pack"} | _CLIENT,
    "ibm": {"shots", "pack"} | _MITIGATION | _LEARNING | _CLIENT | _SENT,
    # An estimate for a snapshot of a device: nothing is sent, and no account is asked.
    "cost": {"shots", "pack", "images_per_job"} | _MITIGATION | _LEARNING | _CLIENT,
}


def without_effect(config: HardwareConfig, names: Iterable[str], kind: str | None = None) -> dict[str, str]:
    """Return the settings among some that change nothing, each with the reason.

    Args:
        config: all settings.
        names: of the settings that were given.
        kind: of what they are for, a key of :data:`LOOKED_AT`; None for the backend's own.
    """
    found: dict[str, str] = {}
    zne, learned = config.extrapolates(), config.learns_noise()
    twirled = config.twirls()
    # A setting of something that is switched off: which, and how it is switched on.
    switched_off = {
        **dict.fromkeys(("zne_factors", "zne_extrapolators", "zne_amplifier"), (not zne, "without --zne")),
        "pec_max_overhead": (not config.pec, "without --pec"),
        **dict.fromkeys(_LEARNING, (not learned, "without --pec or --zne-amplifier pea")),
        "num_randomizations": (not twirled, "without twirling (--gate-twirling or --measure-twirling)"),
    }
    for name in names:
        if name == "backend":
            continue
        off, why = switched_off.get(name, (False, ""))
        if name not in LOOKED_AT[kind or config.kind()]:
            found[name] = f"with --backend {config.backend}"
        elif off:
            found[name] = why
    return found
