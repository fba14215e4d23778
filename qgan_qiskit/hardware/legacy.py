"""Our settings in the words of IBM's legacy ``EstimatorV2``, which mitigates errors at IBM; deprecated since client 0.50."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qiskit_ibm_runtime.options import EstimatorOptions

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.hardware.options import given, refused_in_one_line


def legacy_options(config: HardwareConfig, tags: Sequence[str] = ()) -> EstimatorOptions:
    """Return the options of ``qiskit_ibm_runtime.EstimatorV2``.

    What is not asked for is left to IBM, by the resilience level. PEC and PEA learn the noise within the job, of all layers: by
    IBM's own default it would be four of them, and the others would be taken for free of noise. Private jobs are never asked
    for: their results can be read once.

    Args:
        config: ours.
        tags: by which a job is found again.

    Raises:
        UsageError: the installed client does not take a setting.
    """
    asked: dict[str, Any] = {
        "default_shots": config.shots,
        "resilience_level": config.resilience_level,
        "environment": {"job_tags": list(tags)},
        "dynamical_decoupling": {"enable": config.dynamical_decoupling != "none"},
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
            "layer_noise_learning": {
                "max_layers_to_learn": None,
                "shots_per_randomization": config.noise_learning_shots,
                "num_randomizations": config.noise_learning_randomizations,
            },
        },
        **given(max_execution_time=config.max_execution_time),
    }
    if config.dynamical_decoupling != "none":
        asked["dynamical_decoupling"]["sequence_type"] = config.dynamical_decoupling
    with refused_in_one_line():
        return EstimatorOptions(**asked)
