"""Forward and backward pass of a discriminator, its smallest convolution as a matrix product against torch's own.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/few_pixels.py

Both ways take turns in one process; medians of 12 and their ratio are printed.
"""

from __future__ import annotations

import statistics
import time

import torch

from qgan_qiskit.models import few_pixels
from qgan_qiskit.models.dcgan import DcganDiscriminator
from qgan_qiskit.training.randomness import seeded

OURS = few_pixels.SIDE
ROUNDS, WARM = 12, 2
CASES = {"HybridQ's default, 16 images": (48, 16), "DCGAN's default, 64 images": (64, 64)}


def seconds(network: DcganDiscriminator, images: torch.Tensor) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images)
    logits.float().sum().backward()
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    for name, (width, batch) in CASES.items():
        network = DcganDiscriminator(width, 64, "batch", seeded(0)).to(memory_format=torch.channels_last)
        images = (
            torch.randn(batch, 3, 64, 64, generator=seeded(1)).to(memory_format=torch.channels_last).requires_grad_()
        )
        taken: dict[int, list[float]] = {0: [], OURS: []}
        for _ in range(WARM + ROUNDS):
            for side, times in taken.items():
                few_pixels.SIDE = side
                times.append(seconds(network, images))
        theirs, ours = (statistics.median(times[WARM:]) for times in taken.values())
        print(f"{name}: torch's {theirs * 1e3:.1f} ms, as a product {ours * 1e3:.1f} ms, {theirs / ours:.2f}x")


if __name__ == "__main__":
    main()
