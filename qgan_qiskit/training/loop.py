"""The loop around the steps: what is written when, and when it ends.

All processes take every step together; only the main one has a :class:`RunLogger`, and an error of its writes ends all.

Shape letters: B batch · C H W image.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from qgan_qiskit.training.distributed import SINGLE_PROCESS, ProcessGroup
from qgan_qiskit.training.run_logger import RunLogger, TrainingJob
from qgan_qiskit.training.signals import Interrupted
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import StepLosses, set_learning_rates, train_step

logger = logging.getLogger(__name__)


def train(job: TrainingJob, state: TrainingState, group: ProcessGroup = SINGLE_PROCESS) -> None:
    """Train from the state's step to the job's last one; the caller holds the run's lock.

    Args:
        job: what is trained, on which images, and where it is written.
        state: where training starts; changed in place.
        group: the processes that share each batch.

    Raises:
        DivergedError: a loss or gradient is not finite; the last checkpoint is from before.
        Interrupted: SIGINT or SIGTERM came to one of the processes; a checkpoint has been written.
        StorageError: the disk refused a write.
    """
    run_logger: RunLogger | None = None
    try:
        with group.raise_on_all():
            if group.is_main:
                run_logger = RunLogger(job, state)
        with group.stop_requests() as stop:
            while state.step < job.steps:
                losses = _take_step(job, state, group)
                with group.raise_on_all():
                    if run_logger is not None:
                        run_logger.log_step(losses)
                stopping = group.all_reduce_max(stop.number or 0)
                saved: Path | None = None
                if stopping or state.step == job.steps or state.step % job.config.training.snap == 0:
                    saved = _save(run_logger, group, state.step, stopping=bool(stopping))
                    # A signal that came while saving must not be lost with the last step.
                    stopping = group.all_reduce_max(stop.number or 0)
                if stopping:
                    raise Interrupted(
                        f"stopped at step {state.step}, saved {saved}; continue with --resume {job.run.path}", stopping
                    )
    finally:
        if run_logger is not None:
            run_logger.close()


def _take_step(job: TrainingJob, state: TrainingState, group: ProcessGroup) -> StepLosses:
    training = job.config.training
    set_learning_rates(state, training, job.steps)

    def local_rows(samples: Callable[[int], Tensor]) -> Tensor:
        """Return this process's rows of each of the step's batches, concatenated."""
        batches = samples(state.step).chunk(training.critic_steps)
        return torch.cat([group.local_shard(batch) for batch in batches]).to(job.device)

    labels_B = None if job.labels is None else local_rows(job.labels)
    return train_step(state, local_rows(job.real_batch), training, group, labels_B)


def _save(run_logger: RunLogger | None, group: ProcessGroup, step: int, *, stopping: bool) -> Path | None:
    """Save a checkpoint in the main process; return its folder there."""
    with group.raise_on_all():
        if run_logger is not None:
            if stopping:
                # Updating batch norms before a checkpoint takes MediQ-GAN half a minute.
                logger.info(f"stopping: saving step {step}; a second signal exits without saving")
            return run_logger.save_checkpoint()
    return None
