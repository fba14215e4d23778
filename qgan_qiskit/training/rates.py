"""Step sizes that fall towards the end of a run.

With small steps at the end the two networks come to rest instead of circling each other; the average then covers less motion.
"""

from __future__ import annotations

from qgan_qiskit.config import TrainingConfig
from qgan_qiskit.training.state import TrainingState


def rate_factor(step: int, steps: int, decay_from: float) -> float:
    """Return by what step sizes are multiplied at a step; a pure function, so that a resumed run meets the same.

    Args:
        step: steps done before this one, from 0.
        steps: of the whole run.
        decay_from: share of the run after which they fall; from 1 on they never do.
    """
    left = (steps - step) / steps
    return 1.0 if decay_from >= 1 or left >= 1 - decay_from else left / (1 - decay_from)


def set_rates(state: TrainingState, config: TrainingConfig, steps: int) -> None:
    """Give both optimisers the step sizes of the next step.

    Args:
        state: whose ``step`` counts the steps done.
        config: base rates, and from when on they fall.
        steps: of the whole run.
    """
    factor = rate_factor(state.step, steps, config.lr_decay_from)
    for optimiser, classical in (
        (state.generator_optimiser, config.lr_classical),
        (state.discriminator_optimiser, config.lr_discriminator),
    ):
        for group in optimiser.param_groups:
            group["lr"] = (config.lr_quantum if group["name"] == "quantum" else classical) * factor
