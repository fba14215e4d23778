"""A whole training step of MediQ-GAN (batch 10, three critic updates), and the same with PennyLane in the circuits' place.

Circuits are evaluated three times in such a step and differentiated once. The networks around them are the same, so what
PennyLane would take is its own time for the circuits, on a part that is scaled, and the rest of our step.
"""

import statistics
from collections.abc import Callable, Collection
from functools import partial

import torch
from case import Form, make_case
from peers import ours, pennylane
from progress import reason, say
from timing import beside, first_call, measure

from qgan_qiskit.config import preset
from qgan_qiskit.models import build
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step

CLASSES = ("MEL", "NV", "BCC")
_IMAGES = 2
TARGET = 100


def run(tiny: bool, skip: Collection[str]) -> dict:
    """Return the figures of the part ``mediq_training``: medians over pairs of our step and PennyLane's circuits."""
    config = preset("mediq", "style2")
    if tiny:
        model = config.model.model_copy(update={"num_qubits": 4, "reps": 2})
        config = config.model_copy(update={"model": model})
    model, training = config.model, config.training
    form = Form(model.num_qubits, model.reps, encoding="ry_rx", entangler="cz", readout="x")
    case = make_case(form, model.sub_generators, training.batch_size)
    whole, quantum = training_step(config), ours.prepare(case)
    first_call(whole), first_call(quantum)
    figures: dict = {"target": TARGET, "batch": training.batch_size, "critic_steps": training.critic_steps}
    if "lightning" in skip:
        return figures | {"whole_seconds": measure(whole).seconds, "missing": "left out by --skip"}
    try:
        lightning = pennylane.prepare(case.part(_IMAGES, 1), device="lightning.qubit", method="adjoint")
        first_call(lightning)
    except Exception as error:  # it may be missing or fail in any way; our own figure is still wanted
        return figures | {"whole_seconds": measure(whole).seconds, "missing": reason(error)}
    scale, forwards = training.batch_size / _IMAGES * model.sub_generators, training.critic_steps - 1
    rows = []
    for _ in range(1 if tiny else 3):
        own = beside(partial(measure, whole), partial(measure, quantum, budget=1.0))
        step = beside(partial(measure, whole), partial(measure, lightning))
        forward = measure(lightning.forward)
        circuits = scale * (step.rival.seconds + forwards * forward.seconds)
        # An upper bound of the rest: our own circuits are left in it.
        rows.append((step.ours, own.rival.seconds, circuits, (circuits + step.ours) / step.ours))
        say(
            f"MediQ-GAN's training step: {step.ours:.3f} s, with lightning {circuits + step.ours:.1f} s, {rows[-1][-1]:.0f}x"
        )
    names = ("whole_seconds", "quantum_seconds", "lightning_circuits_seconds", "ratio")
    return figures | {
        name: statistics.median(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }


def training_step(config) -> Callable[[], object]:
    """Return a call that runs a whole training step on 64x64 images of three classes."""
    generator, critic = build(config.model, 64, seeded_generator(0, "weights"), classes=CLASSES)
    state = TrainingState.create(config, generator, critic)
    number = config.training.images_per_step
    real = torch.rand(number, 3, 64, 64, generator=seeded_generator(3)) * 2 - 1
    labels = torch.randint(len(CLASSES), (number,), generator=seeded_generator(4))
    return lambda: train_step(state, real, config.training, labels_B=labels)
