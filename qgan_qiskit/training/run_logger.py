"""What a run leaves behind while it is trained: progress on the terminal, log, pictures, metrics and checkpoints.

Pictures, metrics and checkpoints come from the averaged weights with batch-norm statistics that fit them.

Shape letters: B batch · N images · C H W image.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch
from torch import Tensor
from tqdm import tqdm

from qgan_qiskit.config import RunConfig
from qgan_qiskit.data.grids import grid_picture
from qgan_qiskit.errors import UsageError
from qgan_qiskit.models import Generator
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.run_folder import METRICS, STATS, RunFolder
from qgan_qiskit.runs.sample import encode_png
from qgan_qiskit.training.ema import update_bn
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import StepLosses

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

GRID_IMAGES = 64
_SECONDS_PER_LINE = 15.0
Evaluate = Callable[[Generator], list[dict[str, Any]]]


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """What a run is trained on and where it is written.

    Attributes:
        run: written by the main process.
        config: the run's settings.
        real_batch: step -> real images (images_per_step, C, H, W) in [-1, 1]; a pure function, so a resumed run sees the same.
        labels: step -> classes (images_per_step,) of these images, for a conditional model; else None.
        steps: length of the whole run.
        saved_values: what every checkpoint's ``state.json`` holds besides the training state.
        device: of this process.
        evaluate: averaged generator -> rows for ``metrics.jsonl``; None for no metrics.
    """

    run: RunFolder
    config: RunConfig
    real_batch: Callable[[int], Tensor]
    labels: Callable[[int], Tensor] | None
    steps: int
    saved_values: dict[str, Any]
    device: torch.device
    evaluate: Evaluate | None = None


class RunLogger:
    """Writes a run's folder; only the main process has one."""

    def __init__(self, job: TrainingJob, state: TrainingState) -> None:
        """Open the logs; a new run also gets its first pictures.

        Raises:
            StorageError: the disk refused a write.
        """
        self.job, self.state = job, state
        self._writer = _open_tensorboard(job.run, state.step) if job.config.training.tensorboard else None
        # The step at which the average's batch-norm statistics were last updated.
        self._bn_step: int | None = None
        if state.step == 0:
            job.run.write_picture("reals.png", grid_picture(_first_images(job.real_batch)))
            self._write_samples("fakes_init.png")
        self._progress = Progress(state.step, job.steps, job.config.training.images_per_step)

    def log_step(self, losses: StepLosses) -> None:
        """Log a step, and write pictures and metrics where they are due.

        Raises:
            StorageError: the disk refused a write.
        """
        job, training = self.job, self.job.config.training
        step, last = self.state.step, self.state.step == job.steps
        self._progress.update(step, losses)
        if last or step % training.log_every == 0:
            row = _stats_row(self.state, losses, self._progress)
            job.run.append_row(STATS, row)
            self._write_scalars(row)
        if last or step % training.grid_every == 0:
            self._write_samples(f"fakes_{step:06d}.png")
        if job.evaluate is not None and (last or step % job.config.evaluation.metrics_every == 0):
            with self._averaged() as generator:
                figures = job.evaluate(generator)
            images_seen = step * training.images_per_step
            job.run.append_row(METRICS, {"step": step, "images_seen": images_seen, "figures": figures})
            self._write_scalars({"step": step} | {f["name"]: f["value"] for f in figures})

    def save_checkpoint(self) -> Path:
        """Publish a checkpoint of the present state; return its folder.

        Raises:
            StorageError: the disk refused a write.
        """
        job, state = self.job, self.state
        with self._averaged():
            # The saved average has the batch-norm statistics that samples are drawn with.
            pass
        values = state.values() | job.saved_values
        return checkpoint.save(job.run.checkpoints, state.step, state.tensors(), values, job.config.training.keep)

    def close(self) -> None:
        """Close the progress bar and the TensorBoard events."""
        self._progress.close()
        if self._writer is not None:
            self._writer.close()

    @torch.no_grad()
    def _write_samples(self, name: str) -> None:
        """Write images of the same latents at every step; with an adaptive range they are scaled to the step's range."""
        config = self.job.config
        with self._averaged() as generator:
            z_BZ = generator.sample_latent(GRID_IMAGES, seeded_generator(config.training.seed, "grid"))
            images_BCHW = generator(z_BZ.to(self.job.device))
        provenance: dict[str, object] = {
            "model": config.model.name,
            "preset": config.preset,
            "step": self.state.step,
            "data": self.job.saved_values.get("data_digest"),
            "seed": config.training.seed,
            "class": config.data.class_name,
        }
        if generator.num_classes:
            names = config.data.class_list()
            provenance["classes"] = [names[label] for label in generator.labels(z_BZ).tolist()]
        self.job.run.write_bytes(name, encode_png(grid_picture(images_BCHW), provenance))

    @contextmanager
    def _averaged(self) -> Iterator[Generator]:
        """Give the generator its averaged weights and matching batch-norm statistics inside a ``with`` block."""
        state = self.state
        with state.ema.applied():
            if self._bn_step != state.step:
                update_bn(state.generator, self.job.config.training.seed, self.job.device)
                self._bn_step = state.step
            yield state.generator

    def _write_scalars(self, row: dict[str, Any]) -> None:
        if self._writer is not None:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, row["step"])


def _first_images(real_batch: Callable[[int], Tensor]) -> Tensor:
    images = real_batch(0)
    step = 1
    while len(images) < GRID_IMAGES and step < GRID_IMAGES:
        images = torch.cat([images, real_batch(step)])
        step += 1
    return images[:GRID_IMAGES]


def _stats_row(state: TrainingState, losses: StepLosses, progress: Progress) -> dict[str, Any]:
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
    if state.latent_range is not None:
        row["latent_high"] = state.latent_range.high
    return row | {"images_per_second": round(progress.images_per_second(state.step), 2)}


class Progress:
    """Losses, images per second and time left: a bar on a terminal, a line every 15 seconds elsewhere."""

    def __init__(self, start: int, total: int, images_per_step: int, stream: TextIO | None = None) -> None:
        """Start the clock.

        Args:
            start: steps already done (a resumed run).
            total: steps in all.
            images_per_step: images in a step.
            stream: where a bar goes; None for standard error.
        """
        stream = stream or sys.stderr
        self.start, self.total, self.images_per_step = start, total, images_per_step
        self.began = self.last_line = time.monotonic()
        self.bar = None
        if stream.isatty() and logger.isEnabledFor(logging.INFO):
            self.bar = tqdm(total=total, initial=start, unit="step", file=stream, dynamic_ncols=True, smoothing=0.05)

    def images_per_second(self, step: int) -> float:
        """Return the mean rate since the start."""
        return (step - self.start) * self.images_per_step / max(time.monotonic() - self.began, 1e-9)

    def update(self, step: int, losses: StepLosses) -> None:
        """Report a step (the number of steps done)."""
        text = f"loss D {losses.discriminator:.3f} G {losses.generator:.3f}"
        if losses.reconstruction is not None:
            text += f" rec {losses.reconstruction:.4f}"
        rate = self.images_per_second(step)
        if self.bar is not None:
            self.bar.set_postfix_str(f"{text}, {rate:.0f} images/s", refresh=False)
            self.bar.update(1)
        elif time.monotonic() - self.last_line >= _SECONDS_PER_LINE or step == self.total:
            self.last_line = time.monotonic()
            left = tqdm.format_interval((self.total - step) * self.images_per_step / rate)
            logger.info(f"step {step}/{self.total}  {text}  {rate:.0f} images/s  {left} left")

    def close(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


def check_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises:
        UsageError: it is not.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise UsageError("--tensorboard needs TensorBoard: python -m pip install -e '.[tensorboard]'") from None


def _open_tensorboard(run: RunFolder, step: int) -> SummaryWriter:
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    # purge_step hides what a killed run logged after its last checkpoint: those steps are repeated.
    return SummaryWriter(str(run.path), purge_step=step + 1)
