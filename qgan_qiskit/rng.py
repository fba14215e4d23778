"""Every source of randomness of the package: generators that are pure functions of a seed and a key.

There is no global seed and no state to save: a run resumed at step 700 draws for step 700 what the uninterrupted run drew.
The bits of each stream are part of the package's contract: saved runs, images and intervals depend on them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seeded_generator(seed: int, *key: str | int) -> torch.Generator:
    """Return a torch generator (on the CPU, so that a seed means the same everywhere).

    Args:
        seed: the run's seed, or an image's; at least 0.
        key: what the numbers are for, such as ``("noise", step)``.
    """
    import torch

    # SeedSequence reads missing words as zeros; with the length in it, ("noise",) differs from ("noise", 0).
    state = _seed_sequence(seed, len(key), *key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def numpy_generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return a NumPy generator (PCG64); without a key it is ``np.random.default_rng(seed)``."""
    return np.random.default_rng(_seed_sequence(seed, *key))


def philox_generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return a NumPy generator (Philox, whose streams for different keys are independent)."""
    return np.random.Generator(np.random.Philox(_seed_sequence(seed, *key)))


def _seed_sequence(*words: str | int) -> np.random.SeedSequence:
    return np.random.SeedSequence([word if isinstance(word, int) else zlib.crc32(word.encode()) for word in words])


@contextmanager
def seeded_global_rng(seed: int, device: torch.device, *key: str | int) -> Iterator[None]:
    """Seed torch's global generators, and restore them at the end, for code that takes no generator of its own.

    Such code is dropout, the initialization of new layers, and torchvision's transforms.

    Args:
        seed: 0 to 2**63 - 1.
        device: whose generator is seeded besides the CPU's.
        key: what the numbers are for.
    """
    import torch

    number = seeded_generator(seed, "global", *key).initial_seed()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(number)
        for cuda_device in devices:
            with torch.cuda.device(cuda_device):
                torch.cuda.manual_seed(number)
        yield
