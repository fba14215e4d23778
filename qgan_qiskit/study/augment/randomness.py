"""Randomness for code that takes no generator of its own: dropout, fresh layers, torchvision's transforms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from qgan_qiskit.training.randomness import seeded


@contextmanager
def global_randomness(seed: int, device: torch.device, *key: str | int) -> Iterator[None]:
    """Seed torch's global generators by a seed and a key, and give them their state back in the end.

    Args:
        seed: 0 to 2**63 - 1.
        device: whose generator is seeded beside the processor's.
        key: what the numbers are for.
    """
    number = seeded(seed, "global", *key).initial_seed()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(number)
        for one in devices:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(number)
        yield
