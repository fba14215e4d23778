"""MosaiQ: who makes which component, the published circuit, gradients, noise, and what a checkpoint brings back."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from qiskit.quantum_info import SparsePauliOp, Statevector

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import DataConfig, MosaiqConfig, RunConfig
from qgan_qiskit.errors import DataError
from qgan_qiskit.models import build
from qgan_qiskit.models.mosaiq import assign_components

SIZES = {"sub_generators": 3, "num_qubits": 4, "reps": 2}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=40, side=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def unit(images_NHWC, channels=3):
    return torch.from_numpy(images_NHWC[..., :channels].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)


def prepared(channels=3, **fields):
    generator, discriminator = build(MosaiqConfig(**{**SIZES, **fields}), 6, seeded(), channels=channels)
    generator.fit_to_data(images())
    return generator, discriminator


def scaled_scores(generator, z):
    return generator.scaled_scores(generator.expectations(generator.encode(z)))


def test_distribution_at_8x5_is_the_authors():
    expected = [[i, 39 - 4 * i, 38 - 4 * i, 37 - 4 * i, 36 - 4 * i] for i in range(8)]
    assert assign_components(8, 5).tolist() == expected


@given(st.integers(1, 64), st.integers(1, 20))
def test_every_component_is_made_once_and_each_sub_generator_has_one_strong_one(count, qubits):
    made = assign_components(count, qubits)
    assert made.shape == (count, qubits)
    assert sorted(made.flatten().tolist()) == list(range(count * qubits))
    assert made[:, 0].tolist() == list(range(count))
    if qubits > 1:
        # The strongest goes with the weakest block, and blocks do not overlap.
        assert made[:, 1:].flatten().tolist() == sorted(made[:, 1:].flatten().tolist(), reverse=True)


@pytest.mark.parametrize("channels", [3, 1])
def test_images_are_the_inverse_of_the_scores_and_pairs_are_scores(channels):
    generator, discriminator = prepared(channels)
    real = unit(images(), channels)
    z = generator.sample_latent(5, seeded(1))
    inputs = generator.discriminator_inputs(real[:5], z)
    assert inputs.real.shape == inputs.fake.shape == (5, 12)
    assert not inputs.real.requires_grad
    assert inputs.real.abs().max() <= 1 + 1e-5
    assert inputs.reconstruction is None
    assert torch.equal(inputs.fake, scaled_scores(generator, z))
    assert discriminator(inputs.fake).shape == (5,)
    made = generator(z)
    assert made.shape == (5, channels, 6, 6)
    assert made.dtype == torch.float32
    assert made.abs().max() <= 1
    inside = made.abs().flatten(1) < 1
    components = generator.components
    raw = components.lowest + (inputs.fake + 1) / 2 * (components.highest - components.lowest)
    expected = components.mean_D + raw @ components.axes_FD
    assert inside.any()
    torch.testing.assert_close(made.flatten(1)[inside], expected[inside])


def test_discriminator_is_the_published_one():
    _, discriminator = prepared()
    layers = [layer for layer in discriminator.modules() if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(12, 64), (64, 16), (16, 1)]
    x = torch.randn(7, 12, generator=seeded(2))
    expected = x
    for number, layer in enumerate(layers):
        expected = expected @ layer.weight.T + layer.bias
        expected = expected if number == 2 else expected.clamp_min(0)
    torch.testing.assert_close(discriminator(x), expected[:, 0])


def published_scores(weights, z):
    """Return the scaled scores (B, F) from Qiskit's own states, in the order of the components."""
    ansatz = build_circuit_spec(MosaiqConfig(**SIZES))
    component_of, scores = assign_components(3, 4), np.zeros((len(z), 12))
    for b, p in itertools.product(range(len(z)), range(3)):
        own = z[b] if z.shape[1] == 4 else z[b, 4 * p : 4 * p + 4]
        names = [*ansatz.input_parameters, *ansatz.weight_parameters]
        values = [*own.tolist(), *weights[p].tolist()]
        state = Statevector(ansatz.circuit.assign_parameters(dict(zip(names, values, strict=True))))
        for q in range(4):
            x = SparsePauliOp.from_sparse_list([("X", [q], 1)], 4)
            scores[b, component_of[p, q]] = state.expectation_value(x).real
    return scores


@pytest.mark.parametrize("shared", [True, False])
def test_scores_are_those_of_the_published_circuit(shared):
    """RY(z) RX(z), then layers of RY(theta) and the CZ chain, read <X>; the builder is tested by hand elsewhere."""
    generator, _ = prepared(shared_latent=shared)
    z = generator.sample_latent(2, seeded(1))
    assert z.shape == (2, 4 if shared else 12)
    assert build_circuit_spec(MosaiqConfig(**SIZES)).circuit.count_ops() == {"ry": 4 + 8, "rx": 4, "cz": 6}
    expected = published_scores(generator.quantum_parameters(), z)
    np.testing.assert_allclose(scaled_scores(generator, z).detach(), expected, atol=1e-5)


def test_gradients_against_differences_of_qiskits_states():
    generator, _ = prepared()
    z = generator.sample_latent(2, seeded(1))
    inputs = generator.discriminator_inputs(unit(images())[:2], z)
    factors = torch.randn(2, 12, generator=seeded(2))
    (inputs.fake * factors).sum().backward()
    weights = [weight.detach().double().numpy().copy() for weight in generator.quantum_parameters()]
    for own, parameter in zip(weights, generator.quantum_parameters(), strict=True):
        for index in (0, 3, 7):
            before, values = own[index], []
            for step in (1e-5, -1e-5):
                own[index] = before + step
                values.append((published_scores(weights, z) * factors.numpy()).sum())
            own[index] = before
            slope = (values[0] - values[1]) / 2e-5
            assert parameter.grad[index].item() == pytest.approx(slope, abs=1e-4)


def test_baseline_has_gradients_everywhere():
    generator, _ = prepared(classical_baseline=True)
    inputs = generator.discriminator_inputs(unit(images())[:3], generator.sample_latent(3, seeded(1)))
    inputs.fake.square().sum().backward()
    weights = generator.quantum_parameters()
    assert sum(weight.numel() for weight in weights) == 3 * 8
    assert all(weight.grad.abs().max() > 0 for weight in weights if weight.numel())


def test_noise_is_uniform_in_the_range_that_training_reached():
    adaptive, _ = prepared()
    assert adaptive.latent_high.item() == pytest.approx(math.pi / 8)
    adaptive.set_latent_high(1.9)
    z = adaptive.sample_latent(4000, seeded(1))
    assert 0 <= z.min() < 0.02
    assert 1.88 < z.max() < 1.9
    fixed, _ = prepared(latent_range="fixed", latent_high=0.5)
    assert 0.49 < fixed.sample_latent(4000, seeded(1)).max() < 0.5


def test_a_saved_state_brings_components_order_and_noise_back():
    trained, _ = prepared()
    trained.set_latent_high(1.5)
    fresh, _ = build(MosaiqConfig(**SIZES), 6, seeded(9))
    saved = {**dict(trained.named_parameters()), **dict(trained.named_buffers())}
    own = {**dict(fresh.named_parameters()), **dict(fresh.named_buffers())}
    assert own.keys() == saved.keys()
    assert {"latent_high", "output_of_F", "components.mean_D", "components.axes_FD"} < own.keys()
    with torch.no_grad():
        for name, tensor in own.items():
            assert (tensor.shape, tensor.dtype) == (saved[name].shape, saved[name].dtype)
            tensor.copy_(saved[name])
    z = trained.sample_latent(3, seeded(4))
    assert torch.equal(fresh.sample_latent(3, seeded(4)), z)
    assert torch.equal(fresh(z), trained(z))


def test_too_few_images_and_images_too_small_are_refused():
    generator, _ = build(MosaiqConfig(**SIZES), 6, seeded())
    with pytest.raises(DataError, match="12 principal components"):
        generator.fit_to_data(images(12))
    with pytest.raises(ValidationError, match="100 principal components"):
        RunConfig(model=MosaiqConfig(), data=DataConfig(resolution=8, color="grayscale"))
