"""Our settings as options of IBM's Estimator and noise learner, checked before anything is sent.

Private jobs are never requested: their results can be read only once, and a download that breaks off would lose them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from qiskit.primitives import BaseEstimatorV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.options_models import EstimatorOptions, NoiseLearnerV3Options

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import UsageError


def build_estimator_options(config: HardwareConfig, tags: Sequence[str] = ()) -> EstimatorOptions:
    """Return the options of ``qiskit_ibm_runtime.executor_estimator.Estimator``.

    Raises:
        UsageError: the installed client refuses a setting.
    """
    decoupling: dict[str, Any] = {"enable": config.dynamical_decoupling != "none"}
    if decoupling["enable"]:
        decoupling["sequence_type"] = config.dynamical_decoupling
    with _refuse_in_one_line():
        return EstimatorOptions(
            default_shots=config.shots,
            resilience_level=config.resilience_level,
            max_execution_time=config.max_execution_time,
            environment={"job_tags": list(tags)},
            simulator={"seed_simulator": config.shot_seed},
            dynamical_decoupling=decoupling,
            twirling=_drop_none(
                enable_gates=config.gate_twirling,
                enable_measure=config.measure_twirling,
                num_randomizations=config.num_randomizations,
            ),
            resilience={
                **_drop_none(measure_mitigation=config.measure_mitigation, zne_mitigation=config.zne),
                "zne": {
                    "amplifier": config.zne_amplifier,
                    "noise_factors": list(config.noise_factors()),
                    "extrapolator": list(config.extrapolators()),
                },
                "pec_mitigation": config.pec,
                "pec": {"max_overhead": config.pec_max_overhead},
            },
        )


def build_local_estimator(simulator: Any, config: HardwareConfig, seed: int) -> BaseEstimatorV2:
    """Return IBM's Estimator in its local mode, on an Aer simulator.

    Raises:
        UsageError: the installed client refuses a setting.
    """
    options = build_estimator_options(config)
    options.simulator.seed_simulator = seed
    return Estimator(mode=simulator, options=options)


def build_learner_options(config: HardwareConfig, tags: Sequence[str] = ()) -> NoiseLearnerV3Options:
    """Return the options of IBM's ``NoiseLearnerV3``, which learns the noise model of PEC and PEA.

    Raises:
        UsageError: the installed client refuses a setting.
    """
    with _refuse_in_one_line():
        return NoiseLearnerV3Options(
            shots_per_randomization=config.noise_learning_shots,
            num_randomizations=config.noise_learning_randomizations,
            max_execution_time=config.max_execution_time,
            environment={"job_tags": list(tags)},
        )


@contextmanager
def _refuse_in_one_line() -> Iterator[None]:
    """Translate the validation errors of the client's options.

    Raises:
        UsageError: a value is invalid.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        # Names of validators stand between those of settings.
        setting = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
        raise UsageError(f"IBM's Estimator refuses {setting}: {first['msg']}, not {first['input']!r}") from None


def _drop_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
