"""How many times the shots probabilistic error cancellation takes, from the calibration of the day.

To cancel the errors of a layer, PEC draws circuits with signs. The scatter grows by gamma = exp(2 sum of rates), so the shots by
gamma squared (van den Berg et al., Nature Physics 19, 1116, 2023). For all layers of a circuit these factors multiply, and with
them those of sub-generators that share the circuit, although they share no gate.

Our settings in the words of IBM's Estimator, checked before anything is sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target
from qiskit_ibm_runtime.options_models import EstimatorOptions, NoiseLearnerV3Options

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import UsageError


def pec_sampling_overhead(circuit: QuantumCircuit, target: Target) -> float:
    """Return gamma squared of a circuit whose two-qubit gates depolarize by their calibrated error.

    A depolarizing channel of average infidelity r shrinks every Pauli by f = 1 - 4r/3; its fifteen rates are -ln(f)/16 each, so
    that gamma squared of a gate is f^(-15/4). What else the learned noise holds (waiting, cross-talk, one-qubit gates) comes on
    top.

    Args:
        circuit: in the device's gates, on all its qubits.
        target: the device.

    Returns:
        At least 1; infinite where a gate does not work.
    """
    logarithm = 0.0
    for instruction in circuit.data:
        if instruction.operation.num_qubits == 2:
            places = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
            properties = target[instruction.operation.name][places]
            kept = 1 - 4 * ((properties.error if properties else None) or 0.0) / 3
            logarithm += math.inf if kept <= 0 else -15 * math.log(kept) / 4
    return math.exp(min(logarithm, 700.0)) if math.isfinite(logarithm) else math.inf


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
