"""Our settings in the words of IBM's Estimator, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from qiskit_ibm_runtime.options_models import EstimatorOptions, NoiseLearnerV3Options

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import UsageError


@dataclass(frozen=True)
class Mitigation:
    """What is done against errors once resilience level and single settings are put together."""

    measure: bool
    twirl_readout: bool
    twirl_gates: bool
    zne: bool
    pec: bool

    @classmethod
    def of(cls, config: HardwareConfig) -> Mitigation:
        """Return what IBM's Estimator does with our settings."""
        return cls(
            measure=config.mitigates_readout(),
            twirl_readout=config.twirls_readout(),
            twirl_gates=config.twirls_gates(),
            zne=config.extrapolates(),
            pec=config.pec,
        )


def estimator_options(config: HardwareConfig, tags: Sequence[str] = ()) -> EstimatorOptions:
    """Return the options of ``qiskit_ibm_runtime.executor_estimator.Estimator``.

    Private jobs are never asked for: their results can be read once, and a download that breaks off would lose them.

    Args:
        config: ours.
        tags: by which a job is found again.

    Raises:
        UsageError: the installed client does not take a setting.
    """
    asked = asked_of_both(config, tags) | {
        "max_execution_time": config.max_execution_time,
        "simulator": {"seed_simulator": config.shot_seed},
    }
    with refused_in_one_line():
        return EstimatorOptions(**asked)


def asked_of_both(config: HardwareConfig, tags: Sequence[str]) -> dict[str, Any]:
    """Return the options that IBM's Estimator and its legacy ``EstimatorV2`` call alike."""
    decoupling: dict[str, Any] = {"enable": config.dynamical_decoupling != "none"}
    if config.dynamical_decoupling != "none":
        decoupling["sequence_type"] = config.dynamical_decoupling
    return {
        "default_shots": config.shots,
        "resilience_level": config.resilience_level,
        "environment": {"job_tags": list(tags)},
        "dynamical_decoupling": decoupling,
        "twirling": given(
            enable_gates=config.gate_twirling,
            enable_measure=config.measure_twirling,
            num_randomizations=config.num_randomizations,
        ),
        "resilience": {
            **given(measure_mitigation=config.measure_mitigation, zne_mitigation=config.zne),
            "zne": {
                "amplifier": config.zne_amplifier,
                "noise_factors": list(config.factors()),
                "extrapolator": list(config.extrapolators()),
            },
            "pec_mitigation": config.pec,
            "pec": {"max_overhead": config.pec_max_overhead},
        },
    }


def learner_options(config: HardwareConfig, tags: Sequence[str]) -> NoiseLearnerV3Options:
    """Return the options of IBM's ``NoiseLearnerV3``, which learns the noise that PEC and PEA work with.

    Args:
        config: ours.
        tags: by which the job is found again.

    Raises:
        UsageError: the installed client does not take a setting.
    """
    with refused_in_one_line():
        return NoiseLearnerV3Options(
            shots_per_randomization=config.noise_learning_shots,
            num_randomizations=config.noise_learning_randomizations,
            max_execution_time=config.max_execution_time,
            environment={"job_tags": list(tags)},
        )


@contextmanager
def refused_in_one_line() -> Iterator[None]:
    """Turn what the client's options say of a wrong value into one line.

    Raises:
        UsageError: a value is wrong.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        # Names of validators stand between those of settings.
        place = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
        raise UsageError(f"IBM's Estimator refuses {place}: {first['msg']}, not {first['input']!r}") from None


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
