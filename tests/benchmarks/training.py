"""The share of the quantum part in a whole training step of the default HybridQ preset, here with batches of 64 images."""

import statistics
from collections.abc import Callable, Collection

import torch
from case import Form, make_case
from peers import ours
from progress import say
from timing import beside, first_call, measure

from qgan_qiskit.config import preset
from qgan_qiskit.device import has_native_bfloat16, to_device
from qgan_qiskit.models import build
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step

_BATCH = 64


def run(tiny: bool, skip: Collection[str]) -> dict:
    """Return the figures of the part ``training``: medians over pairs of our generator step and the whole step."""
    quantum, whole = ours.prepare(make_case(Form(10, 6), 10, _BATCH)), training_step()
    first_call(quantum), first_call(whole)
    pairs = []
    for _ in range(1 if tiny else 4):
        pairs.append(beside(lambda: measure(quantum, budget=1.0), lambda: measure(whole)))
        say(f"training step: {pairs[-1].rival.seconds:.3f} s, quantum {pairs[-1].ours:.4f} s")
    return {
        "whole_seconds": statistics.median(pair.rival.seconds for pair in pairs),
        "quantum_seconds": statistics.median(pair.ours for pair in pairs),
        "share": statistics.median(pair.ours / pair.rival.seconds for pair in pairs),
        "bfloat16": has_native_bfloat16(torch.device("cpu")),
    }


def training_step() -> Callable[[], object]:
    """Return a call that runs a whole training step: both updates."""
    config = preset("hybridq", "default")
    device = torch.device("cpu")
    generator, discriminator = build(config.model, config.data.resolution, seeded_generator(0, "weights"))
    state = TrainingState.create(config, to_device(generator, device), to_device(discriminator, device))
    real = torch.rand(_BATCH, 3, 64, 64, generator=seeded_generator(3)) * 2 - 1
    return lambda: train_step(state, real, config.training)
