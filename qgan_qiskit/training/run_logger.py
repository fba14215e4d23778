"""What a person sees while training: a bar on a terminal, a plain line now and then elsewhere.

What a run leaves behind while it is trained: log, pictures, measurements, checkpoints, and the line a person sees.

Shape letters: B batch · N images · C H W image.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from qgan_qiskit.runs import sample as synthetic
from qgan_qiskit.runs.run_folder import METRICS, STATS, RunFolder
from qgan_qiskit.training.ema import update_bn
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import StepLosses

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


logger = logging.getLogger(__name__)

_LINE_SECONDS = 15.0


class Progress:
    """Shows losses, images per second and time left."""

    def __init__(self, start: int, total: int, images_per_step: int, stream: TextIO | None = None) -> None:
        """Start the clock.

        Args:
            start: steps already done (a resumed run).
            total: steps in all.
            images_per_step: images in a step.
            stream: where to write; None for standard error.
        """
        self.stream = stream or sys.stderr
        self.start, self.total, self.images_per_step = start, total, images_per_step
        self.began = self.last = time.monotonic()
        self.bar = None
        if self.stream.isatty() and logger.isEnabledFor(logging.INFO):
            self.bar = tqdm(
                total=total, initial=start, unit="step", file=self.stream, dynamic_ncols=True, smoothing=0.05
            )

    def images_per_second(self, step: int) -> float:
        """Return the mean rate since the start."""
        return (step - self.start) * self.images_per_step / max(time.monotonic() - self.began, 1e-9)

    def update(self, step: int, losses: StepLosses) -> None:
        """Report a step (the number of steps done)."""
        text = f"loss D {losses.discriminator:.3f} G {losses.generator:.3f}"
        if losses.reconstruction is not None:
            text += f" rec {losses.reconstruction:.4f}"
        if self.bar is not None:
            self.bar.set_postfix_str(f"{text}, {self.images_per_second(step):.0f} images/s", refresh=False)
            self.bar.update(1)
        elif time.monotonic() - self.last >= _LINE_SECONDS or step == self.total:
            self.last = time.monotonic()
            rate = self.images_per_second(step)
            left = (self.total - step) * self.images_per_step / rate
            logger.info(f"step {step}/{self.total}  {text}  {rate:.0f} images/s  {_clock(left)} left")

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


GRID_IMAGES = 64
Measure = Callable[[Generator], list[dict[str, Any]]]


class RunLogger:
    """Writes into a run's folder; only one process may have it."""

    def __init__(
        self,
        run: RunFolder,
        config: RunConfig,
        state: TrainingState,
        real_batch: Callable[[int], Tensor],
        steps: int,
        saved_values: dict[str, Any],
        device: torch.device,
        measure: Measure | None,
    ) -> None:
        """Open the logs; a new run also gets its first pictures. For the arguments see ``loop.train``.

        Raises:
            StorageError: the disk refused.
        """
        self.run, self.config, self.state, self.steps = run, config, state, steps
        self.saved_values, self.device, self.measure = saved_values, device, measure
        self._writer = _writer(run, state.step) if config.training.tensorboard else None
        # The step at which the average last got its own batch-norm statistics.
        self._settled: int | None = None
        if state.step == 0:
            run.write_picture("reals.png", grid_picture(_reals(real_batch)))
            self._write_fakes("fakes_init.png")
        self._progress = Progress(state.step, steps, config.training.images_per_step)

    def add_step(self, losses: StepLosses) -> None:
        """Report a step that was taken, and draw and measure where it is time to.

        Raises:
            StorageError: the disk refused.
        """
        run, state, training = self.run, self.state, self.config.training
        step, last = state.step, state.step == self.steps
        self._progress.update(step, losses)
        if last or step % training.log_every == 0:
            row = _row(state, losses, self._progress)
            run.append_row(STATS, row)
            self._write_scalars(row)
        if last or step % training.grid_every == 0:
            self._write_fakes(f"fakes_{step:06d}.png")
        if self.measure is not None and (last or step % self.config.evaluation.metrics_every == 0):
            with self._averaged() as generator:
                figures = self.measure(generator)
            run.append_row(METRICS, {"step": step, "images_seen": step * training.images_per_step, "figures": figures})
            self._write_scalars({"step": step} | {f["name"]: f["value"] for f in figures})

    def save(self) -> Path:
        """Publish a checkpoint of the state as it is; return its folder.

        Raises:
            StorageError: the disk refused.
        """
        state = self.state
        with self._averaged():
            # What is saved as the average is what samples are drawn from.
            pass
        values = state.values() | self.saved_values
        return checkpoint.save(self.run.checkpoints, state.step, state.tensors(), values, self.config.training.keep)

    def close(self) -> None:
        """End the progress bar and the events."""
        self._progress.close()
        if self._writer is not None:
            self._writer.close()

    @torch.no_grad()
    def _write_fakes(self, name: str) -> None:
        """Draw images from the same noise at every step; with an adaptive range it is stretched to the range of the step."""
        config = self.config
        with self._averaged() as generator:
            z_BZ = generator.sample_latent(GRID_IMAGES, seeded_generator(config.training.seed, "grid"))
            images_BCHW = generator(z_BZ.to(self.device))
        about: dict[str, object] = {"model": config.model.name, "preset": config.preset, "step": self.state.step}
        about |= {"data": self.saved_values.get("data_digest"), "seed": config.training.seed}
        about["class"] = config.data.class_name
        if generator.num_classes:
            names = config.data.class_list()
            about["classes"] = [names[label] for label in generator.labels(z_BZ).tolist()]
        self.run.write_bytes(name, synthetic.png(grid_picture(images_BCHW), about))

    @contextmanager
    def _averaged(self) -> Iterator[Generator]:
        """Give the generator its averaged weights, and batch-norm statistics that fit them, for a ``with`` block."""
        state = self.state
        with state.ema.applied():
            if self._settled != state.step:
                update_bn(state.generator, self.config.training.seed, self.device)
                self._settled = state.step
            yield state.generator

    def _write_scalars(self, row: dict[str, Any]) -> None:
        if self._writer is not None:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, row["step"])


def _reals(real_batch: Callable[[int], Tensor]) -> Tensor:
    images = real_batch(0)
    step = 1
    while len(images) < GRID_IMAGES and step < GRID_IMAGES:
        images = torch.cat([images, real_batch(step)])
        step += 1
    return images[:GRID_IMAGES]


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
        row["latent_high"] = state.noise.high
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
