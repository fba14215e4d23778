"""Randomness without state: every draw comes from a generator made for it from the run's seed and a key.

A run that is resumed at step 700 draws for step 700 what the uninterrupted run drew; there is no state to save or lose.

Randomness for code that takes no generator of its own: dropout, fresh layers, torchvision's transforms.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seeded_generator(seed: int, *key: str | int) -> torch.Generator:
    """Return a torch generator (on the processor) that is a pure function of a seed and a key.

    Args:
        seed: the run's seed, or an image's.
        key: what the numbers are for, such as ``("noise", step)``.
    """
    words = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in key]
    # The length goes in because SeedSequence takes missing words for zeros: ("noise",) is not ("noise", 0).
    state = np.random.SeedSequence([seed, len(words), *words]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


@contextmanager
def seeded_global_rng(seed: int, device: torch.device, *key: str | int) -> Iterator[None]:
    """Seed torch's global generators by a seed and a key, and give them their state back in the end.

    Args:
        seed: 0 to 2**63 - 1.
        device: whose generator is seeded beside the processor's.
        key: what the numbers are for.
    """
    number = seeded_generator(seed, "global", *key).initial_seed()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(number)
        for one in devices:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(number)
        yield
