"""What a person sees while training: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from tqdm import tqdm

from qgan_qiskit.training.step import StepLosses

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
        if self.stream.isatty():
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
            self.say(f"step {step}/{self.total}  {text}  {rate:.0f} images/s  {_clock(left)} left")

    def say(self, text: str) -> None:
        """Write a line without breaking the bar."""
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        else:
            self.stream.write(text + "\n")
            self.stream.flush()

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
