"""Every preset takes steps in bfloat16, which ``--precision auto`` chooses on processors that have it in hardware."""

import numpy as np
import pytest
import torch

from qgan_qiskit.config import PRESETS, preset
from qgan_qiskit.models import build
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step

SMALL = {
    "sub_generators": 2,
    "num_qubits": 3,
    "reps": 2,
    "decoder_width": 16,
    "discriminator_width": 8,
    "generator_width": 8,
    "latent_size": 8,
    "critic_width": 8,
    "prototype_width": 10,
}
ALL = [(model, name) for model, names in PRESETS.items() for name in names]


@pytest.mark.parametrize(("model", "name"), [*ALL, ("hybridq", "latent"), ("hybridq", "fusion"), ("mediq", "dcgan")])
def test_every_preset_takes_steps_in_bfloat16(model, name):
    changes = {"latent": {"mode": "latent"}, "fusion": {"mode": "fusion"}, "dcgan": {"critic": "dcgan"}}.get(name)
    config = preset(model, "default" if changes else name)
    if model != "qgpatch":
        sizes = {field: value for field, value in SMALL.items() if hasattr(config.model, field)}
        # A ResNet leaves too little of 16 pixels for its batch norms.
        config = config.updated({"model": sizes, "data": {"resolution": 64 if model == "transfer" else 16}})
    training = {"precision": "bf16", "batch_size": 4}
    if name == "dcgan" and model == "mediq":
        training["loss"] = "bce"
    config = config.updated({"model": changes or {}, "training": training})
    classes = ("a", "b") if config.model.conditional else ()
    generator, discriminator = build(
        config.model,
        config.data.resolution,
        seeded_generator(0, "weights"),
        channels=config.data.channels,
        classes=classes,
    )
    side, number = config.data.resolution, config.training.images_per_step
    generator.fit_to_data(np.random.default_rng(0).integers(0, 256, (64, side, side, 3), dtype=np.uint8))
    state = TrainingState.create(config, generator, discriminator)
    real = torch.rand(number, config.data.channels, side, side, generator=seeded_generator(1)) * 2 - 1
    labels = torch.arange(number) % 2 if classes else None
    before = [parameter.detach().clone() for parameter in generator.parameters()]
    for _ in range(2):
        train_step(state, real, config.training, labels_B=labels)
    assert all(torch.isfinite(tensor).all() for tensors in state.tensors().values() for tensor in tensors.values())
    assert any(not torch.equal(old, new) for old, new in zip(before, generator.parameters(), strict=True))
