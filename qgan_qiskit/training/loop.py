"""The loop around the steps: what is written when, and when it ends.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qgan_qiskit.config import RunConfig
from qgan_qiskit.runs.run_folder import RunFolder
from qgan_qiskit.training.distributed import SINGLE_PROCESS, ProcessGroup
from qgan_qiskit.training.run_logger import Measure, RunLogger
from qgan_qiskit.training.signals import Interrupted
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import set_learning_rates, train_step

logger = logging.getLogger(__name__)


def train(
    run: RunFolder,
    config: RunConfig,
    state: TrainingState,
    real_batch: Callable[[int], Tensor],
    steps: int,
    saved_values: dict[str, Any],
    device: torch.device,
    measure: Measure | None = None,
    ranks: ProcessGroup = SINGLE_PROCESS,
    labels: Callable[[int], Tensor] | None = None,
) -> None:
    """Train up to a number of steps; the caller holds the run's lock.

    Args:
        run: where everything is written, by the first process.
        config: the run's settings.
        state: what is trained, at the step it starts from.
        real_batch: step -> real images (images_per_step, C, H, W) in [-1, 1]; a pure function, so that a resumed run sees
            the same.
        steps: updates in all.
        saved_values: what every checkpoint's ``state.json`` holds besides the state.
        device: where this process computes.
        measure: generator with averaged weights -> figures for ``metrics.jsonl``; None to measure nothing.
        ranks: the processes that share each batch.
        labels: step -> classes (B,) of the real images, for a conditional model.

    Raises:
        DivergedError: a loss or gradient is not finite; the last checkpoint is from before.
        Interrupted: SIGINT or SIGTERM came to one of the processes; a checkpoint has been written.
        StorageError: the disk refused.
    """
    training = config.training
    record: RunLogger | None = None
    try:
        with ranks.together():
            if ranks.first:
                record = RunLogger(run, config, state, real_batch, steps, saved_values, device, measure)
        with ranks.stop_requests() as stop:
            while state.step < steps:
                set_learning_rates(state, training, steps)
                real_BCHW = _rows(real_batch(state.step), training.critic_steps, ranks).to(device)
                labels_B = (
                    None if labels is None else _rows(labels(state.step), training.critic_steps, ranks).to(device)
                )
                losses = train_step(state, real_BCHW, training, ranks, labels_B)
                with ranks.together():
                    if record is not None:
                        record.add_step(losses)
                stopping = ranks.largest(stop.number or 0)
                if stopping or state.step == steps or state.step % training.snap == 0:
                    saved: Path | None = None
                    with ranks.together():
                        if record is not None:
                            if stopping:
                                # Before a checkpoint batch norms are measured, which takes MediQ-GAN half a minute.
                                logger.info(f"stopping: saving step {state.step}; a second signal ends without")
                            saved = record.save()
                    # Asked again: a signal that came while saving must not be lost with the last step.
                    stopping = ranks.largest(stop.number or 0)
                if stopping:
                    raise Interrupted(
                        f"stopped at step {state.step}, saved {saved}; go on with --resume {run.path}", stopping
                    )
    finally:
        if record is not None:
            record.close()


def _rows(samples: Tensor, batches: int, ranks: ProcessGroup) -> Tensor:
    """Return this process's rows of each of the batches of a step, behind each other."""
    return torch.cat([ranks.rows(batch) for batch in samples.chunk(batches)])
