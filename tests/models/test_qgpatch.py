"""QGPatch's probabilities and read-outs against Qiskit's states, gradients against differences, classical baseline and scale."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from qiskit.quantum_info import Statevector

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import DataConfig, QgpatchConfig, RunConfig
from qgan_qiskit.models import build
from qgan_qiskit.models.qgpatch import (
    TINY,
    normalize_by_largest,
    normalize_by_sum,
    probabilities_from_logits,
    probabilities_from_parities,
)

READOUTS = ("paper", "tutorial", "unnormalised")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def digits(count=30, side=8, seed=0):
    gray = np.random.default_rng(seed).integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    return gray.repeat(3, axis=3)


def built(side=8, prepare=True, **fields):
    generator, discriminator = build(QgpatchConfig(**fields), side, seeded(), channels=1)
    if prepare:
        generator.fit_to_data(digits(side=side))
    return generator, discriminator


def outputs(generator, z):
    return generator.expectations(generator.encode(z))


def joint_probabilities(config, weights, z):
    """Return p(j, ancillas 0) of each sub-generator from Qiskit's own states, read by their bit strings."""
    ansatz, shown = build_circuit_spec(config), config.num_qubits - config.num_ancillas
    rows = []
    for own in weights:
        names = [*ansatz.input_parameters, *ansatz.weight_parameters]
        values = [*z.tolist(), *own.tolist()]
        state = Statevector(ansatz.circuit.assign_parameters(dict(zip(names, values, strict=True))))
        found = state.probabilities_dict()
        rows.append([found.get("0" * config.num_ancillas + f"{j:0{shown}b}", 0.0) for j in range(2**shown)])
    return np.array(rows)


CASES = [
    {},
    {"reps": 6},
    {"num_qubits": 4, "num_ancillas": 0},
    {"num_qubits": 6, "num_ancillas": 2, "reps": 2},
    {"num_qubits": 4, "num_ancillas": 1, "sub_generators": 8, "reps": 1},
]


@pytest.mark.parametrize(("readout", "fields"), list(itertools.product(READOUTS, CASES)))
def test_pixels_against_qiskits_probabilities(readout, fields):
    config = QgpatchConfig(patch_readout=readout, **fields)
    generator, _ = built(patch_readout=readout, **fields)
    z = generator.sample_latent(3, seeded(1))
    assert z.shape == (3, config.num_qubits)
    images = generator(z)
    assert images.shape == (3, 1, 8, 8)
    assert images.dtype == torch.float32
    assert images.min() >= -1
    assert images.max() <= 1
    sums = digits()[..., 0].reshape(30, config.sub_generators, -1).sum(axis=2) / 255
    for b in range(3):
        joint = joint_probabilities(config, generator.quantum_parameters(), z[b])
        np.testing.assert_allclose(generator.probabilities(outputs(generator, z))[b].detach(), joint, atol=1e-6)
        if readout == "paper":
            patches = joint / joint.sum(axis=1, keepdims=True) * sums.mean(axis=0)[:, None]
        elif readout == "tutorial":
            patches = joint / joint.max(axis=1, keepdims=True)
        else:
            patches = joint * sums.max(axis=0)[:, None]
        rows = patches.reshape(8, 8)  # the patches one after the other are the image row by row
        np.testing.assert_allclose((images[b, 0].detach() + 1) / 2, np.minimum(rows, 1), atol=2e-5)


def test_pairs_are_pixels_from_0_to_1_and_only_images_are_clipped():
    generator, discriminator = built()
    real = torch.from_numpy(digits(5)[..., :1].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
    inputs = generator.discriminator_inputs(real, generator.sample_latent(5, seeded(1)))
    assert inputs.real.shape == inputs.fake.shape == (5, 64)
    torch.testing.assert_close(inputs.real, torch.from_numpy(digits(5)[..., 0].reshape(5, 64) / 255).float())
    assert not inputs.real.requires_grad
    assert inputs.fake.min() >= 0
    assert inputs.fake.max() > 1
    assert discriminator(inputs.fake).shape == (5,)
    sums = inputs.fake.view(5, 4, 16).sum(dim=2)
    torch.testing.assert_close(sums, generator.mass_P.expand(5, 4), atol=1e-4, rtol=1e-4)


def test_before_prepare_patches_are_the_papers_probabilities():
    generator, _ = built(prepare=False)
    pixels = generator.pixels(outputs(generator, generator.sample_latent(5, seeded(1))))
    torch.testing.assert_close(pixels.view(5, 4, 16).sum(dim=2), torch.ones(5, 4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("readout", READOUTS)
def test_gradients_against_differences_of_qiskits_states(readout):
    generator, _ = built(patch_readout=readout)
    z = generator.sample_latent(1, seeded(1))
    factors = torch.randn(64, generator=seeded(2))
    (generator.pixels(outputs(generator, z)) * factors).sum().backward()
    weights = [weight.detach().double().numpy().copy() for weight in generator.quantum_parameters()]
    mass = generator.mass_P.double().numpy()[:, None]

    def value():
        joint = joint_probabilities(QgpatchConfig(), weights, z[0])
        if readout == "paper":
            joint = mass * joint / joint.sum(axis=1, keepdims=True)
        elif readout == "tutorial":
            joint = joint / joint.max(axis=1, keepdims=True)
        else:
            joint = mass * joint
        return float(joint.ravel() @ factors.double().numpy())

    for own, parameter in zip(weights, generator.quantum_parameters(), strict=True):
        for index in (0, 13, 24):
            before, values = own[index], []
            for step in (1e-5, -1e-5):
                own[index] = before + step
                values.append(value())
            own[index] = before
            slope = (values[0] - values[1]) / 2e-5
            assert parameter.grad[index].item() == pytest.approx(slope, abs=2e-4, rel=1e-3)


@given(st.integers(0, 6), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_transform_of_parities_undoes_their_definition(bits, patches, seed):
    joint = torch.rand(2, patches, 2**bits, generator=seeded(seed)).double()
    joint /= joint.sum(dim=-1, keepdim=True) * 1.5
    signs = torch.tensor([[(-1.0) ** (j & s).bit_count() for s in range(2**bits)] for j in range(2**bits)]).double()
    torch.testing.assert_close(probabilities_from_parities(joint @ signs), joint)


def test_an_ancilla_that_is_never_0_gives_black_and_a_finite_gradient():
    for scale in (0.0, 1e-30, 1e-9, TINY / 2, 1.0):
        for readout in (normalize_by_sum, normalize_by_largest):
            joint = (scale * torch.rand(2, 3, 8, generator=seeded(1))).requires_grad_()
            pixels = readout(joint)
            pixels.square().sum().backward()
            assert pixels.isfinite().all()
            assert pixels.min() >= 0
            assert pixels.max() <= 1
            assert joint.grad.isfinite().all()
            if scale == 0:
                assert not pixels.any()
    # The same through a circuit: angle pi on the ancilla turns it to 1 whatever the others do.
    generator, _ = built(reps=1)
    for weight in generator.quantum_parameters():
        torch.nn.init.zeros_(weight)
    pixels = generator.pixels(outputs(generator, torch.tensor([[0.3, 0.4, 0.5, 0.6, math.pi]])))
    pixels.sum().backward()
    assert pixels.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in generator.quantum_parameters())


@given(st.integers(0, 3), st.integers(0, 5), st.floats(-200, 200), st.integers(0, 1000))
def test_baseline_probabilities_are_a_softmax_over_all_outcomes(ancillas, bits, shift, seed):
    logits = torch.randn(2, 1, 2**bits, generator=seeded(seed)).double() * 3 + shift
    found = probabilities_from_logits(logits, ancillas)
    others = torch.zeros(2, 1, (2**ancillas - 1) * 2**bits).double()
    expected = torch.softmax(torch.cat([logits, others], dim=-1), dim=-1)[..., : 2**bits]
    torch.testing.assert_close(found, expected)
    assert found.min() >= 0
    assert found.sum(dim=-1).max() <= 1 + 1e-9


def test_baseline_runs_through_every_readout():
    for readout in READOUTS:
        generator, _ = built(classical_baseline=True, patch_readout=readout)
        images = generator(generator.sample_latent(6, seeded(1)))
        generator.pixels(outputs(generator, generator.sample_latent(6, seeded(1)))).square().sum().backward()
        weights = generator.quantum_parameters()
        assert sum(weight.numel() for weight in weights) == 100
        assert all(weight.grad.abs().max() > 0 for weight in weights if weight.numel())
        assert images.shape == (6, 1, 8, 8)
        assert images.isfinite().all()
        assert images.min() >= -1
        assert images.max() <= 1
        assert images.std(dim=0).max() > 0


def test_all_sub_generators_get_the_same_noise_below_the_bound():
    generator, _ = built(latent_high=0.7)
    z = generator.sample_latent(4000, seeded(1))
    assert z.shape == (4000, 5)
    assert 0 <= z.min() < 0.01
    assert 0.69 < z.max() < 0.7
    with torch.no_grad():
        for weight in generator.quantum_parameters():
            weight.copy_(generator.quantum_parameters()[0])
        joint = generator.probabilities(outputs(generator, z[:3]))
    torch.testing.assert_close(joint, joint[:, :1].expand_as(joint))


def test_a_saved_state_brings_the_scale_back():
    trained, _ = built()
    fresh, _ = build(QgpatchConfig(), 8, seeded(9), channels=1)
    fresh.load_state_dict(trained.state_dict())
    assert not torch.equal(trained.mass_P, torch.ones(4))
    z = trained.sample_latent(3, seeded(4))
    assert torch.equal(fresh(z), trained(z))


def test_images_that_the_patches_do_not_fill_are_refused():
    for fields, pattern in (
        ({"data": DataConfig(resolution=8)}, "grayscale"),
        ({"data": DataConfig(resolution=16, color="grayscale")}, "256 pixels"),
        ({"data": DataConfig(resolution=8, color="grayscale"), "model": QgpatchConfig(num_ancillas=2)}, "make 32"),
    ):
        with pytest.raises(ValidationError, match=pattern):
            RunConfig(**{"model": QgpatchConfig(), **fields})
