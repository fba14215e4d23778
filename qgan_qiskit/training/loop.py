"""The loop around the steps: pictures, log, checkpoints, signals.

Shape letters: B batch · N images · C H W image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qgan_qiskit.config import RunConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.training import checkpoint
from qgan_qiskit.training.pictures import grid_picture
from qgan_qiskit.training.progress import Progress
from qgan_qiskit.training.randomness import seeded
from qgan_qiskit.training.run_folder import RunFolder
from qgan_qiskit.training.signals import Interrupted, stop_on_signal
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import StepLosses, train_step

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

GRID_IMAGES = 64


def train(
    run: RunFolder,
    config: RunConfig,
    state: TrainingState,
    real_batch: Callable[[int], Tensor],
    steps: int,
    saved_values: dict[str, Any],
    device: torch.device,
) -> None:
    """Train up to a number of steps; the caller holds the run's lock.

    Args:
        run: where everything is written.
        config: the run's settings.
        state: what is trained, at the step it starts from.
        real_batch: step -> real images (B, C, H, W) in [-1, 1]; a pure function, so that a resumed run sees the same.
        steps: updates in all.
        saved_values: what every checkpoint's ``state.json`` holds besides the state.
        device: where to compute.

    Raises:
        DivergedError: a loss or gradient is not finite; the last checkpoint is from before.
        Interrupted: SIGINT or SIGTERM came; a checkpoint has been written.
        StorageError: the disk refused.
    """
    training = config.training
    writer = _writer(run, state.step) if training.tensorboard else None
    if state.step == 0:
        run.write_picture("reals.png", grid_picture(_reals(real_batch)))
        run.write_picture("fakes_init.png", grid_picture(_fakes(state, training.seed, device)))
    progress = Progress(state.step, steps, training.batch_size)
    try:
        with stop_on_signal() as stop:
            while state.step < steps:
                losses = train_step(state, real_batch(state.step).to(device), training)
                step, last = state.step, state.step == steps
                progress.update(step, losses)
                if last or step % training.log_every == 0:
                    row = _row(state, losses, progress)
                    run.append_stats(row)
                    _write_scalars(writer, row)
                if last or step % training.grid_every == 0:
                    run.write_picture(f"fakes_{step:06d}.png", grid_picture(_fakes(state, training.seed, device)))
                if last or step % training.snap == 0 or stop.number is not None:
                    values = state.values() | saved_values
                    path = checkpoint.save(run.checkpoints, step, state.tensors(), values, training.keep)
                    if stop.number is not None:
                        raise Interrupted(
                            f"stopped at step {step}, saved {path}; go on with --resume {run.path}", stop.number
                        )
    finally:
        progress.close()
        if writer is not None:
            writer.close()


def _reals(real_batch: Callable[[int], Tensor]) -> Tensor:
    images = real_batch(0)
    step = 1
    while len(images) < GRID_IMAGES and step < GRID_IMAGES:
        images = torch.cat([images, real_batch(step)])
        step += 1
    return images[:GRID_IMAGES]


@torch.no_grad()
def _fakes(state: TrainingState, seed: int, device: torch.device) -> Tensor:
    """Images from the same noise at every step; with an adaptive range it is stretched to the range of the step."""
    with state.ema.applied():
        return state.generator(state.generator.sample_latent(GRID_IMAGES, seeded(seed, "grid")).to(device))


def _row(state: TrainingState, losses: StepLosses, progress: Progress) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": state.step,
        "loss_discriminator": losses.discriminator,
        "loss_generator": losses.generator,
    }
    if losses.reconstruction is not None:
        row["reconstruction"] = losses.reconstruction
    norm = state.quantum_gradient_norm()
    if norm is not None:
        row["gradient_norm_quantum"] = norm
    if state.noise is not None:
        row["noise_high"] = state.noise.high
    return row | {"images_per_second": round(progress.images_per_second(state.step), 2)}


def check_tensorboard() -> None:
    """Find out whether TensorBoard is installed.

    Raises:
        UsageError: it is not.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise UsageError("--tensorboard needs TensorBoard: python -m pip install -e '.[tensorboard]'") from None


def _writer(run: RunFolder, step: int) -> SummaryWriter:
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    # purge_step: what a killed run wrote of the steps after its checkpoint is not shown beside what comes again.
    return SummaryWriter(str(run.path), purge_step=step + 1)


def _write_scalars(writer: SummaryWriter | None, row: dict[str, Any]) -> None:
    if writer is not None:
        for name, value in row.items():
            if name != "step":
                writer.add_scalar(name, value, row["step"])
