"""Which settings of a device's run mean something on which kind of device, so that none is ignored in silence."""

from __future__ import annotations

from collections.abc import Iterable

from qgan_qiskit.config.hardware import HardwareConfig

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
