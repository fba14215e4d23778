"""MosaiQ's adaptive noise range (arXiv 2308.11096): wider noise while the discriminator loses ground to the generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

LOW = math.pi / 8
SPAN = 5 * math.pi / 8
# A generator loss may underflow to 0; the ratio then is merely large.
_TINY = 1e-30


@dataclass
class AdaptiveNoise:
    """Upper end of the uniform noise, ``pi/8 + 5pi/8 * max(0, tanh(R - R0))`` with R = discriminator loss / generator loss.

    Attributes:
        high: current upper end in radians, from pi/8 to 3pi/4.
        first_ratio: R0, the ratio after the first step; None before it.
    """

    high: float = LOW
    first_ratio: float | None = None

    def update(self, discriminator_loss: float, generator_loss: float) -> float:
        """Take the losses (binary cross-entropies, >= 0) of a step and return the new upper end in radians."""
        ratio = discriminator_loss / max(generator_loss, _TINY)
        if self.first_ratio is None:
            self.first_ratio = ratio
        self.high = LOW + SPAN * max(0.0, math.tanh(ratio - self.first_ratio))
        return self.high
