"""Exact expectations, decoded, make the images that the generator makes as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qgan_qiskit.config import DcganConfig, HybridQConfig, MosaiqConfig, QgpatchConfig
from qgan_qiskit.errors import UsageError
from qgan_qiskit.hardware.generator_circuits import circuit_inputs, decode_batch
from qgan_qiskit.models import build
from qgan_qiskit.simulation.estimator import expectation_values

SIZES = {"sub_generators": 2, "num_qubits": 3, "reps": 2}
MODELS = {
    "hybridq": (HybridQConfig(**SIZES), 3),
    "hybridq, linear encoder": (HybridQConfig(encoder="linear", decoder="modulated", **SIZES), 3),
    "hybridq, latent": (HybridQConfig(mode="latent", **SIZES), 3),
    "hybridq, fusion": (HybridQConfig(mode="fusion", **SIZES), 3),
    "mosaiq": (MosaiqConfig(**SIZES), 3),
    "qgpatch": (QgpatchConfig(sub_generators=8, num_qubits=6, num_ancillas=1, reps=2), 1),
}


def generator_of(config, channels=3):
    generator, _ = build(config, 16, torch.Generator().manual_seed(0), channels=channels)
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    generator.fit_to_data(images)
    return generator.eval()


def exact(work):
    found = []
    for member, weights_K in enumerate(work.weights_PK):
        values = dict(zip(work.ansatz.weight_parameters, weights_K, strict=True))
        circuit = work.ansatz.circuit.assign_parameters(values)
        found.append(expectation_values(circuit, work.ansatz.observables, work.angles_BPQ[:, member]))
    return np.stack(found, axis=1)


@pytest.mark.parametrize("name", MODELS)
def test_exact_expectations_make_the_same_images(name):
    config, channels = MODELS[name]
    generator = generator_of(config, channels)
    z = generator.sample_latent(5, torch.Generator().manual_seed(1))
    whole = generator(z).detach()
    work = circuit_inputs(generator, z)
    assert work.angles_BPQ.shape == (5, *generator.angles_shape)
    np.testing.assert_array_equal(work.weights_PK, generator.circuits.weights_PK().detach().double())
    torch.testing.assert_close(decode_batch(generator, z, exact(work)), whole, rtol=1e-4, atol=1e-5)


def test_other_expectations_make_other_images():
    generator = generator_of(HybridQConfig(**SIZES))
    z = generator.sample_latent(2, torch.Generator().manual_seed(1))
    evs = exact(circuit_inputs(generator, z))
    assert not torch.equal(decode_batch(generator, z, evs), decode_batch(generator, z, evs + 0.1))


@pytest.mark.parametrize("config", [DcganConfig(generator_width=8), HybridQConfig(classical_baseline=True, **SIZES)])
def test_generators_without_circuits_are_refused(config):
    generator = generator_of(config)
    with pytest.raises(UsageError, match="no circuits"):
        circuit_inputs(generator, generator.sample_latent(1, torch.Generator().manual_seed(1)))
