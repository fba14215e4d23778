"""Settings for running a trained generator's circuits on a real or simulated backend.

:func:`find_unused_settings` lists the settings that have no effect with a backend, so that none is ignored silently.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator, model_validator

from qgan_qiskit.config.base import Settings

# ZNE extrapolators of IBM's Estimator, each with the fewest noise factors it accepts.
MIN_NOISE_FACTORS = {
    "exponential": 2,
    "double_exponential": 4,
    "linear": 2,
    **{f"polynomial_degree_{degree}": degree + 1 for degree in range(1, 8)},
    "fallback": 1,
}
# How often a job is submitted before its failure is final, by default.
ATTEMPTS = 3


class HardwareConfig(Settings):
    """Where circuits run, with how many shots, and with which error mitigation."""

    backend: str = Field(
        "exact",
        description="Where circuits run: exact, shots (noiseless, sampled), aer:NAME (exact channels of a device's noise; "
        "aer:ibm_NAME: its calibration of today, needs an account), fake:NAME (IBM's snapshot of a device, through IBM's "
        "Estimator), ibm:NAME or ibm:least-busy.",
    )
    shots: int = Field(4096, ge=1, le=1_000_000, description="Shots per circuit and image (ZNE: per factor).")
    pack: int | None = Field(None, ge=1, le=64, description="Sub-generators per circuit. [default: as many as fit]")
    execution_mode: Literal["auto", "session", "batch", "job"] = Field(
        "auto",
        description="IBM's execution mode; auto: session if the plan allows it, else batch, or job for a single job.",
    )
    resilience_level: int = Field(
        1, ge=0, le=2, description="Error mitigation: 0 none, 1 TREX, 2 also gate twirling and ZNE."
    )
    measure_mitigation: bool | None = Field(None, description="Readout mitigation (TREX). [default: by level]")
    measure_twirling: bool | None = Field(None, description="Measurement twirling. [default: by level]")
    gate_twirling: bool | None = Field(None, description="Pauli twirling of gates. [default: by level]")
    num_randomizations: int | None = Field(
        None, ge=1, le=10_000, description="Twirling randomizations. [default: IBM's]"
    )
    zne: bool | None = Field(None, description="Zero-noise extrapolation (ZNE). [default: by level]")
    zne_factors: str = Field("1,3,5", description="ZNE noise factors: two or more, increasing, from 1 up.")
    zne_extrapolators: str = Field(
        "exponential,linear",
        description="ZNE extrapolators, of which the first that succeeds is used: exponential, double_exponential, linear, "
        "polynomial_degree_1 to 7, fallback.",
    )
    zne_amplifier: Literal["gate_folding", "gate_folding_front", "gate_folding_back", "pea"] = Field(
        "gate_folding", description="How ZNE amplifies noise; pea needs a noise model, which is learned first."
    )
    pec: bool = Field(False, description="Probabilistic error cancellation (PEC) of learned noise.")
    pec_max_overhead: float = Field(100.0, gt=1, le=1e6, description="Largest sampling overhead of PEC.")
    noise_learning_shots: int = Field(128, ge=1, le=1_000_000, description="Shots per noise-learning circuit.")
    noise_learning_randomizations: int = Field(
        32, ge=1, le=10_000, description="Noise-learning circuits per layer, depth and basis."
    )
    dynamical_decoupling: Literal["none", "XX", "XpXm", "XY4"] = Field("none", description="Pulses on idle qubits.")
    images_per_job: int = Field(100, ge=1, le=10_000, description="Images per job.")
    max_execution_time: int | None = Field(
        None, ge=1, le=10_800, description="Seconds until IBM ends a job. [default: IBM's]"
    )
    max_qpu_seconds: float | None = Field(None, gt=0, description="Largest estimate to submit. [default: none]")
    processes: int | None = Field(None, ge=1, le=1024, description="Worker processes. [default: one per core]")
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
            raise ValueError(f"a device name has only letters, digits and _ . -, as in {kind}:fez")
        return text

    @field_validator("zne_factors")
    @classmethod
    def _check_noise_factors(cls, text: str) -> str:
        parts = [part.strip() for part in text.split(",")]
        if not all(re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", part) for part in parts):
            raise ValueError("noise factors are numbers separated by commas, such as 1,3,5")
        factors = [float(part) for part in parts]
        if len(factors) < 2:
            raise ValueError("an extrapolation needs at least two noise factors, such as 1,3,5")
        if min(factors) < 1:
            raise ValueError("noise factors are at least 1: noise can only be amplified")
        if any(later <= earlier for earlier, later in itertools.pairwise(factors)):
            raise ValueError("noise factors must be strictly increasing, as in 1,3,5")
        return ",".join(parts)

    @model_validator(mode="after")
    def _check_combinations(self) -> HardwareConfig:
        for name in self.extrapolators():
            if name not in MIN_NOISE_FACTORS:
                raise ValueError(f"unknown extrapolator '{name}'; choose from {', '.join(MIN_NOISE_FACTORS)}")
        if self.pec and self.uses_zne():
            raise ValueError("pec and zne exclude each other: with resilience_level 2 and pec, switch zne off")
        # IBM's Estimator would switch these on again.
        if self.needs_noise_model() and self.gate_twirling is False:
            raise ValueError("pec and pea twirl gates: leave gate_twirling on")
        if self.measure_twirling is False and (self.needs_noise_model() or self.uses_trex()):
            raise ValueError("TREX, pec and pea twirl measurements: leave measure_twirling on, or switch them off")
        for name in self.extrapolators():
            if self.uses_zne() and len(self.noise_factors()) < MIN_NOISE_FACTORS[name]:
                needed = MIN_NOISE_FACTORS[name]
                raise ValueError(f"--zne-factors {self.zne_factors}: {name} requires at least {needed} noise_factors")
        return self

    @property
    def backend_kind(self) -> str:
        """Kind of backend: exact, shots, aer, fake or ibm."""
        return self.backend.partition(":")[0]

    @property
    def device_name(self) -> str:
        """Name of the device; empty for exact and shots."""
        return self.backend.partition(":")[2]

    def uses_zne(self) -> bool:
        """Return whether zero-noise extrapolation is on, as set or by the resilience level."""
        return self.resilience_level == 2 if self.zne is None else self.zne

    def needs_noise_model(self) -> bool:
        """Return whether the noise of gate layers must be learned: for PEC, and for ZNE by PEA."""
        return self.pec or (self.uses_zne() and self.zne_amplifier == "pea")

    def uses_trex(self) -> bool:
        """Return whether readout errors are mitigated, as set or by the resilience level."""
        return self.resilience_level > 0 if self.measure_mitigation is None else self.measure_mitigation

    def twirls_measurements(self) -> bool:
        """Return whether measurements are twirled: as set, by the resilience level, or because mitigation requires it."""
        chosen = self.resilience_level > 0 if self.measure_twirling is None else self.measure_twirling
        return chosen or self.uses_trex() or self.needs_noise_model()

    def twirls_gates(self) -> bool:
        """Return whether gates are twirled: as set, by the resilience level, or because PEC or PEA requires it."""
        chosen = self.resilience_level == 2 if self.gate_twirling is None else self.gate_twirling
        return chosen or self.needs_noise_model()

    def noise_factors(self) -> tuple[float, ...]:
        """Return the noise factors of ZNE."""
        return tuple(float(factor) for factor in self.zne_factors.split(","))

    def extrapolators(self) -> tuple[str, ...]:
        """Return the names of ZNE's extrapolators in the order in which they are tried."""
        return tuple(name.strip() for name in self.zne_extrapolators.split(","))


_MITIGATION = {"resilience_level", "measure_mitigation", "measure_twirling", "gate_twirling", "zne", "zne_factors"}
_MITIGATION |= {"zne_extrapolators", "zne_amplifier", "pec", "pec_max_overhead"}
_SIMULATION = {"shots", "processes", "shot_seed"}
_NOISE_LEARNING = {"noise_learning_shots", "noise_learning_randomizations"}
_JOBS = {"execution_mode", "images_per_job", "max_execution_time", "max_qpu_seconds"}
_CLIENT = {"num_randomizations", "dynamical_decoupling"}
# The settings, besides ``backend``, that each kind of backend uses.
SETTINGS_USED: dict[str, set[str]] = {
    "exact": set(),
    "shots": _SIMULATION,
    # Twirling is averaged exactly, and idle qubits have no noise.
    "aer": _SIMULATION | _MITIGATION | {"pack"},
    "fake": _SIMULATION | _MITIGATION | {"pack"} | _CLIENT,
    "ibm": {"shots", "pack"} | _MITIGATION | _NOISE_LEARNING | _CLIENT | _JOBS,
    # A cost estimate on a snapshot of a device, without an account.
    "cost": {"shots", "pack", "images_per_job"} | _MITIGATION | _NOISE_LEARNING | _CLIENT,
}


def find_unused_settings(config: HardwareConfig, names: Iterable[str], kind: str | None = None) -> dict[str, str]:
    """Return those of the named settings that have no effect, each with the reason.

    Args:
        config: all settings.
        names: the settings that the user gave.
        kind: a key of :data:`SETTINGS_USED`; None for the kind of the backend.
    """
    # Settings of a feature that may be off: whether it is, and how to switch it on.
    switched_off = {
        **dict.fromkeys(
            ("zne_factors", "zne_extrapolators", "zne_amplifier"), (not config.uses_zne(), "without --zne")
        ),
        "pec_max_overhead": (not config.pec, "without --pec"),
        **dict.fromkeys(_NOISE_LEARNING, (not config.needs_noise_model(), "without --pec or --zne-amplifier pea")),
        "num_randomizations": (
            not (config.twirls_measurements() or config.twirls_gates()),
            "without twirling (--gate-twirling or --measure-twirling)",
        ),
    }
    unused: dict[str, str] = {}
    for name in names:
        if name == "backend":
            continue
        off, reason = switched_off.get(name, (False, ""))
        if name not in SETTINGS_USED[kind or config.backend_kind]:
            unused[name] = f"with --backend {config.backend}"
        elif off:
            unused[name] = reason
    return unused
