"""Our settings in the words of IBM's legacy ``EstimatorV2``, which mitigates errors at IBM; deprecated since client 0.50."""

from __future__ import annotations

from collections.abc import Sequence

from qiskit_ibm_runtime.options import EstimatorOptions

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.hardware.ibm.options import asked_of_both, given, refused_in_one_line


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
    asked = asked_of_both(config, tags) | given(max_execution_time=config.max_execution_time)
    asked["resilience"]["layer_noise_learning"] = {
        "max_layers_to_learn": None,
        "shots_per_randomization": config.noise_learning_shots,
        "num_randomizations": config.noise_learning_randomizations,
    }
    with refused_in_one_line():
        return EstimatorOptions(**asked)
